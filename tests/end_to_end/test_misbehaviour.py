"""Next hops that misbehave at every stage, against the real daemon: what was accepted is delivered or returned, and whoever may have got
it twice is named in the log.

One daemon for each way to speak; a next hop of its own for each trick, each with several messages and recipients.
"""

from __future__ import annotations

import re
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.hostile import Hostile, Stage, Then, Trick
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import eventually

ENDLESS = b"2" * 1_000_000
ENDLESS_LINES = b"250-and so on\r\n" * 80_000
TWO_CODES = b"250-yes\r\n451 no\r\n"
LONG = b"250 " + b"x" * 20_000 + b"\r\n"
GARBAGE = b"\x00\xff\x13 what?\r\n"


def tricks(
    stage: Stage, said: Sequence[bytes], then: Then = "go on", *, takes: bool = False, only: str = "", times: int = 2
) -> list[Trick]:
    """Several replies at one stage."""
    return [Trick(stage, reply, then, takes, times, only) for reply in said]


def ends(stage: Stage, *, takes: bool = False, only: str = "") -> list[Trick]:
    """The ways in which a stage has no reply, or a reply no end."""
    silent = [Trick(stage, b"", then, takes, 1 if then == "stall" else 2, only) for then in ("close", "reset", "stall")]
    return [
        *silent,
        Trick(stage, b"25", "close", takes, only=only),
        Trick(stage, b"250 half", "reset", takes, only=only),
        Trick(stage, b"250-half\r\n", "stall", takes, 1, only),
        Trick(stage, ENDLESS, "stall", takes, 1, only),
        Trick(stage, ENDLESS_LINES, "stall", takes, 1, only),
    ]


#: No replies at all, or none that may come where one is awaited.
NONSENSE = [GARBAGE, b"\r\n", b"100 go on\r\n", b"666 x\r\n", b"hello there\r\n", TWO_CODES]
CLOSING = b"421 4.3.2 going down\r\n"

EVERYWHERE = [
    *ends("connect"),
    *tricks("connect", [*NONSENSE, b"350 hm\r\n", b"554 5.3.2 no\r\n", b"450 4.3.2 no\r\n", b"220 x\r\n250 early\r\n", b"220 \0\xfc\r\n"]),
    *tricks("connect", [CLOSING, b"554 5.3.2 no\r\n"], "close"),
    *ends("ehlo"),
    *tricks("ehlo", [*NONSENSE, b"350 hm\r\n", b"500 what?\r\n", b"450 4.3.2 no\r\n"]),
    *tricks("ehlo", [b"250\r\n", b"250-x\r\n250-PIPELINING\r\n250 \0\r\n"]),
    *tricks("ehlo", [CLOSING], "close"),
    *ends("mail"),
    *tricks("mail", [*NONSENSE, b"354 go on\r\n", b"451 4.3.0 no\r\n", b"550 5.7.1 no\r\n"]),
    *tricks("mail", [b"432 4.3.2 too fast\r\n", b"451 4.7.1 too fast\r\n"]),
    *tricks("mail", [b"250\r\n", b"250 ok\n", b"250 a\rb\r\n", b"250 ok\r\n250 ok\r\n", b"250 \xc3\xbc\r\n", LONG]),
    *tricks("mail", [CLOSING, b"421\r\n"], "close"),
    *ends("rcpt"),
    *tricks("rcpt", [*NONSENSE, b"354 go on\r\n", b"451 4.3.0 no\r\n", b"550-5.1.1 nobody\r\n550 5.1.1 here\r\n"]),
    *tricks("rcpt", [b"250 ok\r\n250 ok\r\n", b"251 ok\r\n", LONG], only=".a@"),
    *tricks("rcpt", [b"452 4.5.3 too many\r\n", b"552 too many\r\n"], only=".c@", times=4),
    *tricks("rcpt", [CLOSING], "close", only=".c@"),
    *ends("data"),
    *tricks("data", [*NONSENSE, b"250 ok\r\n", b"334 go on\r\n", b"451 4.3.0 no\r\n", b"554 5.5.1 no\r\n", b"354 go\r\n354 go\r\n"]),
    *tricks("data", [CLOSING], "close"),
    *ends("content"),
    *tricks("content", [b"552 5.3.4 too large\r\n", b"451 4.3.1 full\r\n", CLOSING, GARBAGE], "close"),
    *tricks("content", [b"552 5.3.4 too large\r\n", b"451 4.3.1 full\r\n", CLOSING], "reset"),
    *ends("end", takes=True),
    *tricks("end", [*NONSENSE, b"354 go on\r\n"], takes=True),
    *tricks("end", [CLOSING], "close"),
    *ends("rset"),
    *tricks("rset", [*NONSENSE, b"451 4.3.0 no\r\n", b"554 5.5.1 no\r\n", b"250 ok\r\n250 ok\r\n"]),
    *ends("quit"),
    *tricks("quit", [GARBAGE, b"554 no\r\n"]),
]

#: What is one reply for a message.
SMTP = [
    *tricks("end", [b"451 4.3.0 no\r\n", b"554 5.6.0 no\r\n", b"432 4.3.2 too fast\r\n", b"451 4.7.1 too fast\r\n"]),
    *tricks("end", [b"250\r\n", b"250 ok\r\n250 ok\r\n", LONG, b"250-\0\r\n250 \xff\r\n"], takes=True),
    *tricks("end", [b"250 ok\r\n", b"250 ok\r\n421 4.4.2 bye\r\n"], "close", takes=True),
]

#: Replies after the dot that are too few, too many, or of all kinds.
LMTP = [
    *tricks("end", [b"250 ok\r\n", b"250 ok\r\n421 4.3.2 bye\r\n", b"250 ok\r\n250 ok\r\nhm\r\n"], "close", takes=True),
    *tricks("end", [b"250 ok\r\n"], "stall", takes=True, times=1),
    *tricks("end", [b"250 ok\r\n" * 9], takes=True),
    *tricks("end", [b"451 4.3.0 no\r\n" * 9, b"554 5.6.0 no\r\n" * 9]),
]

TLS = [
    *tricks("starttls", [b"454 4.7.0 no\r\n", b"554 5.7.0 no\r\n", b"250 ok\r\n", GARBAGE, b"220 go\r\n250-x\r\n250 PIPELINING\r\n"]),
    *tricks("starttls", [b"220 go\r\n", CLOSING, b""], "close"),
    *tricks("starttls", [b"220 go\r\n", b""], "stall", times=1),
    *tricks("handshake", [b"250-x\r\n250 PIPELINING\r\n", GARBAGE, b"\x16\x03\x01\x02\x00"], "close"),
    *tricks("handshake", [b""], "reset"),
    *tricks("handshake", [b"", b"\x16\x03\x01\x02\x00"], "stall", times=1),
    *(Trick(stage, b"", "alert", stage == "end", 1) for stage in ("ehlo", "mail", "rcpt", "data", "content", "end", "quit")),
]

#: BDAT instead of DATA: answered at once, and then the chunk is thrown away (the transaction goes on), or taken for commands.
CHUNKS = [
    *ends("bdat", takes=True),
    *tricks("bdat", [b"451 4.3.0 no\r\n", b"554 5.6.0 no\r\n", b"552 5.3.4 too large\r\n", *NONSENSE, b"354 go on\r\n"], takes=True),
    *tricks("bdat", [b"500 what?\r\n", b"502 5.5.1 not here\r\n", b"503 5.5.1 out of order\r\n", b"501 5.5.4 syntax\r\n"], takes=True),
    *tricks("bdat", [b"500 what?\r\n", b"502 5.5.1 not here\r\n", b"503 5.5.1 out of order\r\n", b"554 5.6.0 no\r\n"]),
    *tricks("bdat", [CLOSING, b"503 5.5.1 out of order\r\n", b"554 5.6.0 no\r\n"], "close"),
    *tricks("bdat", [CLOSING, b"503 5.5.1 out of order\r\n"], "reset"),
]

LARGE = b"x" * 70 + b"\r\n.dots\r\n"


@attrs.frozen
class Submitted:
    """A message that the relay answered with 250."""

    recipients: list[str]
    content: bytes


def messages(case: int, domain: str) -> Iterator[Submitted]:
    """What each next hop gets: one recipient; several, of whom one is refused and one put off; nobody who exists; a large content."""
    several = ["full", "a", "refused", "later", "c"]
    bodies = [("a", b"one\r\n"), ("abc", b".several\r\n"), (["refused"], b"none\r\n"), (several, b"some\r\n"), ("ac", LARGE * 4000)]
    for number, (names, body) in enumerate(bodies):
        token = f"t{case}n{number}"
        yield Submitted([f"{token}.{name}@{domain}" for name in names], b"Subject: %s\r\n\r\n" % token.encode() + body)


class Trial:
    """A relay, its next hops, and what became of everything."""

    def __init__(self, cases: Sequence[Trick], *, lmtp: bool = False, tls: ssl.SSLContext | None = None, chunking: bool = False) -> None:
        self.peers = [Hostile(trick, lmtp=lmtp, tls=tls, strict=tls is None, chunking=chunking) for trick in cases]
        self.submitted = [list(messages(case, f"p{case}.test")) for case in range(len(cases))]
        self.tls = tls is not None

    def run(self) -> list[str]:
        """Everything that should not be."""
        with Sink() as sink:
            configuration, ports = article(sink.hop)
            configuration["transport"]["shutdown_timeout"] = "1s"
            configuration["send_connectors"] = {
                f"Peer {case}": {
                    "address_spaces": [f"p{case}.test"],
                    "smart_hosts": [peer.hop],
                    "connection_inactivity_timeout": "1s",
                    "require_tls": self.tls,
                    "max_outbound_connections": 1 if peer.trick.stage == "rset" else 40,  # it takes a second message behind a refused one
                }
                for case, peer in enumerate(self.peers)
            }
            with Relay(configuration, ports) as relay:
                with relay.dialogue(source="127.0.0.2") as session:
                    session.command("EHLO client")
                    for submitted in (one for case in self.submitted for one in case):
                        assert (said := session.message("a@akkaya.local", submitted.recipients, submitted.content)).startswith("250"), said
                try:
                    eventually(relay.is_empty, "all has come to its end")
                except AssertionError as error:
                    waiting = {str(self.peers[int(row["next_hop_connector"][5:])].trick) for row in relay.queues() if row["message_count"]}
                    raise AssertionError(f"mail waits for ever: {waiting}") from error
                relay.stop()
                log = relay.output()
        returned = Counter(
            address
            for report in sink.delivered
            for address in re.findall(r"(?mi)^Final-Recipient: rfc822;\s*(\S+?)\s*$", report.content.decode("utf-8", "replace"))
        )
        doubts = Counter(re.findall(r"uncertain: message \d+ may have reached <([^>]+)>", log))
        return (
            [
                f"{peer.trick}: {fault}"
                for peer, case in zip(self.peers, self.submitted, strict=True)
                for one in case
                for fault in self._faults(peer, one, returned, doubts)
            ]
            + [f"{peer.trick}: MAIL inside a transaction" for peer in self.peers if peer.nested and peer.trick.stage != "bdat"]
            + [line for line in log.splitlines() if "Traceback" in line or "a defect" in line]
        )

    def _faults(self, peer: Hostile, submitted: Submitted, returned: Counter[str], doubts: Counter[str]) -> Iterator[str]:
        for address in submitted.recipients:
            taken = [one for one in peer.taken if one.recipient == address]
            known = f"{address} taken {len(taken)}, returned {returned[address]}, in doubt {doubts[address]}"
            if not taken and not returned[address]:
                yield f"lost: {known}"
            if len(taken) > 1 + doubts[address]:
                yield f"delivered again without a word: {known}"
            if returned[address] and not doubts[address] and not self._may_be_refused(peer, address):
                yield f"returned for no reason: {known}"
            if returned[address] > 1:
                yield f"returned again: {known}"
            if taken and returned[address] and not doubts[address]:
                yield f"returned although delivered: {known}"
            if "refused" in address and (taken or not returned[address]):
                yield f"not returned: {known}"
            if not all(one.content.endswith(submitted.content) for one in taken):
                yield f"changed: {known}"
            if self.tls and not all(one.secure for one in taken):
                yield f"in clear text: {known}"

    @staticmethod
    def _may_be_refused(peer: Hostile, address: str) -> bool:
        """Whether the peer refuses a recipient for good, or its trick does."""
        return "refused" in address or "full" in address or re.search(rb"(?m)^5\d\d", peer.trick.say) is not None

    def close(self) -> None:
        """Stop the next hops."""
        for peer in self.peers:
            peer.close()


@pytest.mark.parametrize("chunking", [False, True])
@pytest.mark.parametrize("way", ["smtp", "tls", "lmtp"])
def test_nothing_is_lost_and_nothing_comes_twice_without_a_word(way: str, chunking: bool) -> None:
    """The oracle: accepted means delivered or returned in the end; more than once only where the log says that it may be."""
    context = server_context(trustme.CA(), "hostile.test") if way == "tls" else None
    cases = {"smtp": EVERYWHERE + SMTP, "tls": EVERYWHERE + SMTP + TLS, "lmtp": EVERYWHERE + LMTP}[way]
    if chunking:
        cases = [trick for trick in cases if trick.stage != "data"] + CHUNKS
    trial = Trial(cases, lmtp=way == "lmtp", tls=context, chunking=chunking)
    try:
        faults = trial.run()
    finally:
        trial.close()
    assert not faults, "\n".join(faults)
    unused = [str(peer.trick) for peer in trial.peers if peer.left == peer.trick.times]
    assert not unused, f"tricks that were never played: {unused}"
