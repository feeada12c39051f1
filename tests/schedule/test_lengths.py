"""Tests for L{twistedrelay.schedule.lengths}, and for how late the alarm is."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.schedule.fakes import World, message
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.lengths import PIECE, Length, lengths


def found(world: World) -> list[Length]:
    results: list[Any] = []
    world.scheduler.queues.lengths().addBoth(results.append)
    world.clock.advance(0)
    return list(results[0])


def test_what_waits_and_what_is_being_sent() -> None:
    world = World()
    world.scheduler.start()
    world.submit(message(1, "a@one.example"), message(2, "b@one.example"), message(3, "c@two.example"))
    taken = world.runs[0].lane.take()
    assert taken is not None
    assert {(each.next_hop, each.waiting, each.active) for each in found(world)} == {("one.example", 1, 1), ("two.example", 1, 0)}
    assert world.scheduler.queues.in_memory == 3


def test_many_lanes_take_more_than_one_turn() -> None:
    world = World()
    world.scheduler.start()
    for number in range(10):
        world.submit(message(number + 1, f"a@d{number}.example"))
    lane = world.runs[0].lane
    steps = lengths([lane] * (2 * PIECE), lambda _: 7)  # type: ignore[arg-type]
    assert next(steps) is None
    assert next(steps) is None
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert len(end.value.value) == 2 * PIECE
    assert end.value.value[0].waiting == 8
    assert len(found(world)) == 10


def test_an_alarm_knows_how_late_it_is() -> None:
    clock = Clock()
    alarm = Alarm(clock)
    assert alarm.late() == 0.0

    class Sleeper:
        def wake(self, now: float) -> None: ...

    alarm.at(-50.0, Sleeper())
    alarm.at(5.0, Sleeper())
    assert alarm.late() == 0.0
    clock.rightNow = 12.0  # the reactor does not turn
    assert alarm.late() == 12.0
    clock.advance(0)
    assert alarm.late() == 0.0
