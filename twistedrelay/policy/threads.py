"""Checks that block, in threads of their own.

A password hash is slow and hungry on purpose, and a PAM module or a directory may take seconds to say no.  Such checks neither run on the
reactor's thread nor take the threads that the rest of the relay needs; only so many may wait, so that a flood of logins ends in 454 at
once, not in memory and minutes; and one that nobody waits for any more is not begun.  Decides nothing about a login.

Source: RFC 4954 section 6 (454).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from twistedrelay.values.reply import AUTH_TEMPORARY, Reply

_LAST_WAIT = 1.0  #: seconds that a thread has to end when the relay stops


class LoginUnavailable(Exception):
    """A login can be judged neither good nor bad now; C{reply} is what to answer."""

    reply: Reply = AUTH_TEMPORARY


class _Thread(threading.Thread):
    """A thread that does not keep the process from ending: a PAM module may never come back."""

    def __init__(self, *arguments: Any, **keys: Any) -> None:
        super().__init__(*arguments, **keys, daemon=True)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, but not for ever."""
        super().join(_LAST_WAIT if timeout is None else timeout)


class CheckThreads:
    """A pool that starts with its first check; L{stop} ends it."""

    def __init__(self, reactor: IReactorFromThreads, name: str, threads: int, waiting: int, *, end_with_reactor: bool = False) -> None:
        """
        @param threads: how many checks may run at a time.
        @param waiting: how many more may wait for a thread.
        @param end_with_reactor: L{stop} need not be called.
        """
        self._reactor: Any = reactor
        self._end_with_reactor = end_with_reactor
        self._trigger: Any = None
        self._name = name
        self._most = threads + waiting
        self._unfinished = 0
        self._stopped = False
        self._pool = ThreadPool(minthreads=0, maxthreads=threads, name=name)
        self._pool.threadFactory = _Thread

    def run(self, check: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run a check.

        Its L{UnauthorizedLogin} is handed on; anything else that it raises, and too many checks, is L{LoginUnavailable}.
        """
        if self._stopped or self._unfinished >= self._most:
            return fail(LoginUnavailable("the relay is stopping" if self._stopped else f"too many logins wait for {self._name}"))
        if not self._pool.started:
            self._pool.start()
            if self._end_with_reactor:
                self._trigger = self._reactor.addSystemEventTrigger("during", "shutdown", self._end)
        self._unfinished += 1
        given_up: list[Deferred[Any]] = []
        answer: Deferred[Any] = Deferred(given_up.append)

        def work() -> Any:
            return None if given_up else check(*arguments)

        def ended(worked: bool, result: Any) -> None:
            self._reactor.callFromThread(self._ended, answer, worked, result)

        self._pool.callInThreadWithCallback(ended, work)
        return answer

    def _ended(self, answer: Deferred[Any], worked: bool, result: Any) -> None:
        """A check is over; runs on the reactor's thread."""
        self._unfinished -= 1
        if answer.called:
            return
        if worked:
            answer.callback(result)
            return
        # Without the frames: they hold the password.
        error = result.value if isinstance(result, Failure) else result
        if isinstance(error, UnauthorizedLogin | LoginUnavailable):
            answer.errback(type(error)(str(error)))
        else:
            answer.errback(LoginUnavailable(f"{type(error).__name__}: {error}"))

    def stop(self) -> None:
        """End the threads.  A check that goes on for more than a moment is left alone; its answer goes nowhere."""
        if not self._stopped:
            self._stopped = True
            if self._trigger is not None:
                self._reactor.removeSystemEventTrigger(self._trigger)
            self._end()

    def retire(self) -> None:
        """End the threads while the relay goes on, without waiting for a check that hangs."""
        if self._unfinished and not self._stopped:
            threading.Thread(target=self._pool.stop, name="the end of checks", daemon=True).start()
            self._pool = ThreadPool(minthreads=0, maxthreads=0)
        self.stop()

    def _end(self) -> None:
        if self._pool.started:
            self._pool.stop()
