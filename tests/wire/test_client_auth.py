"""The client's mechanisms, against known answers and against our own server's side of them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.client_peer import Peer
from twistedrelay.values.reply import Reply
from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire.bearer import OAuthBearer, XOAuth2
from twistedrelay.wire.client_scram import ITERATIONS, MechanismError, ScramClient
from twistedrelay.wire.client_values import Broken, ClientSettings, Credentials, Derive, Ready, Stage
from twistedrelay.wire.sasl import Proof, Token, Unacceptable, VerifierWanted
from twistedrelay.wire.scram import Scram

PASSWORD = Credentials("user", "pencil")
TOKEN = Credentials("relay@example.org", token="ya29.secret-token")


def offered(credentials: Credentials, mechanisms: str, bindings: dict[str, bytes] | None = None, secure: bool = True) -> tuple[Peer, bytes]:
    """A session that has seen these mechanisms, and what it said."""
    peer = Peer(ClientSettings("relay.test", secure=secure, credentials=credentials))
    peer.engine.bind(bindings or {})
    peer.says(b"220 x\r\n")
    return peer, peer.says(f"250-x\r\n250 AUTH {mechanisms}\r\n".encode())


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def unb64(line: bytes) -> bytes:
    return base64.b64decode(line.split()[-1])


def verifier(password: str, salt: bytes = b"salt of the server", iterations: int = 4096) -> ScramVerifier:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramVerifier(salt, iterations, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


# Which mechanism.


@pytest.mark.parametrize(
    ("mechanisms", "first"),
    [
        ("LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS", b"AUTH SCRAM-SHA-256-PLUS "),
        ("LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256", b"AUTH SCRAM-SHA-256 "),
        ("LOGIN PLAIN CRAM-MD5", b"AUTH CRAM-MD5\r\n"),
        ("LOGIN PLAIN XOAUTH2", b"AUTH PLAIN "),
        ("LOGIN NTLM", b"AUTH LOGIN\r\n"),
    ],
)
def test_the_strongest_one_comes_first(mechanisms: str, first: bytes) -> None:
    _, said = offered(PASSWORD, mechanisms, {"tls-exporter": b"x" * 32})
    assert said.startswith(first)


def test_no_plus_without_a_channel_to_bind_to() -> None:
    credentials = Credentials("user", "pencil", requires_tls=False)
    _, said = offered(credentials, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", secure=False)
    assert said.startswith(b"AUTH SCRAM-SHA-256 ")


@pytest.mark.parametrize("refusal", ["504 5.5.4 what", "504 5.7.4 Unrecognized authentication type", "500 5.7.4 no", "501 5.5.4 no"])
def test_the_next_one_where_the_server_does_not_know_the_first(refusal: str) -> None:
    peer, said = offered(PASSWORD, "SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN")
    for expected in (b"AUTH SCRAM-SHA-256 ", b"AUTH CRAM-MD5\r\n", b"AUTH PLAIN ", b"AUTH LOGIN\r\n"):
        assert said.startswith(expected)
        said = peer.says(refusal.encode() + b"\r\n")
    assert said == b""
    assert peer.last(Broken) == Broken(Reply(454, "4.7.0", f"Login refused by the server: {refusal}"), True, Stage.AUTH)


@pytest.mark.parametrize("refusal", ["535 5.7.8 wrong", "535 5.7.4 wrong", "534 5.7.9 too weak", "550 5.7.30 Basic authentication is off"])
def test_refused_credentials_are_not_tried_around(refusal: str) -> None:
    peer, said = offered(PASSWORD, "CRAM-MD5 PLAIN LOGIN")
    assert said == b"AUTH CRAM-MD5\r\n"
    assert peer.says(refusal.encode() + b"\r\n") == b""
    assert peer.last(Broken).refused
    assert peer.last(Broken).reply.code == 454


@pytest.mark.parametrize("reply", [b"432 4.3.2 Concurrent connections limit exceeded", b"454 4.7.0 try later", b"421 4.3.2 busy"])
def test_what_is_temporary_stays_as_it_is(reply: bytes) -> None:
    peer, _ = offered(PASSWORD, "PLAIN")
    peer.says(reply + b"\r\n")
    broken = peer.last(Broken)
    assert (str(broken.reply.code).encode(), broken.own, broken.refused) == (reply[:3], False, False)
    assert broken.reply.enhanced.encode() == reply[4:9]


# Passwords.


def test_cram_md5_as_in_rfc_2195() -> None:
    peer, _ = offered(Credentials("tim", "tanstaaftanstaaf"), "CRAM-MD5")
    said = peer.says(b"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n")
    assert said == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n"
    peer.says(b"235 ok\r\n")
    assert peer.events == [Ready()]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_more_questions_than_there_is_to_say(mechanism: str) -> None:
    peer, _ = offered(PASSWORD, mechanism)
    for _ in range(4):
        peer.says(b"334 PDFAeD4=\r\n")
    assert peer.last(Broken).reply.code == 454


def test_a_long_password_has_a_line_of_its_own() -> None:
    peer, said = offered(Credentials("user", "p" * 500), "PLAIN")
    assert said == b"AUTH PLAIN\r\n"
    assert peer.says(b"334 \r\n") == b64(b"\0user\0" + b"p" * 500) + b"\r\n"
    assert peer.says(b"334 \r\n") == b""
    assert peer.last(Broken).reply.code == 454


def test_a_password_that_scram_does_not_allow_goes_by_the_next_mechanism() -> None:
    _, said = offered(Credentials("user", "tab\tin it"), "SCRAM-SHA-256 PLAIN")
    assert said.startswith(b"AUTH PLAIN ")


# SCRAM.


def test_scram_as_in_rfc_7677() -> None:
    scram = ScramClient("user", "pencil", False, {}, False, nonce=lambda: "rOprNGfwEbeRWgbNEkqO")
    assert scram.start() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    work = scram.answer(b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert isinstance(work, Derive)
    assert work.work() == b"c=biws,r=" + nonce + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert scram.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert scram.proved


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("password", ["pencil", "pässwörd, with=signs"])
def test_scram_with_our_own_server(plus: bool, password: str) -> None:
    bindings = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32} if plus else {}
    peer, said = offered(Credentials("us=er,name", password), "PLAIN SCRAM-SHA-256" + (" SCRAM-SHA-256-PLUS" if plus else ""), bindings)
    server = Scram(plus, plus)
    wanted = server.start(unb64(said))
    assert wanted == VerifierWanted("us=er,name", "tls-exporter" if plus else "")
    known = verifier(password)
    assert peer.says(b"334 " + b64(server.challenge(known, b"e" * 32 if plus else b"")) + b"\r\n") == b""
    peer.engine.derived(peer.last(Derive).work())
    proof = server.step(base64.b64decode(peer.collect()))
    assert isinstance(proof, Proof)
    assert known.is_proof(proof.auth_message, proof.proof)
    word = server.last_word(True)
    assert word is not None
    assert peer.says(b"334 " + b64(word) + b"\r\n") == b"\r\n"
    peer.says(b"235 ok\r\n")
    assert peer.events[-1] == Ready()


def test_scram_tells_that_somebody_took_plus_out_of_the_offer() -> None:
    _, said = offered(PASSWORD, "SCRAM-SHA-256", {"tls-exporter": b"e" * 32})
    assert unb64(said).startswith(b"y,,")
    assert isinstance(Scram(False, True).start(unb64(said)), Unacceptable)


def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    peer, said = offered(PASSWORD, "SCRAM-SHA-256")
    assert peer.says(b"235 welcome\r\n") == b""
    assert "did not show" in peer.last(Broken).reply.text
    peer, said = offered(PASSWORD, "SCRAM-SHA-256")
    nonce = unb64(said).rpartition(b"r=")[2]
    peer.says(b"334 " + b64(b"r=%sx,s=c2FsdA==,i=4096" % nonce) + b"\r\n")
    peer.engine.derived(peer.last(Derive).work())
    peer.collect()
    peer.says(b"334 " + b64(b"v=" + b64(b"x" * 32)) + b"\r\n")
    assert "does not know the password" in peer.last(Broken).reply.text


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=other,s=c2FsdA==,i=4096",
        b"r=abc,s=c2FsdA==,i=4096",
        b"r=abcd,s=c2FsdA==,i=4095",
        b"r=abcd,s=c2FsdA==,i=%d" % (ITERATIONS[-1] + 1),
        b"r=abcd,s=,i=4096",
        b"r=abcd,s=x,i=4096",
        b"m=ext,r=abcd,s=c2FsdA==,i=4096",
        b"e=unknown-user",
        b"",
        b"\xff",
    ],
)
def test_bad_first_messages(challenge: bytes) -> None:
    scram = ScramClient("user", "pencil", False, {}, False, nonce=lambda: "abc")
    scram.start()
    with pytest.raises(MechanismError):
        scram.answer(challenge)


def test_a_server_that_speaks_while_we_compute() -> None:
    peer, said = offered(PASSWORD, "SCRAM-SHA-256")
    nonce = unb64(said).rpartition(b"r=")[2]
    peer.says(b"334 " + b64(b"r=%sx,s=c2FsdA==,i=4096" % nonce) + b"\r\n235 ok\r\n")
    assert "out of turn" in peer.last(Broken).reply.text
    peer.engine.derived(b"too late")
    assert peer.collect() == b""


@given(st.binary(max_size=200))
def test_no_challenge_breaks_a_mechanism(challenge: bytes) -> None:
    for credentials, mechanism in ((PASSWORD, "SCRAM-SHA-256"), (PASSWORD, "CRAM-MD5"), (TOKEN, "XOAUTH2")):
        peer, _ = offered(credentials, mechanism)
        peer.says(b"334 " + b64(challenge) + b"\r\n")
        peer.says(b"334 " + challenge.replace(b"\n", b"").replace(b"\r", b"") + b"\r\n")
        assert not any(isinstance(event, Ready) for event in peer.events)


# Tokens.


def test_xoauth2() -> None:
    peer, said = offered(TOKEN, "PLAIN XOAUTH2")
    assert said.startswith(b"AUTH XOAUTH2 ")
    assert XOAuth2().start(unb64(said)) == Token("relay@example.org", token="ya29.secret-token")
    peer.says(b"235 ok\r\n")
    assert peer.events == [Ready()]


def test_oauthbearer() -> None:
    credentials = Credentials("a=b,c@example.org", token="ya29.secret-token")
    _, said = offered(credentials, "XOAUTH2 OAUTHBEARER")
    assert said.startswith(b"AUTH OAUTHBEARER ")
    assert OAuthBearer().start(unb64(said)) == Token("a=b,c@example.org", token="ya29.secret-token")


def test_a_long_token_has_a_line_of_its_own() -> None:
    credentials = Credentials("relay@example.org", token="t" * 2500)
    peer, said = offered(credentials, "XOAUTH2")
    assert said == b"AUTH XOAUTH2\r\n"
    assert XOAuth2().start(unb64(peer.says(b"334 \r\n"))) == Token("relay@example.org", token="t" * 2500)


@pytest.mark.parametrize(("mechanism", "acknowledgement"), [("XOAUTH2", b"\r\n"), ("OAUTHBEARER", b"AQ==\r\n")])
def test_the_reason_of_a_refused_token_is_acknowledged(mechanism: str, acknowledgement: bytes) -> None:
    peer, _ = offered(TOKEN, mechanism)
    reason = b'{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}'
    assert peer.says(b"334 " + b64(reason) + b"\r\n") == acknowledgement
    peer.says(b"535-5.7.8 no\r\n535 5.7.8 really ya29.secret-token\r\n")
    broken = peer.last(Broken)
    assert broken.refused
    assert broken.reply.text == "Login refused by the server: 535 5.7.8 no 5.7.8 really *** (401)"


@pytest.mark.parametrize("reason", [b"not JSON", b"[]", b"{}", b"[" * 5000, b'{"status": {"a": "\x07"}}'])
def test_odd_reasons_of_a_refusal(reason: bytes) -> None:
    peer, _ = offered(TOKEN, "XOAUTH2")
    assert peer.says(b"334 " + b64(reason[:1000]) + b"\r\n") == b"\r\n"
    peer.says(b"535 5.7.8 no\r\n")
    assert peer.last(Broken).refused


def test_a_token_is_never_a_password_and_never_in_clear_text() -> None:
    peer, said = offered(TOKEN, "PLAIN LOGIN SCRAM-SHA-256")
    assert said == b""
    assert "OAUTHBEARER or XOAUTH2" in peer.last(Broken).reply.text
    peer, said = offered(Credentials("user", requires_tls=False, token="t"), "XOAUTH2", secure=False)
    assert said == b""


def test_nothing_secret_is_shown() -> None:
    assert "secret" not in repr(TOKEN)
    assert "pencil" not in repr(PASSWORD)
