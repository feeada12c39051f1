"""Tests for L{twistedrelay.policy.passwords}."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.network import PATIENCE
from twistedrelay.interfaces import IUsers
from twistedrelay.policy.passwords import ThreadedUsers
from twistedrelay.policy.threads import LoginUnavailable


@implementer(IReactorFromThreads)
class Mailbox:
    """A reactor that runs what threads send it when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.arrived = threading.Semaphore(0)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.calls.append(lambda: callable(*args, **kwargs))
        self.arrived.release()

    def turn(self, count: int = 1) -> None:
        """Wait for calls of threads, and run them here."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=PATIENCE)
            self.calls.pop(0)()


class Users:
    """A users file whose checks wait until they are let go."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.let_go = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def verify(self, name: str, password: str) -> Any:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.threads.append(threading.current_thread().name)
        assert self.let_go.wait(PATIENCE)
        with self._lock:
            self.running -= 1
        if name == "broken":
            raise OSError("no such file")
        return f"account of {name}" if password == "right" else None

    def find(self, name: str) -> Any:
        return f"account of {name}"

    def scram(self, name: str) -> Any:
        return f"account of {name}", "verifier"


class ThreadedUsersTests(SynchronousTestCase):
    """Checks run in few threads, and few wait."""

    def setUp(self) -> None:
        self.reactor, self.file = Mailbox(), Users()
        self.users = ThreadedUsers(self.reactor, self.file, threads=2, waiting=3)
        self.addCleanup(self.users.stop)
        self.addCleanup(self.file.let_go.set)

    def test_interface(self) -> None:
        assert IUsers.providedBy(self.users)

    def test_the_answer_comes_on_the_reactors_thread(self) -> None:
        good, bad = self.users.verify("user", "right"), self.users.verify("user", "wrong")
        self.assertNoResult(good)
        self.file.let_go.set()
        self.reactor.turn(2)
        assert self.successResultOf(good) == "account of user"
        assert self.successResultOf(bad) is None
        assert all("users file" in name for name in self.file.threads), self.file.threads

    def test_look_ups_are_made_there_too(self) -> None:
        found, verifier = self.users.find("user"), self.users.scram("user")
        self.assertNoResult(found)
        self.reactor.turn(2)
        assert self.successResultOf(found) == "account of user"
        assert self.successResultOf(verifier) == ("account of user", "verifier")

    def test_threads_and_waiting_are_bounded(self) -> None:
        answers = [self.users.verify("user", "right") for _ in range(5)]
        refused = self.failureResultOf(self.users.verify("user", "right"), LoginUnavailable).value
        assert str(refused.reply) == "454 4.7.0 Temporary authentication failure"
        self.file.let_go.set()
        self.reactor.turn(5)
        assert [self.successResultOf(answer) for answer in answers] == ["account of user"] * 5
        assert self.file.most <= 2
        later = self.users.verify("user", "right")
        self.reactor.turn()
        assert self.successResultOf(later) == "account of user"

    def test_a_file_that_cannot_be_read_is_temporary_and_tells_no_password(self) -> None:
        self.file.let_go.set()
        answer = self.users.verify("broken", "my secret")
        self.reactor.turn()
        failure = self.failureResultOf(answer, LoginUnavailable)
        assert "no such file" in str(failure.value)
        assert "my secret" not in failure.getTraceback(detail="verbose")

    def test_who_gives_up_still_counts_until_the_check_ends(self) -> None:
        answers: list[Deferred[Any]] = [self.users.verify("user", "right") for _ in range(5)]
        for answer in answers:
            answer.addErrback(lambda _: None)
            answer.cancel()
        self.failureResultOf(self.users.verify("user", "right"), LoginUnavailable)
        self.file.let_go.set()
        self.reactor.turn(5)
        later = self.users.verify("user", "right")
        self.reactor.turn()
        assert self.successResultOf(later) == "account of user"

    def test_after_stop(self) -> None:
        self.users.stop()
        self.users.stop()
        self.failureResultOf(self.users.verify("user", "right"), LoginUnavailable)
