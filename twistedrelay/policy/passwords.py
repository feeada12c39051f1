"""Password checks, and other questions to the users file, in threads of their own.

Decides nothing about a password; the users file does.

Source: RFC 9106 section 4 (costs of Argon2id).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from twistedrelay.interfaces import IUsers
from twistedrelay.policy.threads import CheckThreads

if TYPE_CHECKING:
    from twistedrelay.config.users import User
    from twistedrelay.values.scram import ScramVerifier

_THREADS = 2  #: each check may take 64 MB
_WAITING = 64  #: some seconds' work


class BlockingUsers(Protocol):
    """What is asked of a users file (L{twistedrelay.config.users.UsersFile})."""

    def verify(self, name: str, password: str) -> User | None:
        """The user whose password it is; blocks, in constant time."""

    def find(self, name: str) -> User | None:
        """The user that a login name means; blocks."""

    def scram(self, name: str) -> tuple[User | None, ScramVerifier]:
        """The user that a login name means, and a verifier in any case; blocks."""


@implementer(IUsers)
class ThreadedUsers:
    """A users file whose passwords are checked by a small pool of threads.

    The threads start with the first check; L{stop} ends them.
    """

    def __init__(self, reactor: IReactorFromThreads, users: BlockingUsers, threads: int = _THREADS, waiting: int = _WAITING) -> None:
        self._users = users
        self._threads = CheckThreads(reactor, "the users file", threads, waiting)

    def verify(self, name: str, password: str) -> Deferred[Any]:
        """See L{IUsers}.  Fails with C{LoginUnavailable} where too many checks wait, or the file cannot be read."""
        return self._threads.run(self._users.verify, name, password)

    def find(self, name: str) -> Deferred[Any]:
        """See L{IUsers}; likewise."""
        return self._threads.run(self._users.find, name)

    def scram(self, name: str) -> Deferred[Any]:
        """See L{IUsers}; likewise."""
        return self._threads.run(self._users.scram, name)

    def retire(self) -> None:
        """End the threads while the relay goes on: nobody asks any more."""
        self._threads.retire()

    def stop(self) -> None:
        """End the threads.  Later logins are unavailable."""
        self._threads.stop()
