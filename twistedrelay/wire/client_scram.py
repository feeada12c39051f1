"""The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, without I/O.

The server must show that it knows the password too: one that says 235 without it is not believed.  The password is hashed as often as the
server wants, within bounds, which is work for a thread (L{Derive}).

Sources: RFC 5802, RFC 7677 (at least 4096 iterations), RFC 4013 (SASLprep), RFC 9266, RFC 5929.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping

import scramp
from scramp.utils import saslprep

from twistedrelay.wire.client_values import Derive
from twistedrelay.wire.scram import BINDINGS

#: How often a server may have the password hashed: fewer make it easy to guess, more would only keep us busy.
ITERATIONS = range(4096, 2_000_001)

_FIRST = re.compile(rb"r=([!-+\--~]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9][0-9]{0,9})(?:,.*)?", re.DOTALL)
_ERROR = re.compile(rb"e=([a-z-]{1,60})")


class MechanismError(Exception):
    """A mechanism cannot go on; C{str()} says why, without a secret."""


def prepared(text: str) -> str:
    """A name or password as SASL compares them.

    @raise MechanismError: it holds what SASL does not allow.
    """
    try:
        text.encode()  # a password of other octets than UTF-8
        return str(saslprep(text))
    except (scramp.ScramException, UnicodeError):
        raise MechanismError("the user name or password holds characters that SCRAM does not allow") from None


class ScramClient:
    """One exchange.

    @param bindings: channel bindings by their names; empty for a login without.
    @param offers_plus: the server offers to bind the login to the channel; otherwise, where we could, we say so: that shows the server
        when somebody took it out of its offer.
    """

    def __init__(
        self,
        username: str,
        password: str,
        plus: bool,
        bindings: Mapping[str, bytes],
        offers_plus: bool,
        nonce: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._password = prepared(password).encode()
        self._nonce = nonce().encode("ascii")
        name = prepared(username).replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=%s,r=%s" % (name, self._nonce)
        binding = next((known for known in BINDINGS if known in bindings), "")
        if plus:
            self._header, self._binding = f"p={binding},,".encode("ascii"), bindings[binding]
        else:
            self._header, self._binding = (b"y,," if binding and not offers_plus else b"n,,"), b""
        self._auth_message = b""
        self._final = self._signature = b""
        self.proved = False  #: the server knows the password

    def start(self) -> bytes:
        """The first message."""
        return self._header + self._bare

    def answer(self, challenge: bytes) -> bytes | Derive:
        """Answer the server's first message by work to do, its last one by an empty one.

        @raise MechanismError: the server does not keep to the rules, or does not know the password.
        """
        if error := _ERROR.match(challenge):
            raise MechanismError(f"the server says {error[1].decode('ascii')}")
        if not self._auth_message:
            return self._take_first(challenge)
        expected = b"v=" + base64.b64encode(self._signature)
        if self.proved or not hmac.compare_digest(challenge, expected):
            raise MechanismError("the server does not know the password")
        self.proved = True
        return b""

    def _take_first(self, challenge: bytes) -> Derive:
        found = _FIRST.fullmatch(challenge)
        if found is None:
            raise MechanismError("the server's message is none of SCRAM")
        nonce, salt, count = found[1], found[2], int(found[3])
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise MechanismError("the server's nonce does not fit ours")
        if count not in ITERATIONS:
            raise MechanismError(f"the server wants {count} iterations; allowed: {ITERATIONS[0]} to {ITERATIONS[-1]}")
        try:
            octets = binascii.a2b_base64(salt, strict_mode=True)
        except binascii.Error:
            raise MechanismError("the server's salt cannot be read") from None
        without_proof = b"c=%s,r=%s" % (base64.b64encode(self._header + self._binding), nonce)
        self._auth_message = b",".join((self._bare, challenge, without_proof))
        return Derive(lambda: self._prove(octets, count, without_proof))

    def _prove(self, salt: bytes, count: int, without_proof: bytes) -> bytes:
        """The final message; in a thread."""
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, count)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), self._auth_message, "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), self._auth_message, "sha256")
        proof = bytes(ours ^ theirs for ours, theirs in zip(client_key, signature, strict=True))
        return b"%s,p=%s" % (without_proof, base64.b64encode(proof))
