"""The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, without I/O.

Decides whether the messages are well formed, belong together and are bound to this TLS channel.  Whether the proof is right is for others
to say: the verifier that this module is given may be that of a user that does not exist.

Sources: RFC 5802, RFC 7677; RFC 9266 (tls-exporter), RFC 5929 (tls-server-end-point).
"""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
from collections.abc import Callable

from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire.sasl import Proof, SASLError, Step, Unacceptable, VerifierWanted, login_name, text

#: The channel bindings that can be had, the better one first.
BINDINGS = ("tls-exporter", "tls-server-end-point")

_FIRST = re.compile(rb"((?:p=([A-Za-z0-9.-]+)|([ny])),(?:a=([^,]+))?,)(n=([^,]+),r=([!-+\--~]+)(?:,[A-Za-z]=[^,\0]+)*)")
_FINAL = re.compile(rb"(c=([A-Za-z0-9+/=]+),r=([!-+\--~]+)(?:,[A-Za-z]=[^,\0]+)*),p=([A-Za-z0-9+/=]+)")
_ESCAPE = re.compile(rb"=(2C|3D)?")


class Scram:
    """One exchange.

    @param plus: the client chose the mechanism with channel binding.
    @param offers_plus: the client was offered it, so one that knows of bindings and says that we do not was lied to.
    """

    def __init__(self, plus: bool, offers_plus: bool, nonce: Callable[[], str] = secrets.token_urlsafe) -> None:
        self._plus = plus
        self._offers_plus = offers_plus
        self._nonce = nonce
        self._header = b""
        self._first = b""  # client-first-message-bare
        self._client_nonce = b""
        self._name = self._authzid = ""
        self._asked = b""  # server-first-message
        self._verifier: ScramVerifier | None = None
        self._binding = b""
        self._auth_message = b""

    def start(self, initial: bytes | None) -> Step:
        """Begin."""
        return b"" if initial is None else self.step(initial)

    def step(self, response: bytes) -> Step:
        """Take the client's first message, then its final one."""
        return self._take_first(response) if self._verifier is None else self._take_final(response, self._verifier)

    def challenge(self, verifier: ScramVerifier, binding: bytes) -> bytes:
        """The server's first message.

        @param binding: the octets of the channel binding that L{VerifierWanted} named; C{b""} where it named none.
        """
        self._verifier = verifier
        self._binding = binding
        salt = binascii.b2a_base64(verifier.salt, newline=False)
        self._asked = b"r=%s%s,s=%s,i=%d" % (self._client_nonce, self._nonce().encode("ascii"), salt, verifier.iterations)
        return self._asked

    def last_word(self, accepted: bool) -> bytes | None:
        """Prove that we know the verifier."""
        if not accepted or self._verifier is None:
            return None
        return b"v=" + binascii.b2a_base64(self._verifier.signature(self._auth_message), newline=False)

    def _take_first(self, message: bytes) -> Step:
        found = _FIRST.fullmatch(message)
        if found is None:
            raise SASLError
        self._header, wanted, flag, authzid, self._first, name, self._client_nonce = found.groups()
        self._name = login_name(_unescape(name))
        self._authzid = text(_unescape(authzid or b""))
        binding = (wanted or b"").decode("ascii")
        if bool(binding) is not self._plus:
            return self._refuse("the channel binding does not fit the mechanism")
        if flag == b"y" and self._offers_plus:
            return self._refuse("somebody took SCRAM-SHA-256-PLUS out of the offer")
        if binding and binding not in BINDINGS:
            return self._refuse(f"the channel binding {binding} is not supported")
        return VerifierWanted(self._name, binding)

    def _take_final(self, message: bytes, verifier: ScramVerifier) -> Step:
        found = _FINAL.fullmatch(message)
        if found is None:
            raise SASLError
        without_proof, bound, nonce, proof = found.groups()
        if not hmac.compare_digest(_decode(bound), self._header + self._binding):
            return self._refuse("the channel bindings differ: somebody may sit between")
        if not self._asked.startswith(b"r=" + nonce + b","):
            return self._refuse("the nonce is not ours")
        self._auth_message = b",".join((self._first, self._asked, without_proof))
        return Proof(self._name, self._authzid, auth_message=self._auth_message, proof=_decode(proof))

    def _refuse(self, reason: str) -> Unacceptable:
        return Unacceptable(self._name, self._authzid, reason=reason)


def _unescape(name: bytes) -> bytes:
    """C{=2C} is a comma, C{=3D} an equals sign, and nothing else is allowed behind one."""

    def meant(found: re.Match[bytes]) -> bytes:
        if not found[1]:
            raise SASLError
        return b"," if found[1] == b"2C" else b"="

    return _ESCAPE.sub(meant, name)


def _decode(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise SASLError from None
