"""Password checks, and other questions to the users file, in threads of their own.

A password hash is slow and hungry on purpose, so checks neither run on the reactor's thread nor take the threads that the rest of the
relay needs, and only so many may wait: a flood of logins ends in 454 at once, not in memory and minutes.  Decides nothing about a
password; the users file does.

Source: RFC 9106 section 4 (costs of Argon2id), RFC 4954 section 6 (454).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from twistedrelay.interfaces import IUsers
from twistedrelay.values.reply import AUTH_TEMPORARY, Reply

if TYPE_CHECKING:
    from twistedrelay.config.users import User
    from twistedrelay.values.scram import ScramVerifier

_THREADS = 2  #: each check may take 64 MB
_WAITING = 64  #: some seconds' work


class LoginUnavailable(Exception):
    """A login can be judged neither good nor bad now; C{reply} is what to answer."""

    reply: Reply = AUTH_TEMPORARY


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
        self._reactor = reactor
        self._users = users
        self._most = threads + waiting
        self._unfinished = 0
        self._stopped = False
        self._pool = ThreadPool(minthreads=0, maxthreads=threads, name="passwords")

    def verify(self, name: str, password: str) -> Deferred[Any]:
        """See L{IUsers}.  Fails with L{LoginUnavailable} where too many checks wait, or the file cannot be read."""
        return self._ask(self._users.verify, name, password)

    def find(self, name: str) -> Deferred[Any]:
        """See L{IUsers}; likewise."""
        return self._ask(self._users.find, name)

    def scram(self, name: str) -> Deferred[Any]:
        """See L{IUsers}; likewise."""
        return self._ask(self._users.scram, name)

    def _ask(self, question: Callable[..., Any], *arguments: str) -> Deferred[Any]:
        if self._stopped or self._unfinished >= self._most:
            return fail(LoginUnavailable("too many logins wait" if not self._stopped else "the relay is stopping"))
        if not self._pool.started:
            self._pool.start()
        self._unfinished += 1
        answer: Deferred[Any] = Deferred(lambda _: None)  # who gives up waiting gets no answer; the check still runs to its end

        def ended(worked: bool, result: Any) -> None:
            self._reactor.callFromThread(self._ended, answer, worked, result)

        self._pool.callInThreadWithCallback(ended, question, *arguments)
        return answer

    def _ended(self, answer: Deferred[Any], worked: bool, result: Any) -> None:
        """A check is over; runs on the reactor's thread."""
        self._unfinished -= 1
        if answer.called:
            return
        if worked:
            answer.callback(result)
        else:
            # Without the frames: they hold the password.
            error = result.value if isinstance(result, Failure) else result
            answer.errback(LoginUnavailable(f"{type(error).__name__}: {error}"))

    def stop(self) -> None:
        """End the threads, after the checks that are running.  Later logins are L{LoginUnavailable}."""
        if not self._stopped:
            self._stopped = True
            if self._pool.started:
                self._pool.stop()
