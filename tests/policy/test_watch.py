"""Tests for L{twistedrelay.policy.watch}: when samples are taken, and of what."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from twistedrelay.config.pressure import BackPressure as Settings
from twistedrelay.interfaces import SpoolError
from twistedrelay.policy import watch
from twistedrelay.policy.pressure import BackPressure, Level, Reading
from twistedrelay.policy.resources import FileSystem
from twistedrelay.policy.watch import PressureWatch
from twistedrelay.values.reply import LOCAL_ERROR

MEGABYTE = 1024 * 1024


class Reactor(Clock):
    """Threads do their work at once."""

    def getThreadPool(self) -> None:
        return None


@attrs.define
class Gauge:
    """A spool of a size."""

    directory: str = "/spool"
    used: int = 0
    waiting: int = 0
    spared: int = 0
    fault: Exception | None = None
    asked: list[int] = attrs.Factory(list)

    def used_database(self) -> Deferred[int]:
        return succeed(self.used) if self.fault is None else fail(self.fault)

    def due(self, before: float, most: int) -> Deferred[int]:
        self.asked.append(most)
        return succeed(min(self.waiting, most))

    def spare_memory(self) -> None:
        self.spared += 1


@attrs.define
class Schedule:
    """One with its memory full, or not."""

    left: int = 10_000
    in_memory: int = 20_000

    def room(self) -> int:
        return self.left

    @property
    def queues(self) -> Schedule:
        return self


class World:
    """All that is measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.reactor = Reactor()
        self.pressure = BackPressure(Settings.model_validate(settings))
        self.gauge, self.schedule, self.events = Gauge(), Schedule(), []  # type: ignore[var-annotated]
        self.count = 0
        self.disk: Reading | None = Reading(50.0, "/spool")
        self.memory = {"private_bytes": Reading(10.0), "system_memory": Reading(20.0)}
        self.room = FileSystem("/spool", 50.0, 1.0, 100 * MEGABYTE)
        monkeypatch.setattr(watch, "deferToThreadPool", lambda reactor, pool, work: succeed(work()))
        monkeypatch.setattr(watch, "disk_reading", lambda paths, sufficient: self.disk)
        monkeypatch.setattr(watch, "memory_readings", lambda: dict(self.memory))
        monkeypatch.setattr(watch, "file_system", lambda path: self.room)
        self.watch = PressureWatch(
            self.reactor, self.pressure, self.gauge, self.schedule, lambda: succeed(self.count), self, logs=("/logs",)
        )
        self.watch.startService()

    def emit(self, event: Any) -> None:
        self.events.append((event.level, event.text))

    def value(self, name: str) -> float | None:
        reading = self.pressure.resources[name].reading
        return None if reading is None else reading.value


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_every_two_seconds(world: World) -> None:
    world.disk = Reading(95.0, "/spool: 3 MB free")
    world.reactor.advance(1.9)
    assert not world.pressure.active
    world.reactor.advance(0.1)
    assert world.pressure.active
    assert world.events == [("warn", "back pressure: used_disk_space rises from Low to Medium: 95 %, above 89 % (/spool: 3 MB free)")]
    world.disk = Reading(99.9)
    world.reactor.advance(2)
    assert [level for level, _ in world.events] == ["warn", "error"]
    world.disk = Reading(1.0)
    world.reactor.advance(2)
    assert [level for level, _ in world.events] == ["warn", "error", "info"]
    world.watch.stopService()
    world.disk = Reading(99.9)
    world.reactor.advance(10)
    assert not world.pressure.active


def test_the_database_is_measured_against_the_room_that_it_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, sufficient_free_disk_space=0)
    world.gauge.used = 3300 * MEGABYTE
    world.reactor.advance(2)
    assert world.value("database_used_space") == pytest.approx(100 * 3300 / 3400)
    assert world.pressure.resources["database_used_space"].level is Level.MEDIUM


def test_with_plenty_of_room_the_database_may_be_large(world: World) -> None:
    world.gauge.used = 10**12
    world.room = FileSystem("/spool", 99.0, 1.0, 11 * 1024 * MEGABYTE)
    world.reactor.advance(2)
    assert world.value("database_used_space") == 0.0


def test_a_large_disk_that_is_nearly_full_does_not_make_levels_flutter(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    gigabyte = 1024 * MEGABYTE
    monkeypatch.setattr(watch, "disk_reading", lambda paths, enough: Reading(0.0 if world.room.free >= enough else 99.5))
    world.gauge.used = 2000 * gigabyte
    for free in (10 * gigabyte + 1, 10 * gigabyte - 1, 10 * gigabyte + 1, 10 * gigabyte - 1, 10 * gigabyte + 1):
        world.room = FileSystem("/spool", 99.5, 1.0, free)
        world.reactor.advance(2)
    assert len(world.events) == 2  # disk and database, once
    world.room = FileSystem("/spool", 99.4, 1.0, 11 * gigabyte)
    world.reactor.advance(2)
    assert world.pressure.level is Level.LOW


def test_a_flood_that_is_read_in_pages_does_not_make_levels_flutter(world: World) -> None:
    world.gauge.waiting = 34_000
    for left in (10, 900, 20, 700, 499):
        world.schedule.left = left
        world.reactor.advance(2)
    assert [level for level, _ in world.events] == ["warn"]
    assert world.pressure.resources["submission_queue_length"].samples == 5
    world.gauge.waiting, world.schedule.left = 0, 20_000
    world.reactor.advance(2)
    assert world.pressure.level is Level.LOW


def test_the_submission_queue_is_what_the_schedule_has_not_seen_yet(world: World) -> None:
    world.gauge.waiting = 32_500
    world.reactor.advance(2)
    assert world.value("submission_queue_length") == 0
    assert world.gauge.asked == []
    world.schedule.left = 10
    world.reactor.advance(2)
    assert world.value("submission_queue_length") == 12_500
    assert world.pressure.delay == 10.0
    world.gauge.waiting = 1_000_000
    world.reactor.advance(2)
    assert world.value("submission_queue_length") == 15_001
    assert world.pressure.level is Level.HIGH


def test_the_whole_queue_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, queue_length={"low_to_medium": 10, "medium_to_high": 20, "high_to_medium": 10, "medium_to_low": 5})
    world.count = 11
    world.reactor.advance(2)
    assert world.pressure.delay == 10.0


def test_a_sick_spool_does_not_hide_the_disk(world: World) -> None:
    world.gauge.fault = SpoolError("the spool is sick", LOCAL_ERROR)
    world.disk = Reading(100.0)
    world.reactor.advance(2)
    assert world.pressure.level is Level.HIGH


@pytest.mark.parametrize("resource", ["system_memory", "private_bytes"])
def test_short_memory_empties_the_caches(resource: str, world: World) -> None:
    world.memory[resource] = Reading(90.0)
    world.reactor.advance(2)
    assert world.gauge.spared == 1
    assert world.pressure.active is (resource == "private_bytes")


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, enable_resource_monitoring=False)
    world.disk = Reading(100.0)
    world.reactor.advance(10)
    assert not world.pressure.active
