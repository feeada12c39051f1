"""Credential checking: who a session is.

Decides whether a login is who it says, never what it may do.  One chaining checker asks all others in turn, because a portal keeps only
one checker for each kind of credentials: the peer's address (anonymous sessions), the users file, the configuration's
C{credential_checkers}, which are strcred descriptions of any checker that is installed, client certificates, OAuth tokens.

A refusal is C{UnauthorizedLogin} (535).  L{LoginUnavailable} (454) says that nobody can tell now: too many logins wait, or a checker broke.

Sources: twisted.cred, RFC 4954 section 6 (454, 535), RFC 4616 section 2 (authorization identity).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.cred.strcred import InvalidAuthArgumentString, InvalidAuthType, findCheckerFactories, makeChecker
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.logger import Logger
from zope.interface import Interface, implementer

from twistedrelay.config.problems import ConfigError, Problem, suggestion
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IUsers
from twistedrelay.policy.credentials import IBearerToken, IClientCertificate, IRemoteHost, IScramProof
from twistedrelay.policy.realm import AvatarId, RelayRealm
from twistedrelay.policy.threads import LoginUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

    from twisted.internet.interfaces import IReactorTime

#: What a checker may be asked about; one that knows none of it is of no use.
LOGINS = (IUsernamePassword, IUsernameHashedPassword, IScramProof, IBearerToken, IClientCertificate)

_CHECKER_TIMEOUT = 30.0  #: for one checker's answer; a client waits some minutes for AUTH


@implementer(ICredentialsChecker)
class AnonymousChecker:
    """Lets every peer in as anonymous: its address has chosen its connector, and that gives it its rights or none."""

    credentialInterfaces: Sequence[type[Interface]] = (IRemoteHost,)

    def requestAvatarId(self, credentials: Any) -> Any:
        """See L{ICredentialsChecker}."""
        return ANONYMOUS


@implementer(ICredentialsChecker)
class UsersChecker:
    """Checks names and passwords, and SCRAM proofs, against the users file."""

    credentialInterfaces: Sequence[type[Interface]] = (IUsernamePassword, IScramProof)

    def __init__(self, users: IUsers) -> None:
        self._users = users

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Generator[Deferred[Any], Any, Any]:
        """See L{ICredentialsChecker}.  The avatar id is the user's address."""
        try:
            name = credentials.username.decode("utf-8")
            password = credentials.password.decode("utf-8") if IUsernamePassword.providedBy(credentials) else ""
        except UnicodeDecodeError:
            raise UnauthorizedLogin("name or password is not UTF-8") from None
        if IScramProof.providedBy(credentials):
            user, verifier = yield self._users.scram(name)
            right = credentials.proves(verifier)
        else:
            user = yield self._users.verify(name, password)
            right = user is not None
        if user is None or not right:
            raise UnauthorizedLogin("the users file has no such user and password")
        return AvatarId(user.address, user)


@implementer(ICredentialsChecker)
class ChainingChecker:
    """Asks several checkers in turn; the first that says yes decides.

    A checker that breaks, or does not answer in time, says neither yes nor no: if none of the others says yes, the login is
    L{LoginUnavailable}, for it might have been good.
    """

    _log = Logger()

    def __init__(self, checkers: Iterable[Any], clock: IReactorTime, timeout: float = _CHECKER_TIMEOUT) -> None:
        self._checkers = list(checkers)
        self._clock = clock
        self._timeout = timeout
        self.credentialInterfaces: Sequence[type[Interface]] = list(
            dict.fromkeys(interface for checker in self._checkers for interface in checker.credentialInterfaces)
        )

    def stop(self) -> None:
        """Nobody asks any more: end the threads of those that have some."""
        for checker in self._checkers:
            stop = getattr(checker, "stop", None)
            if stop is not None:
                stop()

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Generator[Deferred[Any], Any, Any]:
        """See L{ICredentialsChecker}."""
        unsure = False
        reasons: dict[str, None] = {}
        for checker in self._checkers:
            if not any(interface.providedBy(credentials) for interface in checker.credentialInterfaces):
                continue
            answer: Deferred[Any] = maybeDeferred(checker.requestAvatarId, credentials)
            answer.addTimeout(self._timeout, self._clock)
            try:
                return (yield answer)
            except UnauthorizedLogin as error:
                reasons[str(error)] = None
            except Exception as error:
                unsure = True
                # Never the failure itself: its frames hold the password.
                self._log.error(
                    "{checker} could not check a login: {kind}: {reason}", checker=_name(checker), kind=_name(error), reason=str(error)
                )
        if unsure:
            raise LoginUnavailable("no checker could tell")
        raise UnauthorizedLogin("; ".join(filter(None, reasons)) or "no checker accepts the login")


def _name(thing: object) -> str:
    """The class of something, for the log."""
    return type(thing).__name__


def configured_checkers(descriptions: Sequence[str]) -> tuple[list[Any], list[Problem]]:
    """The checkers that C{credential_checkers} describes, and what is wrong with those that cannot be had."""
    checkers, problems = [], []
    for index, description in enumerate(descriptions):
        path = ("credential_checkers", index)
        kind = description.partition(":")[0]
        try:
            checker = makeChecker(description)
        except ConfigError as error:  # of a file of the checker's own
            problems.extend(error.problems)
            continue
        except InvalidAuthType:
            known = sorted({factory.authType for factory in findCheckerFactories()})
            text = f"there is no credential checker {kind!r}{suggestion(kind, known)}; installed: {', '.join(known)}"
            problems.append(Problem(path, text))
            continue
        except InvalidAuthArgumentString as error:
            problems.append(Problem(path, f"{kind!r} cannot be made: {error}"))
            continue
        except Exception as error:  # whatever else a plugin raises is a mistake in the configuration, too
            problems.append(Problem(path, f"{kind!r} cannot be made: {_name(error)}: {error}"))
            continue
        if any(interface in LOGINS for interface in checker.credentialInterfaces):
            checkers.append(checker)
        else:
            problems.append(Problem(path=path, text=f"{kind!r} cannot check a user name and password"))
    return checkers, problems


def checker_problems(config: Config) -> list[Problem]:
    """What is wrong with C{credential_checkers}, for the loader."""
    return configured_checkers(config.credential_checkers)[1]


def make_portal(
    config: Config, users: IUsers, extra_checkers: Iterable[Any] = (), *, clock: IReactorTime, realm: RelayRealm | None = None
) -> Portal:
    """The portal through which every session logs in; as L{make_chain} and L{portal_of}."""
    return portal_of(make_chain(config, users, extra_checkers, clock=clock), RelayRealm(config) if realm is None else realm)


def make_chain(config: Config, users: IUsers, extra_checkers: Iterable[Any] = (), *, clock: IReactorTime) -> ChainingChecker:
    """The checker of all logins.

    @param extra_checkers: asked after the users file and C{credential_checkers}.
    @param clock: for the time that a checker may take.
    @raise ValueError: C{credential_checkers} has a description that cannot be used.
    """
    configured, problems = configured_checkers(config.credential_checkers)
    if problems:
        raise ValueError("; ".join(str(problem) for problem in problems))
    return ChainingChecker([UsersChecker(users), *configured, *extra_checkers], clock)


def portal_of(chain: ChainingChecker, realm: RelayRealm) -> Portal:
    """The portal whose logins a checker judges, and whose avatars a realm makes."""
    # A portal keeps one checker for each kind of credentials; that of addresses is apart, for every connection asks it.
    return Portal(realm, [chain, AnonymousChecker()])
