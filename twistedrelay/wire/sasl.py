"""SASL mechanisms of the server side, without I/O: they turn a client's responses into credentials and never judge them.

Sources: RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN), RFC 4954 section 4 (base64, C{=}).
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Protocol

import attrs


class SASLError(Exception):
    """The response does not follow the mechanism."""


@attrs.frozen(slots=True)
class Credentials:
    """What a finished exchange gave."""

    authzid: str
    authcid: str
    password: str = attrs.field(repr=False)


class Mechanism(Protocol):
    """One exchange.  Both methods give the next challenge, or the credentials when there is enough.

    @raise SASLError: from both.
    """

    def start(self, initial: bytes | None) -> bytes | Credentials:
        """Begin, with the initial response where the client sent one."""

    def step(self, response: bytes) -> bytes | Credentials:
        """Take the response to the last challenge."""


class Plain:
    """PLAIN: all in one message, C{authzid NUL authcid NUL password}."""

    def start(self, initial: bytes | None) -> bytes | Credentials:
        """Begin."""
        return b"" if initial is None else self.step(initial)

    def step(self, response: bytes) -> Credentials:
        """Take the one message."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise SASLError
        return _credentials(*parts)


class Login:
    """LOGIN: two prompts.  Devices compare the prompts, so they are these and no others."""

    def __init__(self) -> None:
        self._username: bytes | None = None

    def start(self, initial: bytes | None) -> bytes:
        """Begin; .NET sends the user name at once."""
        return b"Username:" if initial is None else self._take_username(initial)

    def step(self, response: bytes) -> bytes | Credentials:
        """Take the user name, then the password."""
        if self._username is None:
            return self._take_username(response)
        return _credentials(b"", self._username, response)

    def _take_username(self, response: bytes) -> bytes:
        self._username = response
        return b"Password:"


#: By name in upper case.
MECHANISMS: dict[str, Callable[[], Mechanism]] = {"PLAIN": Plain, "LOGIN": Login}


class Exchange:
    """One AUTH command: a mechanism, in the base64 of SMTP.

    Both methods give the text of the next 334 reply, or the credentials when there is enough.
    """

    def __init__(self, name: str) -> None:
        """@param name: a key of L{MECHANISMS}."""
        self.name = name
        self._mechanism = MECHANISMS[name]()

    def start(self, initial: bytes) -> str | Credentials:
        """Begin, with what stands behind the mechanism's name: C{b""} for no initial response, C{=} for an empty one.

        @raise SASLError: it does not follow the mechanism, or is not base64.
        """
        return _shown(self._mechanism.start(None if not initial else b"" if initial == b"=" else _decode(initial)))

    def step(self, line: bytes) -> str | Credentials:
        """Take a response line.

        @raise SASLError: it does not follow the mechanism, or is not base64.
        """
        return _shown(self._mechanism.step(_decode(line)))


def _decode(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise SASLError from None


def _shown(result: bytes | Credentials) -> str | Credentials:
    return result if isinstance(result, Credentials) else binascii.b2a_base64(result, newline=False).decode("ascii")


def _credentials(authzid: bytes, authcid: bytes, password: bytes) -> Credentials:
    """Names are for logs and look-ups, so they hold no control characters; an empty password is never a password."""
    try:
        found = Credentials(authzid.decode(), authcid.decode(), password.decode())
    except UnicodeDecodeError:
        raise SASLError from None
    if not (found.authcid and found.password and found.authcid.isprintable() and found.authzid.isprintable()):
        raise SASLError
    return found
