"""Tests for L{twistedrelay.observe.health}: each check, and when it fails."""

from __future__ import annotations

import math
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from tests.observe.metrics_world import NOON, World
from twistedrelay.interfaces import SpoolError
from twistedrelay.observe.health import Check
from twistedrelay.policy.pressure import Reading
from twistedrelay.values.reply import SYSTEM_RESOURCES


@pytest.fixture
def world() -> World:
    return World()


def found(world: World) -> dict[str, Check]:
    results: list[Any] = []
    Deferred.fromCoroutine(world.health.check()).addBoth(results.append)
    world.reactor.advance(0)
    assert results, "the check waits"
    return {check.name: check for check in results[0]}


def failed(world: World) -> dict[str, str]:
    return {name: check.reason for name, check in found(world).items() if not check.ok}


def test_all_is_well(world: World) -> None:
    assert failed(world) == {}
    assert set(found(world)) == {"spool", "threads", "listeners", "schedule", "back_pressure", "phase"}


def test_threads_that_are_all_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is asked to do nothing, and not another one each time that somebody looks."""
    held: list[Any] = []
    monkeypatch.setattr(world.reactor, "callInThreadWithCallback", lambda *call: held.append(call))
    results: list[Any] = []
    for _ in range(2):
        Deferred.fromCoroutine(world.health.check()).addBoth(results.append)
    world.reactor.advance(5.0)
    world.spool.gauge.clock[0] += 5.0
    assert [checks[1] for checks in results] == [Check("threads", True), Check("threads", False, "no thread was free for 5 s")]
    assert failed(world) == {"threads": "no thread was free for 5 s"}
    [(done, work)] = held
    done(True, work())
    monkeypatch.undo()
    assert failed(world) == {}


def test_threads_and_the_disk_are_waited_for_at_the_same_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks has only so much patience, Prometheus 10 seconds."""
    monkeypatch.setattr(world.reactor, "callInThreadWithCallback", lambda *call: None)
    world.spool.gauge.used = Deferred()
    results: list[Any] = []
    Deferred.fromCoroutine(world.health.check()).addBoth(results.append)
    world.reactor.advance(5.0)
    assert [(check.name, check.ok) for check in results[0][:2]] == [("spool", False), ("threads", False)]


def test_a_fresh_commit_is_proof_enough(world: World) -> None:
    world.spool.gauge.measures.committed(1, 999.0, 0.01)
    world.spool.gauge.clock[0] += 29
    assert found(world)["spool"] == Check("spool", True, "the last commit was 29 s ago")
    assert world.spool.gauge.probes == []
    world.spool.gauge.clock[0] += 2
    assert found(world)["spool"].reason == "a probe was written"
    assert world.spool.gauge.probes == [NOON]


def test_a_disk_that_does_not_take_the_probe(world: World) -> None:
    world.spool.gauge.proof = Deferred()
    results: list[Any] = []
    Deferred.fromCoroutine(world.health.check()).addBoth(results.append)
    world.reactor.advance(4.9)
    assert not results
    world.reactor.advance(0.2)
    assert results[0][0] == Check("spool", False, "the disk did not take a probe within 5 s")


def test_a_disk_that_is_full(world: World) -> None:
    world.spool.gauge.proof = fail(SpoolError("the spool cannot write: No space left on device", SYSTEM_RESOURCES))
    assert failed(world) == {"spool": "the spool cannot write: No space left on device"}


def test_a_spool_that_cannot_be_read(world: World) -> None:
    world.spool.gauge.used = Deferred()
    results: list[Any] = []
    Deferred.fromCoroutine(world.health.check()).addBoth(results.append)
    world.reactor.advance(5.1)
    assert results[0][0] == Check("spool", False, "the spool could not be read within 5 s")
    world.spool.gauge.used = fail(SpoolError("the spool cannot be read: disk I/O error", SYSTEM_RESOURCES))
    assert failed(world) == {"spool": "the spool cannot be read: disk I/O error"}


def test_a_sick_spool(world: World) -> None:
    world.spool.healthy = False
    assert failed(world) == {"spool": "the spool cannot be written to"}


def test_a_thread_that_hangs(world: World) -> None:
    world.spool.gauge.measures.busy()
    world.spool.gauge.clock[0] += 6
    assert failed(world) == {"spool": "the spool's thread has been stuck for 6 s"}
    assert world.health.stuck(7.0) == ""
    assert world.health.stuck(5.0) == "the spool's thread has been stuck for 6 s"
    world.spool.gauge.measures.idle()
    assert world.health.stuck(5.0) == ""


def test_a_thread_that_is_dead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.spool.gauge.measures, "stalled", lambda: math.inf)
    assert world.health.stuck() == "the spool's thread has ended"


def test_a_listener_that_is_gone(world: World) -> None:
    world.bound.append(("[::]:25", False))
    assert failed(world) == {"listeners": "not listening on [::]:25"}
    world.bound.clear()
    assert failed(world) == {"listeners": "none is bound"}


def test_a_schedule_that_is_late_or_paused(world: World) -> None:
    world.schedule.behind = 16.0
    assert failed(world) == {"schedule": "it is 16 s late"}
    assert world.health.stuck() == "the schedule is 16 s late"
    world.schedule.behind, world.schedule.may_run = 0.0, False
    assert failed(world) == {"schedule": "delivery is paused"}
    assert world.health.stuck() == ""


def test_medium_pressure_is_told_and_high_pressure_fails(world: World) -> None:
    from twistedrelay.config.pressure import BackPressure

    world.pressure.use(BackPressure())
    world.pressure.sample({"used_disk_space": Reading(95.0)})
    assert found(world)["back_pressure"] == Check("back_pressure", True, "used_disk_space is Medium (95 %)")
    world.pressure.sample({"used_disk_space": Reading(99.9)})
    assert failed(world) == {"back_pressure": "used_disk_space is High (99.9 %)"}


def test_before_the_start_and_in_the_end(world: World) -> None:
    world.health.started = False
    assert failed(world) == {"phase": "starting"}
    world.health.started = world.health.stopping = True
    assert failed(world) == {"phase": "shutting down"}
