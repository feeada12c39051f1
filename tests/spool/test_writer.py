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
        self.failures: list[int] = []
        self.answers: list[tuple[int, SpoolError | None]] = []
        self.writer = Writer(
            self.database,  # type: ignore[arg-type]
            self._call,
            lambda healthy, reason: None,
            lambda level, text: self.events.append(text),
            lambda: self.failures.append(self.writer.waiting),
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


class Broken(Gated):
    """A database with a defect: its failure is none of the disk's, nor any of a statement's."""

    def apply(self, changes: list[Change], forget: Any = ()) -> None:
        super().apply(changes, forget)
        self.commit_seconds = None  # type: ignore[assignment]

    def disconnect(self) -> None:
        self.closed = True


def test_where_the_thread_fails_everybody_is_told_and_the_end_is_the_end() -> None:
    """What cannot happen happens: the writer ends by an error of its own, with changes at hand and others behind them."""
    bench = Bench(Broken())
    bench.writer.submit(bench.change(0))
    assert bench.database.begun.acquire(timeout=PATIENCE)
    stored, kept = bench.change(1), bench.change(2)
    stored.messages, kept.keep = ((77,),), True
    bench.writer.submit(stored)
    bench.writer.submit(kept)
    bench.database.gate.release(10)
    bench.reactor.until(lambda: bench.failures)
    bench.reactor.until(lambda: len(bench.answers) == 3)
    assert {number: str(error) for number, error in bench.answers}[1].startswith("the spool's writer has failed: TypeError: ")
    assert {number: str(error) for number, error in bench.answers}[0].endswith("may be done all the same")
    assert "Traceback" in bench.events[0]
    late = bench.change(3)
    late.keep = True
    bench.writer.submit(late)
    bench.reactor.until(lambda: len(bench.answers) == 4)
    assert str(bench.answers[-1][1]).startswith("the spool's writer has failed")
    bench.close()  # which ends
    assert bench.database.closed
    assert len(bench.answers) == 4
    assert len(bench.failures) == 1


def test_a_message_at_hand_of_a_thread_that_fails_is_in_doubt() -> None:
    bench = Bench(Broken())
    stored = bench.change(1)
    stored.messages = ((77,),)
    bench.database.gate.release(10)
    bench.writer.submit(stored)
    bench.reactor.until(lambda: bench.answers)
    bench.reactor.until(lambda: bench.events[1:])
    assert bench.events[1] == "uncertain: 1 messages may be in the store or not: 77"
    assert stored.unsure


def test_where_the_thread_fails_during_the_close_that_ends() -> None:
    bench = Bench(Broken())
    bench.writer.submit(bench.change(1))
    assert bench.database.begun.acquire(timeout=PATIENCE)
    done: list[bool] = []
    bench.writer.close(lambda: done.append(True))
    bench.database.gate.release(10)
    bench.reactor.until(lambda: done)
    assert not bench.failures
