"""AUTH with mechanisms of more than one step, in the engine."""

from __future__ import annotations

import base64
from collections.abc import Callable

import attrs
import pytest

from tests.wire.driver import BANNER, SETTINGS, codes
from tests.wire.test_scram import FIRST, final, verifier
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import Authenticate, Authenticated, Event, Hello, Mail, ProtocolError, ScramChallenge
from twistedrelay.wire.mechanisms import MECHANISMS, TLS_ONLY
from twistedrelay.wire.sasl import Digest, Outside, Token, Unacceptable
from twistedrelay.wire.scram import Scram
from twistedrelay.wire.server import SMTPServer

ALL = attrs.evolve(SETTINGS, auth_mechanisms=tuple(MECHANISMS), auth_requires_tls=False)
XOAUTH2 = base64.b64encode(b"user=a@own.example\1auth=Bearer x.y.z\1\1")


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


class Session:
    """An engine whose AUTH events wait for the test."""

    def __init__(self, secure: bool = True) -> None:
        self.engine = SMTPServer(attrs.evolve(ALL, implicit_tls=secure))
        self.engine.greet(BANNER)
        self.send(b"EHLO client")
        self.engine.respond(replies.HELLO_OK)
        self.said()

    def send(self, line: bytes) -> Event | None:
        self.engine.receive_data(line + b"\r\n")
        return self.engine.next_event()

    def said(self) -> bytes:
        return self.engine.data_to_send()

    def answer(self, reply: Reply) -> Event | None:
        self.engine.respond(reply)
        return self.engine.next_event()


@pytest.fixture(autouse=True)
def fixed_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's nonce of the RFC's example."""

    def make(name: str, settings: object, secure: bool) -> Scram:
        return Scram(name.endswith("-PLUS"), secure, lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")

    for name in ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"):
        monkeypatch.setitem(MECHANISMS, name, make)


def up_to_proof(session: Session) -> None:
    event = session.send(b"AUTH SCRAM-SHA-256 " + b64(FIRST))
    assert event == ScramChallenge("SCRAM-SHA-256", "user", "")
    assert session.said() == b""
    session.engine.challenge(verifier(), b"")
    assert session.engine.next_event() is None
    assert session.said().startswith(b"334 ")
    event = session.send(b64(final(FIRST, b"n,,")))
    assert isinstance(event, Authenticate)
    assert event.mechanism == "SCRAM-SHA-256"


def test_scram_ends_with_the_servers_proof() -> None:
    session = Session()
    up_to_proof(session)
    assert session.answer(replies.AUTH_OK) is None
    assert base64.b64decode(session.said()[4:]).startswith(b"v=")
    assert not session.engine.authenticated
    assert session.send(b"") == Authenticated()
    assert session.said() == replies.AUTH_OK.wire
    assert session.engine.authenticated
    assert isinstance(session.send(b"MAIL FROM:<a@own.example>"), Mail)


def test_a_client_that_does_not_believe_the_servers_proof_is_not_logged_in() -> None:
    for line, reply in ((b"*", replies.AUTH_CANCELLED), (b"AAAA", replies.AUTH_SYNTAX)):
        session = Session()
        up_to_proof(session)
        session.answer(replies.AUTH_OK)
        assert session.send(line) == ProtocolError(reply, "AUTH")
        session.answer(reply)
        assert not session.engine.authenticated


def test_a_wrong_proof_gets_the_outcome_at_once() -> None:
    session = Session()
    up_to_proof(session)
    assert session.answer(replies.AUTH_FAILED) is None
    assert session.said() == replies.AUTH_FAILED.wire
    assert not session.engine.authenticated
    event = session.send(b64(b"n,,n=user,r=x"))
    assert event == ProtocolError(replies.UNRECOGNIZED, "")


def test_nothing_is_read_while_a_verifier_is_looked_up() -> None:
    session = Session()
    assert isinstance(session.send(b"AUTH SCRAM-SHA-256 " + b64(FIRST) + b"\r\nQUIT"), ScramChallenge)
    assert session.engine.next_event() is None
    session.engine.challenge(verifier(), b"")
    event = session.engine.next_event()
    assert event == ProtocolError(replies.AUTH_SYNTAX, "AUTH")  # QUIT is no response
    session.answer(replies.AUTH_SYNTAX)
    assert codes(session.said()) == [334, 501]


def test_a_look_up_that_fails() -> None:
    session = Session()
    session.send(b"AUTH SCRAM-SHA-256 " + b64(FIRST))
    assert session.answer(replies.AUTH_TEMPORARY) is None
    assert session.said() == replies.AUTH_TEMPORARY.wire
    with pytest.raises(RuntimeError):
        session.engine.challenge(verifier(), b"")
    assert isinstance(session.send(b"EHLO again"), Hello)


def test_downgrade_is_seen_in_the_engine() -> None:
    event = Session().send(b"AUTH SCRAM-SHA-256 " + b64(b"y,,n=user,r=x"))
    assert isinstance(event, Authenticate)
    assert isinstance(event.credentials, Unacceptable)
    assert isinstance(Session(secure=False).send(b"AUTH SCRAM-SHA-256 " + b64(b"y,,n=user,r=x")), ScramChallenge)


@pytest.mark.parametrize("answer", [b"", b"AQ==", b"*", b"!"])
@pytest.mark.parametrize("message", [b"XOAUTH2 " + XOAUTH2, b"OAUTHBEARER " + b64(b"n,,\1auth=Bearer x.y.z\1\1")])
def test_a_refused_token_is_explained_first(message: bytes, answer: bytes) -> None:
    session = Session()
    event = session.send(b"AUTH " + message)
    assert isinstance(event, Authenticate)
    assert isinstance(event.credentials, Token)
    assert session.answer(replies.AUTH_FAILED) is None
    said = session.said()
    assert said.startswith(b"334 ")
    assert b'"status":' in base64.b64decode(said[4:])
    assert session.send(answer) is None
    assert session.said() == replies.AUTH_FAILED.wire


def test_an_accepted_token_and_one_that_nobody_can_judge() -> None:
    for reply, events in ((replies.AUTH_OK, Authenticated()), (replies.AUTH_TEMPORARY, None)):
        session = Session()
        session.send(b"AUTH XOAUTH2 " + XOAUTH2)
        assert session.answer(reply) == events
        assert session.said() == reply.wire


def test_421_ends_it_without_a_last_word() -> None:
    session = Session()
    session.send(b"AUTH XOAUTH2 " + XOAUTH2)
    session.answer(replies.TOO_MANY_ERRORS)
    assert session.said() == replies.TOO_MANY_ERRORS.wire
    assert session.engine.closing


def test_external_with_an_empty_initial_response() -> None:
    assert Session().send(b"AUTH EXTERNAL =") == Authenticate("EXTERNAL", Outside(""))
    session = Session()
    assert session.send(b"AUTH EXTERNAL") is None
    assert session.said() == b"334 \r\n"
    assert session.send(b"") == Authenticate("EXTERNAL", Outside(""))


def test_cram_md5() -> None:
    session = Session(secure=False)
    assert session.send(b"AUTH CRAM-MD5") is None
    challenge = base64.b64decode(session.said()[4:])
    assert challenge.startswith(b"<")
    assert challenge.endswith(b"@relay.example>")
    event = session.send(b64(b"user " + b"0" * 32))
    assert event == Authenticate("CRAM-MD5", Digest("user", challenge=challenge, digest=bytes(16)))


def test_some_are_offered_under_tls_only() -> None:
    session = Session(secure=False)
    session.send(b"EHLO again")
    session.answer(replies.HELLO_OK)
    offer = next(line for line in session.said().decode().splitlines() if "AUTH" in line).split()[1:]
    assert offer == [name for name in MECHANISMS if name not in TLS_ONLY]
    for name in TLS_ONLY:
        assert session.send(b"AUTH " + name.encode()) == ProtocolError(replies.AUTH_NEEDS_TLS, "AUTH")
        session.answer(replies.AUTH_NEEDS_TLS)


@pytest.mark.parametrize("octets", [b"AAA", b"!!!!", b"AAAA AAAA", b"A" * 13000])
@pytest.mark.parametrize("name", list(MECHANISMS))
def test_what_is_no_base64(name: str, octets: bytes) -> None:
    session = Session()
    event = session.send(b"AUTH " + name.encode())
    assert event is None
    event = session.send(octets)
    assert isinstance(event, ProtocolError)
    assert event.reply.code in (500, 501)
    assert event.command in ("AUTH", "")


SECRET = "s3cret-phrase"
ENDS = {
    b"PLAIN": [b"\0user\0" + SECRET.encode()],
    b"LOGIN": [b"user", SECRET.encode()],
    b"CRAM-MD5": [b"user " + SECRET.encode().hex().encode()[:26] + b"0" * 6],
    b"XOAUTH2": [b"user=a\1auth=Bearer " + SECRET.encode() + b"\1\1"],
    b"OAUTHBEARER": [b"n,a=a,\1auth=Bearer " + SECRET.encode() + b"\1\1"],
}


@pytest.mark.parametrize("name", list(ENDS))
def test_no_event_shows_a_secret(name: bytes) -> None:
    """Neither the good one, nor what is left of a broken exchange."""
    for broken in (b"", b"!"):
        session = Session()
        session.send(b"AUTH " + name)
        shown = ""
        for response in ENDS[name]:
            event = session.send(b64(response) + (broken if response is ENDS[name][-1] else b""))
            shown += repr(event) + str(event)
        assert isinstance(event, ProtocolError if broken else Authenticate)
        for form in (
            SECRET,
            SECRET.encode().hex()[:26],
            b64(SECRET.encode()).decode()[:-4],
            b64(response).decode()[:-4],
            repr(response)[2:-1],
        ):
            assert form not in shown


def test_a_scram_proof_is_not_shown() -> None:
    session = Session()
    session.send(b"AUTH SCRAM-SHA-256 " + b64(FIRST))
    session.engine.challenge(verifier(), b"")
    answer = final(FIRST, b"n,,")
    event = session.send(b64(answer))
    assert isinstance(event, Authenticate)
    proof = answer.rpartition(b"p=")[2].decode()
    assert proof not in repr(event)
    assert repr(base64.b64decode(proof))[2:-1] not in repr(event)
    assert "nonce" not in repr(event)
    assert repr(verifier().stored_key)[2:-1] not in repr(verifier())


def split(data: bytes, feed: Callable[[bytes], Event | None]) -> list[Event]:
    return [event for octet in data if (event := feed(bytes([octet]))) is not None]


def test_octet_by_octet() -> None:
    session = Session()

    def feed(octet: bytes) -> Event | None:
        session.engine.receive_data(octet)
        return session.engine.next_event()

    assert split(b"AUTH SCRAM-SHA-256\r\n" + b64(FIRST) + b"\r\n", feed) == [ScramChallenge("SCRAM-SHA-256", "user", "")]
    session.engine.challenge(verifier(), b"")
    assert len(split(b64(final(FIRST, b"n,,")) + b"\r\n", feed)) == 1
    assert session.answer(replies.AUTH_OK) is None
    assert split(b"\r\n", feed) == [Authenticated()]
