"""XOAUTH2 and OAUTHBEARER on the server's side, without I/O: bearer tokens.

They differ in the head of their one message, and in what a refused client is told before the outcome.  Never looks into a token.

Sources: Google and Microsoft, "XOAUTH2"; RFC 7628 (OAUTHBEARER), RFC 6750 section 2.1 (a token's characters), RFC 5801 section 4 (gs2).
"""

from __future__ import annotations

import re

from twistedrelay.wire.sasl import Credentials, SASLError, Step, Token, login_name, text

_TOKEN = re.compile(r"(?i:Bearer) +([A-Za-z0-9\-._~+/]+=*)")
_PAIR = re.compile(r"([A-Za-z]+)=([\t\n\r\x20-\U0010ffff]*)")
_HEADER = re.compile(rb"[ny],(?:a=([^,]*))?,")  # p: there is no OAUTHBEARER-PLUS


class Bearer:
    """What both mechanisms share."""

    #: What a refused client is told; it answers, and gets the outcome.
    refusal: bytes

    def start(self, initial: bytes | None) -> Step:
        """Begin."""
        return b"" if initial is None else self.step(initial)

    def step(self, response: bytes) -> Credentials:
        """Take the one message."""
        raise SASLError

    def last_word(self, accepted: bool) -> bytes | None:
        """Tell a refused client why."""
        return None if accepted else self.refusal


class XOAuth2(Bearer):
    """XOAUTH2: C{user=name ^A auth=Bearer token ^A ^A}."""

    refusal = b'{"status":"401","schemes":"bearer"}'

    def step(self, response: bytes) -> Credentials:
        """Take the one message."""
        pairs = _pairs(response)
        return Token(login_name(pairs.get("user", "").encode()), token=_token(pairs))


class OAuthBearer(Bearer):
    """OAUTHBEARER: C{n,a=name, ^A host=... ^A auth=Bearer token ^A ^A}.  The name may be left to the token."""

    refusal = b'{"status":"invalid_token"}'

    def step(self, response: bytes) -> Credentials:
        """Take the one message."""
        header, separator, rest = response.partition(b"\1")
        found = _HEADER.fullmatch(header)
        if found is None or not separator:
            raise SASLError
        name = (found[1] or b"").replace(b"=2C", b",").replace(b"=3D", b"=")
        return Token(text(name), token=_token(_pairs(rest)))


def _pairs(octets: bytes) -> dict[str, str]:
    """The C{key=value} pairs, each ended by ^A, the last by two."""
    if not octets.endswith(b"\1\1"):
        raise SASLError
    found: dict[str, str] = {}
    try:
        parts = octets[:-2].decode().split("\1")
    except UnicodeDecodeError:
        raise SASLError from None
    for part in parts:
        pair = _PAIR.fullmatch(part)
        if pair is None or pair[1].lower() in found:
            raise SASLError
        found[pair[1].lower()] = pair[2]
    return found


def _token(pairs: dict[str, str]) -> str:
    found = _TOKEN.fullmatch(pairs.get("auth", ""))
    if found is None:
        raise SASLError
    return found[1]
