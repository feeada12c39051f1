"""The client engine against servers that say anything at any time: what it may conclude, and what it must never say."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.client_peer import EHLO, EHLO_CHUNKING, EHLO_PLAIN, EHLO_PLAIN_CHUNKING, LOST, Peer
from twistedrelay.wire.client_values import Broken, ClientSettings, Finished, Phase, SendContent, Transaction, Untried, Verdict

REPLIES = st.one_of(
    st.sampled_from(
        [
            b"250 ok\r\n",
            b"250 ok\r\n" * 3,
            b"250-ok\r\n250 2.0.0 ok\r\n",
            b"354 go\r\n",
            b"354 go\r\n354 go\r\n",
            b"451 4.3.0 no\r\n",
            b"550 5.1.1 no\r\n",
            b"452 4.5.3 too many\r\n",
            b"503 5.5.1 out of order\r\n",
            b"500 what?\r\n",
            b"421 4.3.2 bye\r\n",
            b"220 what\r\n",
            b"334 \r\n",
            b"250 half",
            b"-more\r\n",
            b"250\n",
            b"\r\n",
            b"250 a\rb\0\r\n",
            b"251 \xff\r\n",
        ]
    ),
    st.binary(max_size=20),
)


class Life:
    """A session with some transactions, kept going as a connection does."""

    def __init__(self, lmtp: bool, ehlo: bytes) -> None:
        self.peer = Peer(ClientSettings("relay.test", lmtp=lmtp, starttls="never"))
        self.begun: list[Transaction] = []
        self.ended: dict[int, list[str]] = {}
        self.positive_at_end: set[int] = set()
        self.said = b""
        self._seen = 0
        self.hears(b"220 x\r\n" + ehlo)

    def hears(self, data: bytes) -> None:
        self.said += self.peer.says(data)
        self.acts()

    def acts(self) -> None:
        peer = self.peer
        while True:
            for event in peer.events[self._seen :]:
                self._seen += 1
                if isinstance(event, SendContent):
                    self.said += peer.sends(b".content\r\n")
                elif isinstance(event, Finished | Untried):
                    self.ended.setdefault(id(event.transaction), []).append(type(event).__name__)
            if peer.engine.can_begin and len(self.begun) < 4:
                transaction, said = peer.begins("a@x", "b@x", "c@x", size=10)
                self.begun.append(transaction)
                self.said += said
            elif self._seen == len(peer.events):
                return

    def ends(self) -> None:
        self.peer.engine.lost(LOST)
        self.peer.collect()
        self.acts()


@settings(max_examples=300, deadline=None)
@given(st.lists(REPLIES, max_size=25), st.booleans(), st.sampled_from([EHLO, EHLO_PLAIN, EHLO_CHUNKING, EHLO_PLAIN_CHUNKING]))
def test_whatever_a_server_says(replies: list[bytes], lmtp: bool, ehlo: bytes) -> None:
    life = Life(lmtp, ehlo)
    for reply in replies:
        life.hears(reply)
    life.ends()
    for transaction in life.begun:
        how: Any = life.ended.get(id(transaction))
        assert how is not None, "each transaction has one end"
        assert len(how) == 1, how
        if how == ["Untried"]:
            continue
        assert "CHUNKING" not in life.peer.engine.features or b"DATA" not in life.said
        assert len(transaction.verdicts) == 3
        for index, verdict in enumerate(transaction.verdicts):
            assert verdict is not None
            if verdict.reply.code < 300:
                assert transaction.phase is Phase.END, "nobody is delivered before the dot"
                assert index in transaction.accepted
                assert not verdict.own
            if verdict.uncertain:
                assert transaction.phase is Phase.END
                assert verdict.reply.code >= 400
            if verdict.own and transaction.phase is Phase.END and index in transaction.accepted and not refuses_chunks(verdict):
                assert verdict.uncertain, "behind the dot our own word is a doubt"
    assert [type(event) for event in life.peer.events].count(Broken) == 1
    check_lines(life.said)


def refuses_chunks(verdict: Verdict) -> bool:
    """Whether the server did not know BDAT after all: it has taken nothing, and no doubt is left."""
    return verdict.reply.text.startswith("The next hop offers CHUNKING but refuses BDAT: ")


def check_lines(said: bytes) -> None:
    """Only whole lines with CRLF, and the content dot-stuffed between DATA and its dot, or as it is behind BDAT."""
    assert said.endswith(b"\r\n")
    assert b"\r" not in said.replace(b"\r\n", b"")
    assert b"\n" not in said.replace(b"\r\n", b"")
    assert b"\0" not in said
    said = said.removesuffix(b"BDAT 10 LAST\r\n")  # a server that answers too much at once gets no content
    assert said.count(b"BDAT 10 LAST\r\n.content\r\n") == said.count(b"BDAT") == said.count(b"\r\n.content\r\n")
    for line in said.replace(b"BDAT 10 LAST\r\n.content\r\n", b"").split(b"\r\n")[:-1]:
        assert line in (b".", b"..content", b"DATA", b"RSET", b"QUIT") or line.split(b" ")[0] in (
            b"EHLO",
            b"LHLO",
            b"HELO",
            b"MAIL",
            b"RCPT",
        ), line
