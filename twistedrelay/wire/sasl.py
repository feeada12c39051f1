"""SASL on the server's side, without I/O: what all mechanisms share, and PLAIN, LOGIN, EXTERNAL and CRAM-MD5.

A mechanism turns a client's responses into L{Credentials} and never judges them.  The credentials of all mechanisms are values of this
module, so that whoever judges them needs no mechanism.  Nothing secret is in any C{repr}.

Sources: RFC 4422 (SASL; appendix A: EXTERNAL), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN), RFC 2195 (CRAM-MD5).
"""

from __future__ import annotations

import re
from typing import Protocol

import attrs


class SASLError(Exception):
    """The response does not follow the mechanism."""


@attrs.frozen(slots=True)
class Credentials:
    """What a client shows of itself.

    @ivar authcid: its login name; C{""} where the mechanism has none.
    @ivar authzid: whom to act as, C{""} where it was not given.
    """

    authcid: str
    authzid: str = ""


@attrs.frozen(slots=True)
class Password(Credentials):
    """A password (PLAIN, LOGIN)."""

    password: str = attrs.field(repr=False, kw_only=True)


@attrs.frozen(slots=True)
class Digest(Credentials):
    """The keyed digest of a challenge (CRAM-MD5): 16 octets."""

    challenge: bytes = attrs.field(repr=False, kw_only=True)
    digest: bytes = attrs.field(repr=False, kw_only=True)


@attrs.frozen(slots=True)
class Proof(Credentials):
    """The proof of SCRAM over all that was said."""

    auth_message: bytes = attrs.field(repr=False, kw_only=True)
    proof: bytes = attrs.field(repr=False, kw_only=True)


@attrs.frozen(slots=True)
class Token(Credentials):
    """A bearer token (XOAUTH2, OAUTHBEARER)."""

    token: str = attrs.field(repr=False, kw_only=True)


@attrs.frozen(slots=True)
class Outside(Credentials):
    """The client points to what is known of it besides SASL (EXTERNAL): its TLS certificate."""


@attrs.frozen(slots=True)
class Unacceptable(Credentials):
    """Well formed, but never to be believed: C{reason} says why, for the log."""

    reason: str = attrs.field(kw_only=True)


@attrs.frozen(slots=True)
class VerifierWanted:
    """The mechanism needs the SCRAM verifier of C{name} to go on, and the octets of a channel binding.

    @ivar binding: C{"tls-exporter"}, C{"tls-server-end-point"}, or C{""} for none.
    """

    name: str
    binding: str = ""


#: What a mechanism gives for a response: the next challenge, a question, or what it has learnt.
Step = bytes | VerifierWanted | Credentials


class Mechanism(Protocol):
    """One exchange.

    @raise SASLError: from C{start} and C{step}.
    """

    def start(self, initial: bytes | None) -> Step:
        """Begin, with the initial response where the client sent one."""

    def step(self, response: bytes) -> Step:
        """Take the response to the last challenge."""

    def last_word(self, accepted: bool) -> bytes | None:
        """The challenge that the mechanism wants to send before the outcome, or None."""


class _OneMessage:
    """What the client sends is all in one message, and nothing is told it but the outcome."""

    def start(self, initial: bytes | None) -> Step:
        """Begin."""
        return b"" if initial is None else self.step(initial)

    def step(self, response: bytes) -> Step:
        """Take the one message."""
        raise SASLError

    def last_word(self, accepted: bool) -> bytes | None:
        """Nothing."""
        return None


class Plain(_OneMessage):
    """PLAIN: C{authzid NUL authcid NUL password}."""

    def step(self, response: bytes) -> Credentials:
        """Take the one message."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise SASLError
        return _password(*parts)


class External(_OneMessage):
    """EXTERNAL: the one message is whom to act as, and mostly empty."""

    def step(self, response: bytes) -> Credentials:
        """Take the one message."""
        return Outside("", text(response))


class Login:
    """LOGIN: two prompts.  Devices compare the prompts, so they are these and no others."""

    def __init__(self) -> None:
        self._username: bytes | None = None

    def start(self, initial: bytes | None) -> Step:
        """Begin; .NET sends the user name at once."""
        return b"Username:" if initial is None else self._take_username(initial)

    def step(self, response: bytes) -> Step:
        """Take the user name, then the password."""
        if self._username is None:
            return self._take_username(response)
        return _password(b"", self._username, response)

    def last_word(self, accepted: bool) -> bytes | None:
        """Nothing."""
        return None

    def _take_username(self, response: bytes) -> bytes:
        self._username = response
        return b"Password:"


class CramMD5:
    """CRAM-MD5: the server speaks first.

    @param challenge: unlike any before, in the form of a Message-ID.
    """

    _RESPONSE = re.compile(rb"(.+) ([0-9a-fA-F]{32})", re.DOTALL)

    def __init__(self, challenge: bytes) -> None:
        self._challenge = challenge

    def start(self, initial: bytes | None) -> Step:
        """Begin; an initial response is against the protocol."""
        if initial is not None:
            raise SASLError
        return self._challenge

    def step(self, response: bytes) -> Credentials:
        """Take the name and the digest."""
        found = self._RESPONSE.fullmatch(response)
        if found is None:
            raise SASLError
        return Digest(login_name(found[1]), challenge=self._challenge, digest=bytes.fromhex(found[2].decode("ascii")))

    def last_word(self, accepted: bool) -> bytes | None:
        """Nothing."""
        return None


def text(octets: bytes) -> str:
    """UTF-8 that is good for logs and look-ups: no control characters.

    @raise SASLError: it is not.
    """
    try:
        decoded = octets.decode()
    except UnicodeDecodeError:
        raise SASLError from None
    if not decoded.isprintable():
        raise SASLError
    return decoded


def login_name(octets: bytes) -> str:
    """A login name, likewise; it is never empty."""
    name = text(octets)
    if not name:
        raise SASLError
    return name


def _password(authzid: bytes, authcid: bytes, password: bytes) -> Password:
    """An empty password is never a password."""
    try:
        secret = password.decode()
    except UnicodeDecodeError:
        raise SASLError from None
    if not secret:
        raise SASLError
    return Password(login_name(authcid), text(authzid), password=secret)
