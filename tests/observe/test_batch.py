"""Tests for L{twistedrelay.observe.batch}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from twistedrelay.observe.batch import BatchWriter

INTERVAL = 0.5
PATIENCE = 2.0


class Full(Exception):
    """The disk is full, and nothing was written."""


class World:
    """A writer whose thread works at once, or when it is told to, and whose disk may refuse."""

    def __init__(self, batch: int = 3, limit: int = 10) -> None:
        self.clock = Clock()
        self.reports: list[str] = []
        self.batches: list[list[int]] = []
        self.error: Exception | None = None
        self.slow: list[Callable[[], None]] | None = None
        self.closed: list[bool] = []
        self.writer: BatchWriter[int] = BatchWriter(
            self.clock,
            self.in_thread,
            self.write,
            self.reports.append,
            "the log",
            interval=INTERVAL,
            batch=batch,
            limit=limit,
            again=(Full,),
        )

    def in_thread(self, function: Any, *arguments: Any) -> Deferred[None]:
        if self.slow is None:
            return maybeDeferred(function, *arguments)
        fires: Deferred[None] = Deferred()
        self.slow.append(lambda: maybeDeferred(function, *arguments).chainDeferred(fires))
        return fires

    def write(self, entries: list[int]) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(entries)

    def stop(self) -> Deferred[None]:
        return self.writer.stop(lambda: self.closed.append(True), PATIENCE)

    def add(self, *entries: int) -> None:
        for entry in entries:
            self.writer.add(entry)


@pytest.fixture
def world() -> World:
    return World()


def test_an_entry_waits_for_company(world: World) -> None:
    world.add(1, 2)
    world.clock.advance(INTERVAL * 0.9)
    assert world.batches == []
    world.clock.advance(INTERVAL * 0.1)
    assert world.batches == [[1, 2]]
    assert world.clock.getDelayedCalls() == []


def test_enough_entries_do_not_wait(world: World) -> None:
    world.add(1, 2, 3)
    assert world.batches == [[1, 2, 3]]
    assert world.clock.getDelayedCalls() == []


def test_one_batch_at_a_time_and_what_came_meanwhile_waits_its_time(world: World) -> None:
    world.slow = []
    world.add(1, 2, 3, 4)
    world.slow[0]()
    assert world.batches == [[1, 2, 3]], "a single entry is no batch"
    world.clock.advance(INTERVAL)
    world.slow[1]()
    assert world.batches == [[1, 2, 3], [4]]
    assert len(world.slow) == 2


def test_what_was_due_while_the_thread_worked_is_written_at_once(world: World) -> None:
    world.slow = []
    world.add(1, 2, 3, 4)
    world.clock.advance(INTERVAL)
    assert len(world.slow) == 1
    world.slow[0]()
    world.slow[1]()
    assert world.batches == [[1, 2, 3], [4]]


def test_a_full_batch_that_came_meanwhile_is_written_at_once(world: World) -> None:
    world.slow = []
    world.add(1, 2, 3, 4, 5, 6)
    world.slow[0]()
    world.slow[1]()
    assert world.batches == [[1, 2, 3], [4, 5, 6]]


def test_a_thread_that_is_too_slow_costs_what_does_not_fit(world: World) -> None:
    world.slow = []
    world.add(*range(13))
    assert world.writer.lost == 3
    assert world.reports == ["the log cannot be written, and entries are lost: the disk is too slow"]
    slow, world.slow = world.slow, None
    slow[0]()
    assert world.reports[1:] == ["the log is written again; entries that were lost: 3"]
    assert world.batches == [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]
    world.add(13, 14, 15)
    assert world.batches[2:] == [[13, 14, 15]]
    assert world.writer.lost == 3


def test_an_error_costs_its_batch(world: World) -> None:
    world.error = ValueError("no such column")
    world.add(1, 2, 3)
    world.add(4, 5, 6)
    assert world.batches == []
    world.clock.advance(INTERVAL)
    world.error = None
    world.add(7)
    world.clock.advance(INTERVAL)
    assert world.batches == [[7]]
    assert world.writer.lost == 6
    assert world.reports == [
        "the log cannot be written, and entries are lost: no such column",
        "the log is written again; entries that were lost: 6",
    ]


def test_what_was_not_written_is_tried_again_in_its_order(world: World) -> None:
    world.error = Full("no space left on device")
    world.add(1, 2, 3)
    world.add(4, 5, 6, 7, 8)
    world.clock.advance(INTERVAL)
    assert world.batches == []
    world.error = None
    world.clock.advance(INTERVAL)
    assert world.batches == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert world.writer.lost == 0
    assert world.reports == [
        "the log cannot be written; as many entries are kept as there is room for: no space left on device",
        "the log is written again",
    ]


def test_a_disk_that_refuses_is_not_asked_for_each_entry(world: World) -> None:
    world.error = Full("no space left on device")
    asked = []
    in_thread = world.in_thread

    def count(function: Any, *arguments: Any) -> Deferred[None]:
        asked.append(arguments)
        return in_thread(function, *arguments)

    world.writer._in_thread = count
    world.add(*range(20))
    assert len(asked) == 1
    world.clock.advance(INTERVAL)
    assert len(asked) == 2
    assert world.writer.lost == 10
    world.error = None
    world.clock.advance(INTERVAL)
    assert world.batches == [list(range(10))]
    assert world.reports[-1] == "the log is written again; entries that were lost: 10"


def test_flush(world: World) -> None:
    assert world.writer.flush().called, "nothing to write"
    world.slow = []
    world.add(1)
    first = world.writer.flush()
    world.add(2)
    second = world.writer.flush()
    assert not first.called
    world.slow[0]()
    assert first.called
    assert not second.called
    world.slow[1]()
    assert second.called
    assert world.batches == [[1], [2]]


def test_flush_of_what_the_thread_has_already(world: World) -> None:
    world.slow = []
    world.add(1, 2, 3)
    done = world.writer.flush()
    assert not done.called
    world.slow[0]()
    assert done.called
    assert len(world.slow) == 1


def test_flush_ends_when_the_disk_refuses(world: World) -> None:
    world.error = Full("no space left on device")
    world.add(1)
    assert world.writer.flush().called
    world.error = None
    world.clock.advance(INTERVAL)
    assert world.batches == [[1]]


def test_the_end(world: World) -> None:
    world.slow = []
    world.add(1, 2, 3, 4)
    ended: list[None] = []
    world.stop().addCallback(ended.append)
    world.slow[0]()
    assert world.batches == [[1, 2, 3]]
    world.slow[1]()
    assert (ended, world.closed) == ([], [])
    world.slow[2]()
    assert (ended, world.closed) == ([None], [True])
    assert world.batches == [[1, 2, 3], [4]]
    world.add(5)
    assert world.writer.lost == 1
    assert world.reports == []
    assert world.clock.getDelayedCalls() == []


def test_the_end_does_not_wait_for_a_disk_that_refuses(world: World) -> None:
    world.slow = []
    world.error = Full("no space left on device")
    world.add(1, 2, 3, 4)
    done = world.stop()
    for _ in range(3):
        world.slow.pop(0)()
    assert done.called
    assert world.writer.lost == 4
    assert world.clock.getDelayedCalls() == []


def test_the_end_does_not_wait_for_ever_for_a_disk_that_hangs(world: World) -> None:
    world.slow = []
    world.add(1, 2, 3, 4)
    ended: list[None] = []
    world.stop().addCallback(ended.append)
    world.clock.advance(PATIENCE)
    assert ended == [None]
    assert world.writer.lost == 4
    assert world.reports == ["the log could not be written within 2 s, and the last 4 entries are lost"]
    world.slow[0]()  # it comes back after all
    assert world.batches == [[1, 2, 3]]
    assert (len(world.slow), world.closed) == (1, [])
    assert world.clock.getDelayedCalls() == []


def test_what_cannot_be_closed_is_told(world: World) -> None:
    def close() -> None:
        raise OSError("stale file handle")

    world.add(1)
    assert world.writer.stop(close, PATIENCE).called
    assert world.batches == [[1]]
    assert world.reports == ["the log could not be closed: stale file handle"]


@given(st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["thread", "time", "full", "works", "flush"])), max_size=60))
def test_what_is_not_lost_is_written_once_and_in_order(steps: list[int | str]) -> None:
    world = World()
    world.slow = []
    number = 0
    for step in steps:
        if isinstance(step, int):
            world.add(*range(number, number + step))
            number += step
        elif step == "thread" and world.slow:
            world.slow.pop(0)()
        elif step == "time":
            world.clock.advance(INTERVAL)
        elif step in ("full", "works"):
            world.error = Full("full") if step == "full" else None
        elif step == "flush":
            world.writer.flush()
        assert len(world.slow) <= 1
    world.error = None
    done = world.stop()
    while world.slow:
        world.slow.pop(0)()
    assert done.called
    written = [entry for batch in world.batches for entry in batch]
    assert written == sorted(set(written))
    assert len(written) + world.writer.lost == number
    assert world.clock.getDelayedCalls() == []
