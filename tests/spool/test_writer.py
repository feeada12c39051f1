"""The group commit: how batches form and how they are answered."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.network import PATIENCE
from tests.spool.world import HandReactor
from twistedrelay.interfaces import SpoolError
from twistedrelay.spool import writer
from twistedrelay.spool.change import Change
from twistedrelay.spool.writer import Writer


class Gated:
    """A database whose commits wait for the test."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.committing = False
        self.commit_seconds = 0.0
        self.closed = False

    def apply(self, changes: list[Change], forget: Any = ()) -> None:
        self.begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        self.batches.append(len(changes))

    def close(self) -> None:
        self.closed = True

    def count(self, ids: object) -> int:
        return 0


class Failing(Gated):
    """A database that cannot be written to so many times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.gate.release(1000)
        self.failures = failures
        self.tried = threading.Semaphore(0)

    def apply(self, changes: list[Change], forget: Any = ()) -> None:
        if self.failures:
            self.failures -= 1
            self.tried.release()
            raise OSError(errno.ENOSPC, "No space left on device")
        super().apply(changes, forget)

    def reopen(self) -> None: ...


class Bench:
    """A writer over a gated database."""

    def __init__(self, database: Gated | None = None) -> None:
        self.reactor = HandReactor()
        self.calls = 0
        self.database = database or Gated()
        self.events: list[str] = []
        self.answers: list[tuple[int, SpoolError | None]] = []
        self.writer = Writer(
            self.database,  # type: ignore[arg-type]
            self._call,
            lambda healthy, reason: None,
            lambda level, text: self.events.append(text),
        )
        self.writer.start()

    def _call(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.calls += 1
        self.reactor.callFromThread(call, *arguments)

    def change(self, number: int, size: int = 0) -> Change:
        return Change(lambda error: self.answers.append((number, error)), size=size)

    def close(self) -> None:
        done: list[bool] = []
        self.writer.close(lambda: done.append(True))
        self.reactor.until(lambda: done)


def test_what_comes_during_a_commit_is_one_batch_and_one_call() -> None:
    bench = Bench()
    bench.writer.submit(bench.change(0))
    assert bench.database.begun.acquire(timeout=PATIENCE)
    for number in range(1, 101):
        bench.writer.submit(bench.change(number))
    bench.database.gate.release(2)
    bench.reactor.until(lambda: len(bench.answers) == 101)
    assert bench.database.batches == [1, 100]
    assert bench.calls == 2
    assert bench.answers == [(number, None) for number in range(101)]
    bench.close()
    assert bench.database.closed


def test_batches_are_bounded() -> None:
    bench = Bench()
    bench.writer.submit(bench.change(0))
    assert bench.database.begun.acquire(timeout=PATIENCE)
    for number in range(writer.MAX_CHANGES + 10):
        bench.writer.submit(bench.change(number))
    for number in range(3):
        bench.writer.submit(bench.change(number, writer.MAX_OCTETS - 1))
    bench.database.gate.release(10)
    bench.reactor.until(lambda: len(bench.answers) == writer.MAX_CHANGES + 14)
    assert bench.database.batches == [1, writer.MAX_CHANGES, 12, 1]
    bench.close()


def test_listener_that_raises_is_told_of_and_passed_over() -> None:
    bench = Bench()
    bench.database.gate.release(10)
    bench.writer.submit(Change(lambda error: [][0]))
    bench.writer.submit(bench.change(1))
    bench.reactor.until(lambda: bench.answers)
    assert bench.events == ["an answer of the spool was not taken well: IndexError: list index out of range"]
    bench.close()


def test_after_the_end_every_change_is_refused() -> None:
    bench = Bench()
    bench.close()
    bench.writer.submit(bench.change(1))
    late = bench.change(2)
    late.keep = True
    bench.writer.submit(late)
    bench.reactor.until(lambda: len(bench.answers) == 2)
    assert [str(error) for _, error in bench.answers] == ["the spool is closed"] * 2


def test_at_the_end_no_result_gets_in_without_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last result of a message deletes it; one before it may hold the only report about another recipient."""
    monkeypatch.setattr(writer, "_FIRST_PAUSE", 1000.0)
    database = Failing(3)  # the commit, the first try of the recovery, and the last one at the close
    bench = Bench(database)
    first, second = bench.change(1), bench.change(2)
    first.keep = second.keep = True
    bench.writer.submit(first)
    assert database.tried.acquire(timeout=PATIENCE)
    assert database.tried.acquire(timeout=PATIENCE)
    bench.writer.submit(second)  # waits: the spool is sick
    bench.close()
    assert database.batches == []
    assert [number for number, _ in bench.answers] == [1, 2]
    assert all("No space left" in str(error) for _, error in bench.answers)
