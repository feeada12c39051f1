"""SASL: every mechanism, line by line, and the verifier of SCRAM."""

from __future__ import annotations

import base64
import hashlib
import hmac

import attrs

from tests.proof.logins import VERIFIER
from tests.proof.targets.target import target, text
from tests.wire.driver import SETTINGS
from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire import sasl
from twistedrelay.wire.mechanisms import MECHANISMS
from twistedrelay.wire.scram import Scram

PASSWORD, SALT, NONCE = "pencil", b"salt", "3rfcNHYJY1ZVvWVs7j"
_SETTINGS = attrs.evolve(SETTINGS, auth_mechanisms=tuple(MECHANISMS))


def _plain(response: bytes) -> tuple[str, str, str] | None:
    try:
        authzid, authcid, password = response.decode().split("\0")
    except ValueError:
        return None
    return (authzid, authcid, password) if authcid and password and authcid.isprintable() and authzid.isprintable() else None


def _sound(mechanism: str, found: sasl.Credentials, said: list[bytes]) -> None:
    """What is handed over is printable, not in any repr, and what the client said."""
    assert found.authcid.isprintable()
    assert found.authzid.isprintable()
    assert found.authcid or mechanism in ("EXTERNAL", "OAUTHBEARER")
    for name in ("password", "token", "proof", "digest"):
        secret = getattr(found, name, None)
        assert secret is None or secret, "nothing is no secret"
        if secret is not None:
            assert repr(secret) not in repr(found).replace(repr(found.authcid), "").replace(repr(found.authzid), "")
    if mechanism == "PLAIN":
        assert isinstance(found, sasl.Password)
        assert (found.authzid, found.authcid, found.password) == _plain(said[-1])
    elif isinstance(found, sasl.Token):
        assert found.token.isascii()
        assert found.token.encode() in said[-1]
        assert not any(character in found.token for character in " \1,\t")


@target(
    "sasl",
    *(name.encode() + b"\n" for name in MECHANISMS),
    b"\n",
    b"\0",
    b"\1",
    b"\0user\0password",
    b"n,,",
    b"y,,",
    b"n,a=x,",
    b"p=tls-exporter,,",
    b"n=user,r=abc",
    b"n=us=2Cer,r=abc",
    b"c=biws,r=abc" + NONCE.encode() + b",p=AAAA",
    b"user=u\1auth=Bearer token\1\1",
    b"n,a=user,\1host=h\1auth=Bearer dG9r\1\1",
    b"user 0123456789abcdef0123456789abcdef",
    b"=2C",
    b"=3D",
    b"m=x",
)
def sasl_exchange(data: bytes) -> None:
    """SASL: the mechanism in the first line, then what responses decode to.  Bad ones are told, and an exchange ends."""
    first, *responses = data.split(b"\n")
    name = first.decode("latin-1").upper()
    if name not in MECHANISMS:
        return
    mechanism = (
        Scram(name.endswith("PLUS"), True, lambda: NONCE) if name.startswith("SCRAM") else MECHANISMS[name](name, _SETTINGS, secure=True)
    )
    for number, response in enumerate(responses):
        try:
            found = mechanism.start(response) if number == 0 else mechanism.step(response)
        except sasl.SASLError:
            assert name != "PLAIN" or number or _plain(response) is None
            return
        if isinstance(found, sasl.VerifierWanted):
            assert found.name
            assert found.name.isprintable()
            assert isinstance(mechanism, Scram)
            assert name.endswith("PLUS") == bool(found.binding)
            challenge = mechanism.challenge(VERIFIER(), b"channel" if found.binding else b"")
            assert challenge.startswith(b"r=")
            assert challenge.isascii()
        elif isinstance(found, sasl.Credentials):
            _sound(name, found, responses[: number + 1])
            for accepted in (True, False):
                word = mechanism.last_word(accepted)
                assert word is None or (word and word.isascii())
            if isinstance(found, sasl.Proof):
                assert not VERIFIER().is_proof(found.auth_message, found.proof), "nobody can guess it"
            return
        else:
            assert found.isascii()
        assert number < 4, "an exchange ends"


def _keys(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return client, hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


_CLIENT, _STORED, _SERVER = _keys(b"pencil", b"salt", 4096)


def _base64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


@target(
    "verifier",
    b"SCRAM-SHA-256$4096:" + _base64(SALT) + b"$" + _base64(_STORED) + b":" + _base64(_SERVER),
    b"SCRAM-SHA-256$",
    b"4096:",
    b"$",
    b":",
    b"=",
    b"AAAA",
    b"\n",
    "٤".encode(),
)
def scram_verifier(data: bytes) -> None:
    """A verifier as text: read, or refused without telling it; a short or foreign proof is never one."""
    written = text(data)
    if written is None:
        return
    try:
        found = ScramVerifier.parse(written)
    except ValueError as error:
        assert not written or written not in str(error)
        return
    again = b"SCRAM-SHA-256$%d:%s$%s:%s" % (found.iterations, *map(_base64, (found.salt, found.stored_key, found.server_key)))
    assert ScramVerifier.parse(again.decode()) == found
    for proof in (b"", found.stored_key, found.server_key, bytes(32)):
        assert not found.is_proof(data, proof)
    signature = hmac.digest(found.stored_key, data, "sha256")
    proof = bytes(ours ^ theirs for ours, theirs in zip(signature, _CLIENT, strict=True))
    assert found.is_proof(data, proof) == (found.stored_key == _STORED)
    assert not any(base64.b64encode(key).decode() in repr(found) for key in (found.stored_key, found.server_key) if len(key) > 8)
