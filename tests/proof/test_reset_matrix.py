"""The reset matrix, on the engine alone and on the live session."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from OpenSSL import SSL
from twisted.internet.defer import fail

from tests.net.relay import Client, Relay
from tests.proof.logins import PASSWORD, VERIFIER
from tests.proof.matrix import EVENTS, EXPECTED, HELLO, LIVE, NEXT, SCENES, Scene, packet
from tests.wire.driver import SETTINGS, Driver, positive
from twistedrelay.interfaces import SpoolError
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import Event, ScramChallenge

TRUSTING = attrs.evolve(SETTINGS, xclient=True, auth_mechanisms=("LOGIN", "PLAIN", "SCRAM-SHA-256"))
CHALLENGE = Reply(334, "", "")  # SCRAM goes on
CELLS = [pytest.param(event, column, id=f"{event}, then {column}") for event, column in EXPECTED]


def test_the_table_is_whole() -> None:
    """Each row has a scene, each column a command, and each scene a row."""
    assert set(EVENTS) == set(SCENES)
    assert {column for _, column in EXPECTED} == set(NEXT)


class ScramDriver(Driver):
    """Where nothing else is decided, it lets SCRAM go on."""

    def take(self, event: Event) -> None:
        """Answer an event."""
        if not isinstance(event, ScramChallenge):
            super().take(event)
            return
        reply = self.decide(event)
        if reply.is_positive:
            self.engine.challenge(VERIFIER(PASSWORD), b"")
        else:
            self.engine.respond(reply)


class OnTheEngine:
    """A scene played to the engine; the session's answers are the scene's."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.asked: dict[str, int] = {}
        self.driver = ScramDriver(TRUSTING, self.decide)

    def decide(self, event: Event) -> Reply:
        """The scene's answer, or yes."""
        name = type(event).__name__
        self.asked[name] = self.asked.get(name, 0) + 1
        if name in self.scene.decide and self.asked[name] == self.scene.after + 1:
            return Reply(self.scene.decide[name], "", "as the scene wants")
        return CHALLENGE if name == "ScramChallenge" else positive(event)

    def say(self, octets: bytes) -> list[int]:
        """The codes of the replies to a packet."""
        return self.driver.feed(octets)

    def handshake(self) -> None:
        """TLS begins."""
        self.driver.engine.tls_started()

    def reconnect(self) -> None:
        """The client comes again."""
        self.driver = ScramDriver(TRUSTING)


def full_disk(relay: Relay) -> None:
    """The spool takes nothing."""
    relay.spool.error = SpoolError("disk full", replies.SYSTEM_RESOURCES)


#: How the live session is brought to say what a scene wants; where there is no way, C{None}.
_LIVE: dict[str, Callable[[Relay], None] | None] = {
    "DATA refused": None,
    "first BDAT refused": None,
    "end of data refused, transient": full_disk,
    "BDAT LAST refused": full_disk,
    "AUTH failed for a while": lambda relay: setattr(relay.users, "answer", lambda: fail(OSError("no answer"))),
    "SCRAM refused for a while": lambda relay: setattr(relay.users, "answer", lambda: fail(OSError("no answer"))),
    "STARTTLS refused for a while": lambda relay: setattr(relay.certificates, "context", None),
}


class OnTheSession:
    """A scene played to the live session, with all its policy, on a transport that only remembers."""

    def __init__(self, event: str) -> None:
        scene = SCENES[event]
        errors = 1 if "ProtocolError" in scene.decide else "unlimited"
        rights = [] if "Mail" in scene.decide else ["Accept-Authoritative-Domain-Sender"]
        connector = {
            "max_protocol_errors": errors,
            "max_message_size": 1_000_000,
            "auth_mechanism": ["Tls", "BasicAuth", "ScramSha256"],
            "xclient_from": ["192.168.1.0/24"],
            "permission_groups": ["Custom", "ExchangeUsers"],
            "extended_rights": {"Anonymous Logon": ["Submit", "Accept-Any-Sender", *rights]},
        }
        self.relay = Relay({"Default Frontend": connector})
        self.relay.certificates.context = SSL.Context(SSL.TLS_METHOD)
        self.relay.users.send_as = ("a@client.example",)  # type: ignore[assignment]
        prepare = _LIVE.get(event)
        if prepare is not None:
            prepare(self.relay)
        self.client: Client
        self.reconnect()

    def say(self, octets: bytes) -> list[int]:
        """The codes of the replies to a packet."""
        self.client.send(octets)
        return self.client.codes()

    def handshake(self) -> None:
        """The session has begun it by itself."""

    def reconnect(self) -> None:
        """The client comes, or comes again; what stood in its way is gone."""
        self.client = self.relay.connect()
        assert self.client.codes() == [220]

    def recover(self) -> None:
        """What stood in the way is gone."""
        self.relay.spool.error = None
        self.relay.users.answer = None
        if self.relay.certificates.context is None:
            self.relay.certificates.context = SSL.Context(SSL.TLS_METHOD)


def play(stage: OnTheEngine | OnTheSession, scene: Scene) -> None:
    """Let the scene happen."""
    assert stage.say(HELLO + b"\r\n") == [250]
    for line, code in zip(scene.lines, scene.replies, strict=True):
        assert stage.say(packet(line)) == [code], line[:80]
    if scene.then == "tls":
        stage.handshake()
    elif scene.then == "lost":
        stage.reconnect()


@pytest.mark.parametrize(("event", "column"), CELLS)
def test_on_the_engine(event: str, column: str) -> None:
    """The engine, with a session that decides as the scene wants."""
    stage = OnTheEngine(SCENES[event])
    play(stage, SCENES[event])
    stage.scene = attrs.evolve(stage.scene, decide={})
    expected = EXPECTED[event, column]
    assert stage.say(packet(NEXT[column])) == ([] if expected is None else [expected])
    assert stage.driver.engine.closing == (expected is None or column == "QUIT")


@pytest.mark.parametrize(("event", "column"), [cell for cell in CELLS if _LIVE.get(str(cell.values[0]), True) is not None])
def test_on_the_live_session(event: str, column: str) -> None:
    """The session of C{net}, with the real policy."""
    stage = OnTheSession(event)
    play(stage, SCENES[event])
    stage.recover()
    expected = LIVE.get((event, column), EXPECTED[event, column])
    assert stage.say(packet(NEXT[column])) == ([] if expected is None else [expected])
    assert stage.client.is_closing == (expected is None or column == "QUIT")
