"""The AUTH part of the model: one exchange, line by line, and what clients say in it.

The server's half of the SCRAM nonce is made the same in every exchange (L{same_nonce}), so that what a client says can be written down
before it is asked.

Sources: RFC 4954 section 4, RFC 4616, RFC 7677 and RFC 5802 (SCRAM-SHA-256), Google's XOAUTH2.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
from unittest import mock

import attrs

from tests.wire.test_scram import verifier
from twistedrelay.wire.mechanisms import MECHANISMS
from twistedrelay.wire.scram import Scram

NAME = "cengiz@akkaya.local"
PASSWORD = "secret word"

CLIENT_NONCE, SERVER_NONCE = b"fyko+d2lbbFgONRv9qkxdawL", b"3rfcNHYJY1ZVvWVs7j"
VERIFIER = functools.cache(verifier)


def same_nonce() -> mock._patch_dict:
    """While this patch is there, the server says L{SERVER_NONCE} in each SCRAM exchange."""
    return mock.patch.dict(MECHANISMS, {"SCRAM-SHA-256": lambda name, settings, secure: Scram(False, False, SERVER_NONCE.decode)})


def _line(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def _scram_final(password: str, nonce: bytes = CLIENT_NONCE + SERVER_NONCE) -> bytes:
    """The client's last message, made by the book."""
    known = VERIFIER()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), known.salt, known.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    challenge = b"r=%s,s=%s,i=%d" % (CLIENT_NONCE + SERVER_NONCE, base64.b64encode(known.salt), known.iterations)
    without_proof = b"c=biws,r=" + nonce
    message = b",".join((_SCRAM_FIRST.removeprefix(b"n,,"), challenge, without_proof))
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    return without_proof + b",p=" + base64.b64encode(bytes(ours ^ theirs for ours, theirs in zip(client_key, signature, strict=True)))


_SCRAM_FIRST = b"n,,n=" + NAME.encode() + b",r=" + CLIENT_NONCE
_PROVEN = _scram_final(PASSWORD)

GOOD_LOGIN = b"AUTH PLAIN " + _line(f"\0{NAME}\0{PASSWORD}".encode())
BAD_LOGIN = b"AUTH PLAIN " + _line(f"\0{NAME}\0guess".encode())
SCRAM = b"AUTH SCRAM-SHA-256 " + _line(_SCRAM_FIRST)
SCRAM_PROOF = _line(_PROVEN)
SCRAM_GUESS = _line(_scram_final("guess"))
TOKEN = b"AUTH XOAUTH2 " + _line(f"user={NAME}\1auth=Bearer {PASSWORD.replace(' ', '')}\1\1".encode())

LOGINS: dict[str, bytes] = {
    "AUTH": GOOD_LOGIN + b"\r\n",
    "AUTH wrong": BAD_LOGIN + b"\r\n",
    "AUTH in steps": b"AUTH LOGIN\r\n" + _line(NAME.encode()) + b"\r\n" + _line(PASSWORD.encode()) + b"\r\n",
    "AUTH begun": b"AUTH PLAIN\r\n",
    "AUTH cancelled": b"AUTH PLAIN\r\n*\r\n",
    "AUTH empty": b"AUTH PLAIN =\r\n",
    "AUTH unknown": b"AUTH GSSAPI\r\n",
    "SCRAM": SCRAM + b"\r\n",
    "SCRAM in steps": b"AUTH SCRAM-SHA-256\r\n" + _line(_SCRAM_FIRST) + b"\r\n",
    "SCRAM proof": SCRAM_PROOF + b"\r\n",
    "SCRAM guess": SCRAM_GUESS + b"\r\n",
    "SCRAM of another exchange": _line(_scram_final(PASSWORD, CLIENT_NONCE + b"another")) + b"\r\n",
    "SCRAM whole": b"\r\n".join((SCRAM, SCRAM_PROOF, b"", b"")),
    "SCRAM whole guess": b"\r\n".join((SCRAM, SCRAM_GUESS, b"")),
    "SCRAM disagreed": b"\r\n".join((SCRAM, SCRAM_PROOF, b"*", b"")),
    "token": TOKEN + b"\r\n",
    "cancel": b"*\r\n",
}

#: What AUTH asks the session: about, and the name or C{name:password}.
Question = tuple[str, str]


@attrs.define
class Login:
    """One exchange.  A code of 334 means that it goes on; another one ends it.

    @ivar outcome: what was decided, where the client has still to answer the mechanism's last word.
    """

    mechanism: str
    said: list[bytes] = attrs.Factory(list)
    challenged: bool = False
    outcome: int = 0

    def begin(self, initial: bytes) -> Question | int:
        """What stands behind the mechanism's name."""
        if initial == b"=":
            return self._take(b"")
        return self.line(initial) if initial else 334

    def line(self, line: bytes) -> Question | int:
        """A line of the client."""
        if self.outcome >= 400:
            return self.outcome
        if self.outcome:
            return 501 if line else self.outcome
        if line == b"*":
            return 501
        try:
            return self._take(base64.b64decode(line, validate=True))
        except binascii.Error:
            return 501

    def judged(self, code: int) -> int:
        """The session has decided."""
        last_word = {"SCRAM-SHA-256": self.challenged and 235, "XOAUTH2": 535}.get(self.mechanism)
        if code != last_word:
            return code
        self.outcome = code
        return 334

    def _take(self, octets: bytes) -> Question | int:
        self.said.append(octets)
        try:
            if self.mechanism == "SCRAM-SHA-256":
                return self._take_final(octets) if self.challenged else self._take_first(octets)
            if self.mechanism == "XOAUTH2":
                user, token, *rest = octets.decode().split("\1")
                good = user.startswith("user=") and token.startswith("auth=Bearer ") and rest == ["", ""]
                return ("Authenticate", f"{user[5:]}:{token[12:]}") if good and len(user) > 5 else 501
            if self.mechanism == "LOGIN":
                if len(self.said) < 2:
                    return 334
                user, password = (part.decode() for part in self.said)
            else:
                _, user, password = octets.decode().split("\0")
        except ValueError:
            return 501
        return ("Authenticate", f"{user}:{password}") if user and password and user.isprintable() else 501

    def _take_first(self, octets: bytes) -> Question | int:
        flag, authzid, name, nonce = octets.split(b",")
        if (flag, authzid, name[:2], nonce[:2]) != (b"n", b"", b"n=", b"r="):
            return 501
        return "ScramChallenge", name[2:].decode()

    def _take_final(self, octets: bytes) -> Question | int:
        bound, nonce, proof = octets.split(b",")
        if (bound, nonce[:2], proof[:2]) != (b"c=biws", b"r=", b"p="):
            return 501
        return "Authenticate", f"{NAME}:{PASSWORD if octets == _PROVEN else 'wrong'}"
