"""The client's side of SASL by the book, for tests that need every mechanism, right and wrong."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable

from cryptography import x509

Say = Callable[[str], str]  #: a line, and the reply to it


def plain(say: Say, user: str, secret: str) -> str:
    """PLAIN."""
    return say("AUTH PLAIN " + _b64(f"\0{user}\0{secret}"))


def login(say: Say, user: str, secret: str) -> str:
    """LOGIN."""
    assert say("AUTH LOGIN").startswith("334")
    assert say(_b64(user)).startswith("334")
    return say(_b64(secret))


def cram_md5(say: Say, user: str, secret: str) -> str:
    """CRAM-MD5."""
    challenge = b64decode(say("AUTH CRAM-MD5")[4:])
    return say(_b64(f"{user} {hmac.new(secret.encode(), challenge, 'md5').hexdigest()}"))


def xoauth2(say: Say, user: str, secret: str) -> str:
    """XOAUTH2."""
    return _token(say, "XOAUTH2", f"user={user}\1auth=Bearer {secret}\1\1")


def oauthbearer(say: Say, user: str, secret: str) -> str:
    """OAUTHBEARER."""
    return _token(say, "OAUTHBEARER", f"n,a={user},\1auth=Bearer {secret}\1\1")


def scram(say: Say, user: str, secret: str, header: str = "n,,", binding: bytes = b"") -> str:
    """SCRAM-SHA-256, or with a binding in the header SCRAM-SHA-256-PLUS."""
    name = "SCRAM-SHA-256" + ("-PLUS" if header.startswith("p=") else "")
    bare = f"n={user},r=clients-nonce"
    said = say(f"AUTH {name} {_b64(header + bare)}")
    if not said.startswith("334"):
        return said
    first = b64decode(said[4:]).decode()
    nonce, salt, count = (part[2:] for part in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), b64decode(salt), int(count))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c={b64encode(header.encode() + binding).decode()},r={nonce}"
    message = f"{bare},{first},{final}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    said = say(_b64(f"{final},p={b64encode(proof).decode()}"))
    if said.startswith("334"):
        expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        assert b64decode(said[4:]).decode() == f"v={b64encode(expected).decode()}"
        return say("")
    return said


def end_point(tls: ssl.SSLSocket) -> bytes:
    """tls-server-end-point of a connection to a server with a certificate that was signed with SHA-256."""
    der = tls.getpeercert(binary_form=True)
    assert der is not None
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    assert algorithm is not None
    return hashlib.new(algorithm.name, der).digest()


#: Those that take a name and a secret, by name.
MECHANISMS: dict[str, Callable[[Say, str, str], str]] = {
    "PLAIN": plain,
    "LOGIN": login,
    "CRAM-MD5": cram_md5,
    "SCRAM-SHA-256": scram,
    "XOAUTH2": xoauth2,
    "OAUTHBEARER": oauthbearer,
}


def _token(say: Say, mechanism: str, message: str) -> str:
    said = say(f"AUTH {mechanism} {_b64(message)}")
    return say("AQ==") if said.startswith("334") else said


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()
