"""How a rehearsed client logs in without a password: the exchange is real, and who checks it believes the name.

It decides which mechanism the client takes: the first one offered that needs no certificate.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from zope.interface import Interface, implementer

from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.config.users import User
from twistedrelay.interfaces import IUsers
from twistedrelay.policy.checkers import LOGINS
from twistedrelay.policy.realm import AvatarId
from twistedrelay.values.scram import ScramVerifier

#: Whom a name means: an account, or C{AvatarId(name)} where somebody else may vouch for it; None: nobody.
Find = Callable[[str], AvatarId | None]

_VERIFIER = ScramVerifier(b"rehearsal", 4096, bytes(32), bytes(32))

_PREFERRED = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER")


def mechanism(offered: Iterable[str], configured: Iterable[str]) -> str:
    """What the client tries; also where nothing is offered, to hear why not."""
    for names in (set(offered), set(configured)):
        for name in _PREFERRED:
            if name in names:
                return name
    return "PLAIN"


def account(user: User | None, name: str, groups: Sequence[str], others: bool) -> AvatarId | None:
    """Whom a login name means.

    @param user: of the users file.
    @param others: somebody else than the users file may know the name.
    """
    if user is not None:
        return AvatarId(user.address, user, tuple(groups))
    return AvatarId(name, None, tuple(groups)) if others else None


def others_vouch(config: Config, connectors: Iterable[ReceiveConnector]) -> bool:
    """Whether somebody else than the users file may know a login."""
    return bool(config.credential_checkers or config.oauth_providers) or any("External" in one.auth_mechanism for one in connectors)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Exchange:
    """The client's side of AUTH: its command, then an answer to each challenge."""

    def __init__(self, name: str, user: str) -> None:
        self._name = name
        self._user = user
        self._step = 0

    def command(self) -> str:
        """The first line."""
        if self._name == "PLAIN":
            return f"AUTH PLAIN {_encoded(f'{chr(0)}{self._user}{chr(0)}rehearsal')}"
        if self._name == "XOAUTH2":
            return f"AUTH XOAUTH2 {_encoded(f'user={self._user}{chr(1)}auth=Bearer rehearsal{chr(1)}{chr(1)}')}"
        if self._name == "OAUTHBEARER":
            return f"AUTH OAUTHBEARER {_encoded(f'n,a={_escaped(self._user)},{chr(1)}auth=Bearer rehearsal{chr(1)}{chr(1)}')}"
        if self._name.startswith("SCRAM"):
            return f"AUTH {self._name} {_encoded(f'n,,n={_escaped(self._user)},r=rehearsal')}"
        return f"AUTH {self._name}"

    def answer(self, challenge: str) -> str:
        """The next line."""
        self._step += 1
        if self._name == "LOGIN":
            return _encoded(self._user if self._step == 1 else "rehearsal")
        if self._name == "CRAM-MD5":
            return _encoded(f"{self._user} {'0' * 32}")
        if self._name.startswith("SCRAM") and self._step == 1:
            nonce = base64.b64decode(challenge).decode().partition(",")[0].removeprefix("r=")
            return _encoded(f"c=biws,r={nonce},p={base64.b64encode(bytes(32)).decode()}")
        return ""


def _escaped(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


@implementer(ICredentialsChecker)
class Believer:
    """Believes every secret, and nobody whom nobody knows."""

    credentialInterfaces: Sequence[type[Interface]] = LOGINS

    def __init__(self, find: Find) -> None:
        self._find = find

    def requestAvatarId(self, credentials: Any) -> Any:
        """See L{ICredentialsChecker}."""
        found = self._find(credentials.username.decode("utf-8"))
        if found is None:
            raise UnauthorizedLogin("the users file has no such user")
        return found


@implementer(IUsers)
class Verifiers:
    """A verifier for everybody."""

    def verify(self, name: str, password: str) -> Deferred[Any]:
        """See L{IUsers.verify}: nobody asks here."""
        return succeed(None)

    def find(self, name: str) -> Deferred[Any]:
        """See L{IUsers.find}: nobody asks here."""
        return succeed(None)

    def scram(self, name: str) -> Deferred[tuple[Any, ScramVerifier]]:
        """See L{IUsers.scram}."""
        return succeed((None, _VERIFIER))
