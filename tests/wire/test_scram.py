"""SCRAM-SHA-256 and its channel bindings."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import cast

import pytest

from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire.sasl import Proof, SASLError, Unacceptable, VerifierWanted
from twistedrelay.wire.scram import Scram

#: RFC 7677 section 3: user "user", password "pencil".
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
FIRST = f"n,,n=user,r={CLIENT_NONCE}".encode()
ANSWER = f"r={CLIENT_NONCE}{SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
FINAL = f"c=biws,r={CLIENT_NONCE}{SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
LAST = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def verifier(password: str = "pencil", salt: bytes = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), iterations: int = 4096) -> ScramVerifier:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return ScramVerifier(salt, iterations, stored, hmac.digest(salted, b"Server Key", "sha256"))


def exchange(plus: bool = False, offers_plus: bool = False) -> Scram:
    return Scram(plus, offers_plus, lambda: SERVER_NONCE)


def final(first: bytes, header: bytes, binding: bytes = b"", password: str = "pencil") -> bytes:
    """A client's final message, made by the book."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = b"c=" + base64.b64encode(header + binding) + b",r=" + (CLIENT_NONCE + SERVER_NONCE).encode()
    message = b",".join((first.removeprefix(header), ANSWER, without_proof))
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    return without_proof + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))


def test_the_example_of_rfc_7677() -> None:
    scram = exchange()
    assert scram.start(FIRST) == VerifierWanted("user", "")
    assert scram.challenge(verifier(), b"") == ANSWER
    proof = cast("Proof", scram.step(FINAL))
    assert proof.authcid == "user"
    assert verifier().is_proof(proof.auth_message, proof.proof)
    assert not verifier("pencils").is_proof(proof.auth_message, proof.proof)
    assert not verifier().is_proof(proof.auth_message + b"x", proof.proof)
    assert not verifier().is_proof(proof.auth_message, b"short")
    assert scram.last_word(True) == LAST
    assert scram.last_word(False) is None
    assert base64.b64encode(proof.proof).decode() not in repr(proof)


def test_the_client_may_wait_for_an_empty_challenge() -> None:
    scram = exchange()
    assert scram.start(None) == b""
    assert scram.step(FIRST) == VerifierWanted("user", "")


def test_names_are_unescaped() -> None:
    wanted = exchange().start(b"n,a=b=2Cc,n=a=3Db=2Cc,r=x")
    assert wanted == VerifierWanted("a=b,c", "")


@pytest.mark.parametrize("binding", ["tls-exporter", "tls-server-end-point"])
def test_channel_binding(binding: str) -> None:
    header = f"p={binding},,".encode()
    first = header + f"n=user,r={CLIENT_NONCE}".encode()
    for data, good in ((b"the channel", True), (b"another channel", False)):
        scram = exchange(plus=True, offers_plus=True)
        assert scram.start(first) == VerifierWanted("user", binding)
        scram.challenge(verifier(), b"the channel")
        result = scram.step(final(first, header, data))
        if good:
            assert isinstance(result, Proof)
            assert verifier().is_proof(result.auth_message, result.proof)
        else:
            assert isinstance(result, Unacceptable)
            assert "bindings differ" in result.reason


@pytest.mark.parametrize(
    ("plus", "offers_plus", "header", "reason"),
    [
        (False, True, b"y,,", "took SCRAM-SHA-256-PLUS out"),
        (False, True, b"p=tls-exporter,,", "does not fit"),
        (True, True, b"n,,", "does not fit"),
        (True, True, b"y,,", "does not fit"),
        (True, True, b"p=tls-unique,,", "tls-unique is not supported"),
    ],
)
def test_what_is_never_accepted(plus: bool, offers_plus: bool, header: bytes, reason: str) -> None:
    result = exchange(plus, offers_plus).start(header + b"n=user,r=x")
    assert isinstance(result, Unacceptable)
    assert reason in result.reason
    assert result.authcid == "user"


def test_a_client_without_bindings_may_use_the_plain_mechanism() -> None:
    assert exchange(offers_plus=True).start(FIRST) == VerifierWanted("user", "")
    assert exchange(offers_plus=False).start(b"y,,n=user,r=x") == VerifierWanted("user", "")


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,r=x,n=user",
        b"n,,n=,r=x",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=x",
        b"n,,n=us=2c,r=x",
        b"n,,m=ext,n=user,r=x",
        b"n,,n=us\ner,r=x",
        b"n,,n=\xff,r=x",
        b"n,,n=user,r=a\x7f",
        b"q,,n=user,r=x",
        b"p,,n=user,r=x",
        b"n,n=user,r=x",
    ],
)
def test_bad_first_messages(first: bytes) -> None:
    with pytest.raises(SASLError):
        exchange().start(first)


@pytest.mark.parametrize(
    "last", [b"", b"c=biws", FINAL.rpartition(b",p=")[0], FINAL + b",x=1", FINAL.replace(b"c=biws", b"c=bi!s"), FINAL + b"="]
)
def test_bad_final_messages(last: bytes) -> None:
    scram = exchange()
    scram.start(FIRST)
    scram.challenge(verifier(), b"")
    with pytest.raises(SASLError):
        scram.step(last)


@pytest.mark.parametrize(
    "change", [lambda m: m.replace(b"k0,p", b"k1,p"), lambda m: m.replace(b"c=biws", b"c=eSws"), lambda m: m.replace(b"$k0,p", b",p")]
)
def test_another_nonce_or_header(change: object) -> None:
    scram = exchange()
    scram.start(FIRST)
    scram.challenge(verifier(), b"")
    assert isinstance(scram.step(change(FINAL)), Unacceptable)  # type: ignore[operator]


def test_nonces_differ() -> None:
    answers = set()
    for _ in range(2):
        scram = Scram(False, False)
        scram.start(FIRST)
        answers.add(scram.challenge(verifier(), b""))
    assert len(answers) == 2


def test_a_verifier_is_read_and_not_shown() -> None:
    made = verifier()
    salt, stored, server = (base64.b64encode(part).decode() for part in (made.salt, made.stored_key, made.server_key))
    assert ScramVerifier.parse(f"SCRAM-SHA-256$4096:{salt}${stored}:{server}") == made
    assert "key" not in repr(made)
    for text in ("", f"SCRAM-SHA-1$4096:{salt}${stored}:{server}", f"SCRAM-SHA-256$4096:{salt}${stored}", "SCRAM-SHA-256$4096:a$b:c"):
        with pytest.raises(ValueError, match="no SCRAM-SHA-256 verifier"):
            ScramVerifier.parse(text)
    for few in ("0096", "999", "\u0664\u0660\u0669\u0666"):
        with pytest.raises(ValueError, match="no SCRAM-SHA-256 verifier"):
            ScramVerifier.parse(f"SCRAM-SHA-256${few}:{salt}${stored}:{server}")
