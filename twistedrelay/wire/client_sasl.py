"""The SASL mechanisms of a client but SCRAM, without I/O: CRAM-MD5, PLAIN, LOGIN, XOAUTH2, OAUTHBEARER.

Each makes the octets of its responses; base64 and replies are L{twistedrelay.wire.client_auth}'s.

Sources: RFC 2195 (CRAM-MD5), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN), RFC 7628 (OAUTHBEARER), Google and Microsoft, "XOAUTH2".
"""

from __future__ import annotations

import hmac
import json
from typing import Protocol

from twistedrelay.values.printable import masked
from twistedrelay.wire.client_scram import MechanismError
from twistedrelay.wire.client_values import Credentials, Derive

_LONGEST_DETAIL = 200


def octets(text: str) -> bytes:
    """A secret as it is in its file, whatever its encoding."""
    return text.encode("utf-8", "surrogateescape")


class Mechanism(Protocol):
    """One exchange.

    @ivar proved: the server has shown what this mechanism wants to see of it.
    """

    proved: bool

    def start(self) -> bytes | None:
        """The initial response; None: the server speaks first."""

    def answer(self, challenge: bytes) -> bytes | Derive:
        """Answer a challenge.  Raises L{MechanismError}."""


class Plain:
    """All at once."""

    proved = True

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def start(self) -> bytes:
        """The name and the password."""
        return b"\0%s\0%s" % (octets(self._credentials.username), octets(self._credentials.password))

    def answer(self, challenge: bytes) -> bytes:
        """There is no more to say."""
        raise MechanismError("the server asks more than PLAIN has to say")


class Login:
    """The name, then the password, whatever the questions are."""

    proved = True

    def __init__(self, credentials: Credentials) -> None:
        self._left = [octets(credentials.password), octets(credentials.username)]

    def start(self) -> None:
        """The server asks."""

    def answer(self, challenge: bytes) -> bytes:
        """The next one of the two."""
        if not self._left:
            raise MechanismError("the server asks more than LOGIN has to say")
        return self._left.pop()


class CramMD5:
    """The password, hashed with what the server says."""

    proved = True

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._answered = False

    def start(self) -> None:
        """The server speaks first."""

    def answer(self, challenge: bytes) -> bytes:
        """The name and the digest."""
        if self._answered or not challenge:
            raise MechanismError("the server's challenge is none of CRAM-MD5")
        self._answered = True
        digest = hmac.new(octets(self._credentials.password), challenge, "md5").hexdigest()
        return b"%s %s" % (octets(self._credentials.username), digest.encode("ascii"))


class Bearer:
    """What both mechanisms for tokens share: a refusal comes with a reason, which is answered before the outcome comes.

    @ivar detail: what the server says of a refused token.
    """

    proved = True
    acknowledgement = b""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._refused = False
        self.detail = ""

    def start(self) -> bytes:
        """The name and the token."""
        return b"user=%s\1auth=Bearer %s\1\1" % (octets(self._credentials.username), octets(self._credentials.token))

    def answer(self, challenge: bytes) -> bytes:
        """Acknowledge the reason of a refusal."""
        if self._refused:
            raise MechanismError("the server asks more than there is to say about a token")
        self._refused = True
        try:
            said = json.loads(challenge)
            found = f"{said['status']} {said.get('error_description', '')}".strip() if isinstance(said, dict) else ""
        except (ValueError, KeyError, RecursionError):
            found = ""
        self.detail = masked(found)[:_LONGEST_DETAIL]
        return self.acknowledgement


class OAuthBearer(Bearer):
    """The standard's."""

    acknowledgement = b"\1"

    def start(self) -> bytes:
        """The name and the token."""
        name = octets(self._credentials.username).replace(b"=", b"=3D").replace(b",", b"=2C")
        return b"n,a=%s,\1auth=Bearer %s\1\1" % (name, octets(self._credentials.token))


class XOAuth2(Bearer):
    """Google's and Microsoft's."""
