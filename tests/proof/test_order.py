"""Every reply in order, whatever the packets are and however long policy, login, spool and disk take.

Scripts of random commands are played to the live session in random packets, while all that it waits for is held back and let go at random
times: the tarpit of a refusal, who knows a recipient, the checker of a login, the commit of a message, the disk behind its content, and a
peer that does not read.  The replies must be those of the model, which knows neither packets nor time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.net.relay import PASSWORD, FakeContent, FakeSpool, FakeUsers, Relay
from tests.proof.logins import VERIFIER
from tests.proof.model import SAYINGS, Asked, Model
from twistedrelay.interfaces import SpoolError
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.values import reply as replies
from twistedrelay.values.address import Address
from twistedrelay.values.reply import Reply

SAID = {**SAYINGS, "RCPT unknown": b"RCPT TO:<nobody@akkaya.local>\r\n"}
PIECES = st.lists(st.sampled_from(sorted(SAID)), max_size=12)
#: A script without these gets nowhere: every other draw is of whole transactions.
TRANSACTION = ["EHLO", "MAIL", "RCPT", "RCPT refused", "RCPT other", "DATA", "content"]
LOOK_UP = ["EHLO", "MAIL", "RCPT unknown", "RCPT", "RSET", "MAIL", "RCPT other", "RCPT unknown", "DATA", "content"]
LOGIN = ["EHLO", "AUTH wrong", "SCRAM whole guess", "AUTH in steps", "MAIL", "RCPT refused", "DATA", "content", "RSET"]
CHUNKS = ["EHLO", "MAIL", "RCPT", "RCPT refused", "BDAT", "BDAT to the CR", "BDAT from the LF", "BDAT last"]
PROOF = [
    "EHLO",
    "SCRAM disagreed",
    "MAIL",
    "RCPT refused",
    "RSET",
    "SCRAM whole",
    "MAIL",
    "RCPT",
    "RCPT refused",
    "BDAT last",
    "MAIL",
    "RCPT",
    "RSET",
]
ANOTHER = ["EHLO", "AUTH", "XCLIENT", "MAIL", "EHLO", "MAIL", "RCPT refused", "RCPT", "DATA", "content", "XCLIENT"]
USUAL = st.sampled_from([TRANSACTION, LOOK_UP, LOGIN, CHUNKS, PROOF, ANOTHER, ["EHLO", "STARTTLS"]])
SCRIPTS = st.lists(st.one_of(PIECES, USUAL), max_size=4).map(lambda parts: [name for part in parts for name in part])
TARPIT = 5.0
LIMIT = 4  # protocol errors


class SlowSpool(FakeSpool):
    """Commits wait to be let go; each ends as the draw says."""

    def __init__(self, outcomes: list[bool]) -> None:
        super().__init__()
        self.outcomes = outcomes
        self.commits: list[Callable[[], None]] = []

    def store(self, message: Any) -> Deferred[None]:
        """Waits."""
        committed: Deferred[None] = Deferred()
        good = self.outcomes[(len(self.stored) + self.failed) % len(self.outcomes)]
        if good:
            self.stored.append(message)
            self.commits.append(lambda: committed.callback(None))
        else:
            self.failed += 1
            self.commits.append(lambda: committed.errback(Failure(SpoolError("disk full", replies.SYSTEM_RESOURCES))))
        return committed

    failed = 0


class Playing:
    """One session, and what it waits for."""

    def __init__(self, outcomes: list[bool], slow_disk: bool, limit: int | None, lmtp: bool) -> None:
        connector = {
            "protocol": "LMTP" if lmtp else "SMTP",
            "tarpit_interval": TARPIT,
            "auth_tarpit_interval": TARPIT,
            "auth_mechanism": ["Tls", "BasicAuth", "ScramSha256"],
            "xclient_from": ["192.168.1.0/24"],
            **_limits(limit),
        }
        # A long script has many wrong passwords in it, and the model knows nothing of other sessions.
        self.relay = Relay({"Default Frontend": connector}, logon_lockout_threshold=0)
        self.spool = SlowSpool(outcomes)
        self.contents: list[FakeContent] = []
        if slow_disk:
            self.spool.make_content = self.slow_content
        self.logins: list[Callable[[], None]] = []
        self.relay.users = SlowUsers(self.logins)
        self.lookups: list[Callable[[], None]] = []
        acceptance = Acceptance(self.relay.config, recipients=SlowRecipients(self.lookups))
        self.relay.replace(spool=self.spool, users=self.relay.users, portal=_portal(self.relay), acceptance=acceptance)
        self.relay.certificates.context = SSL.Context(SSL.TLS_METHOD)
        self.client = self.relay.connect()
        assert self.client.codes() == [220]
        self.said: list[int] = []
        self.deaf = False

    def slow_content(self) -> FakeContent:
        """Content whose disk is behind."""
        content = FakeContent()
        content.waiting = 1 << 30
        self.contents.append(content)
        return content

    def actions(self) -> dict[str, Callable[[], None]]:
        """What may happen now besides the next packet."""
        possible: dict[str, Callable[[], None]] = {"time": lambda: self.relay.clock.advance(1.0)}
        if self.spool.commits:
            possible["commit"] = lambda: self.spool.commits.pop(0)()
        if self.logins:
            possible["login"] = lambda: self.logins.pop(0)()
        if self.lookups:
            possible["lookup"] = lambda: self.lookups.pop(0)()
        if any(content.on_drained for content in self.contents):
            possible["disk"] = self.drain
        if self.deaf:
            possible["peer reads"] = self.peer_reads
        return possible

    def peer_stops_reading(self) -> None:
        """The socket takes no more replies."""
        if self.client.transport.producer is not None:
            self.deaf = True
            self.client.session.pauseProducing()

    def peer_reads(self) -> None:
        """It takes them again."""
        self.deaf = False
        self.client.session.resumeProducing()

    def drain(self) -> None:
        """The disk has caught up."""
        for content in self.contents:
            content.drain()

    def listen(self) -> None:
        """Keep what was said."""
        self.said += self.client.codes()

    def settle(self) -> None:
        """All that is waited for happens."""
        if self.deaf:
            self.peer_reads()
        while True:
            before = len(self.said)
            for action in self.actions().values():
                action()
            self.relay.clock.advance(TARPIT)
            self.listen()
            if len(self.said) == before and len(self.actions()) == 1:
                return


class SlowUsers(FakeUsers):
    """Knows one account, in its own time."""

    send_as = ("a@client.example",)  # type: ignore[assignment]

    def __init__(self, waiting: list[Callable[[], None]]) -> None:
        super().__init__()
        self.waiting = waiting

    def verify(self, name: str, password: str) -> Deferred[Any]:
        """Waits."""
        verified: Deferred[Any] = Deferred()
        right = (name, password) == (self.address, PASSWORD)
        self.waiting.append(lambda: verified.callback(self if right else None))
        return verified

    def scram(self, name: str) -> Deferred[Any]:
        """Waits."""
        found: Deferred[Any] = Deferred()
        known = name == self.address
        self.waiting.append(lambda: found.callback((self if known else None, VERIFIER(PASSWORD))))
        return found


class SlowRecipients:
    """nobody@ does not exist; everybody has to be asked about but user@."""

    def __init__(self, waiting: list[Callable[[], None]]) -> None:
        self.waiting = waiting

    def known(self, recipient: Address) -> bool | Reply | Deferred[bool | Reply]:
        """Waits."""
        if recipient.local == "user":
            return True
        found: Deferred[bool | Reply] = Deferred()
        self.waiting.append(lambda: found.callback(recipient.local != "nobody"))
        return found


def _limits(limit: int | None) -> dict[str, Any]:
    return {"max_protocol_errors": "unlimited" if limit is None else limit, "max_logon_failures": 0}


def _portal(relay: Relay) -> Any:
    from twistedrelay.policy.checkers import make_portal

    return make_portal(relay.config, relay.users, clock=relay.clock)


class Policy:
    """What the article's relay answers, for the model."""

    def __init__(self, outcomes: list[bool], limit: int | None) -> None:
        self.outcomes = iter(outcomes * 100)
        self.limit = limit
        self.errors = 0

    def decide(self, asked: Asked, model: Model) -> int:
        """The code of the answer."""
        code = self.verdict(asked, model)
        if asked.about == "XClient":
            self.errors = 0  # another client
        if code in (500, 501, 503, 504):
            self.errors += 1
            if self.errors == self.limit:
                return 421
        return code

    def verdict(self, asked: Asked, model: Model) -> int:
        """The code that the rules want, limits aside."""
        if asked.code:
            return asked.code
        if asked.about == "ScramChallenge":
            return 334
        if asked.about == "Mail" and model.authenticated:
            return 250 if asked.argument in ("", "a@client.example") else 550
        if asked.about == "Rcpt":
            return 250 if asked.argument in ("user@akkaya.local", "other@akkaya.local") or model.authenticated else 550
        if asked.about == "Authenticate":
            return 235 if asked.argument == f"cengiz@akkaya.local:{PASSWORD}" else 535
        if asked.about == "EndOfContent":
            return 250 if next(self.outcomes) else 452
        return {"Data": 354}.get(asked.about, 250)


def listen(model: Model, policy: Policy, octets: bytes) -> None:
    """The model hears some octets, and answers all."""
    model.receive(octets)
    while (asked := model.step()) is not None:
        model.answer(policy.decide(asked, model))
    if model.awaiting_tls:
        model.tls_started()


def segments(script: list[str], lmtp: bool) -> Iterator[bytes]:
    """The script up to and including each STARTTLS: behind it a client waits for the handshake."""
    segment = b""
    for name in script:
        segment += SAID["LHLO" if lmtp and name == "EHLO" else name]
        if name == "STARTTLS":
            yield segment
            segment = b""
    yield segment


@settings(max_examples=150, deadline=None)
@given(
    script=SCRIPTS,
    outcomes=st.lists(st.booleans(), min_size=1, max_size=4),
    slow_disk=st.booleans(),
    limit=st.sampled_from([None, None, LIMIT]),
    lmtp=st.sampled_from([False, False, True]),
    data=st.data(),
)
@example(["EHLO", "MAIL", "RCPT", "DATA", "content", "MAIL", "RCPT refused", "NOOP"], [False], True, None, False, None)
@example(["EHLO", "MAIL", "RCPT", "RCPT other", "BDAT", "BDAT last", *TRANSACTION[1:]], [True], False, None, True, None)
def test_replies_are_in_order(
    script: list[str], outcomes: list[bool], slow_disk: bool, limit: int | None, lmtp: bool, data: st.DataObject | None
) -> None:
    """See the module."""
    playing = Playing(outcomes, slow_disk, limit, lmtp)
    model, policy = Model(36 * 1024 * 1024, lmtp, trusted=True, trusted_again=False), Policy(outcomes, limit)
    wanted = model.said
    for segment in segments(script, lmtp):
        listen(model, policy, segment)
        while segment:
            possible = playing.actions()
            action = data.draw(st.sampled_from(["packet", "packet", "deaf", *possible])) if data else "packet"
            if action == "deaf":
                playing.peer_stops_reading()
            elif action == "packet":
                size = data.draw(st.integers(1, min(len(segment), 40) if data.draw(st.booleans()) else len(segment))) if data else 7
                playing.client.send(segment[:size])
                segment = segment[size:]
            else:
                possible[action]()
            playing.listen()
            assert playing.said == wanted[: len(playing.said)]
        playing.settle()
        assert playing.said == wanted
    assert playing.client.is_closing == model.closed
    stored = [
        (message.sender.text, tuple(recipient.address.text for recipient in message.recipients), message.content.octets)  # type: ignore[attr-defined]
        for message in playing.spool.stored
    ]
    assert [envelope[:2] for envelope in stored] == [envelope[:2] for envelope in model.stored]
    assert all(octets.endswith(content) for (_, _, octets), (_, _, content) in zip(stored, model.stored, strict=True))
