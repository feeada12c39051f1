"""Queues and messages that an administrator suspends."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.schedule.fakes import OK, REFUSED, World, message
from tests.schedule.test_lanes import lane_of
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.naming import lane_name, next_hop_of
from twistedrelay.values.envelope import MessageStatus


def result(waiting: Deferred[bool]) -> bool | Failure:
    found: list[bool | Failure] = []
    waiting.addBoth(found.append)
    return found[0]


def test_a_suspended_queue_takes_mail_and_finishes_what_is_being_sent() -> None:
    world = World()
    world.submit(message(1), message(2))
    (run,) = world.runs
    run.take()
    assert result(world.scheduler.queues.suspend("there.example", "their move", 0.0)) is True
    world.submit(message(3))
    (view,) = world.scheduler.lanes()
    assert (view.status, view.message_count) == ("Suspended", 3)
    assert view.suspension is not None
    assert view.suspension.reason == "their move"
    world.sleep(1000)
    assert len(world.runs) == 1
    assert result(world.scheduler.queues.resume("there.example")) is True
    world.attempt.answer = lambda hop: OK
    run.end()
    assert {number for number, _ in world.attempt.delivered} >= {2, 3}


def test_a_run_in_progress_gets_no_more_jobs() -> None:
    world = World()
    world.submit(message(1), message(2))
    (run,) = world.runs
    job = run.take()
    world.scheduler.queues.suspend("there.example")
    run.job = job
    run.finish(OK)
    assert run.take() is None
    assert 1 not in world.spool.disk
    assert 2 in world.spool.disk


def test_it_ends_by_itself() -> None:
    world = World()
    world.submit(message(1))
    world.runs.pop().end(REFUSED)
    world.scheduler.queues.suspend("there.example", "", 500.0)
    world.sleep(490)
    assert world.runs == []
    assert json.loads(world.spool.texts["queue:there.example"]) == {"reason": "", "until": 500.0}
    world.sleep(20)
    assert len(world.runs) == 1
    assert world.spool.texts == {}


def test_it_survives_a_restart_and_holds_for_a_queue_that_comes_back() -> None:
    world = World()
    world.submit(message(1))
    world.runs.pop().end(REFUSED)
    world.scheduler.queues.suspend("there.example", "their move", 0.0)
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(1000)
    assert world.runs == []
    (view,) = world.scheduler.lanes()
    assert view.status == "Suspended"
    world.scheduler.queues.resume("there.example")
    assert len(world.runs) == 1


def test_one_that_ended_while_nobody_ran_is_forgotten() -> None:
    world = World()
    world.submit(message(1))
    world.runs.pop().end(REFUSED)
    world.scheduler.queues.suspend("there.example", "", 100.0)
    world.scheduler.stop(0)
    world.clock.advance(200)
    world.restart().start()
    world.sleep(1)
    assert len(world.runs) == 1
    assert world.spool.texts == {}


def test_what_nobody_can_read_suspends_nothing() -> None:
    world = World()
    world.spool.texts = {"queue:there.example": "{", "queue:other.example": '{"reason": 1, "until": "x"}', "other": "kept"}
    world.scheduler.start()
    world.submit(message(1))
    assert len(world.runs) == 1
    assert world.spool.texts == {"other": "kept"}


def test_nothing_is_sent_before_it_is_known_what_is_suspended() -> None:
    world = World()
    world.spool.forgetful = True
    world.scheduler.start()
    world.submit(message(1))
    world.sleep(20)
    assert world.runs == []
    world.spool.forgetful = False
    world.sleep(20)
    assert world.runs


def test_only_a_queue_that_exists_is_suspended_and_one_that_is_resumed() -> None:
    world = World()
    assert result(world.scheduler.queues.suspend("nowhere.example")) is False
    assert result(world.scheduler.queues.resume("nowhere.example")) is False
    world.submit(message(1))
    world.scheduler.queues.suspend("there.example")
    world.attempt.answer = lambda hop: OK
    world.runs.pop().end()
    world.sleep(400)  # the lane is kept, since it holds a message
    assert [view.identity for view in world.scheduler.lanes()] == ["there.example"]


def test_a_suspension_without_a_queue_is_shown() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    world.scheduler.queues.suspend("there.example")
    run.finish(OK)
    run.end()
    world.sleep(400)
    (view,) = world.scheduler.lanes()
    assert (view.identity, view.status, view.message_count) == ("there.example", "Suspended", 0)


def test_a_suspension_that_does_not_last_is_said() -> None:
    world = World()
    world.submit(message(1))
    world.spool.forgetful = True
    failed = result(world.scheduler.queues.suspend("there.example"))
    assert isinstance(failed, Failure)
    assert failed.check(SpoolError)


def test_mail_expires_in_a_suspended_queue() -> None:
    world = World(message_expiration_timeout=1000.0)
    world.submit(message(1, sender=""))
    world.scheduler.queues.suspend("there.example")
    world.runs.pop().end()
    world.sleep(1010)
    assert world.spool.disk == {}


def test_a_suspended_message_leaves_its_lane_and_memory() -> None:
    world = World()
    world.submit(message(1), message(2))
    assert result(Deferred.fromCoroutine(world.scheduler.withdrawal.suspend(2))) is True
    assert world.spool.disk[2].status is MessageStatus.SUSPENDED
    assert world.scheduler.room() == 999
    assert [job.message.id for job in lane_of(world).waiting] == [1]
    world.scheduler.stop(0)
    world.attempt.answer = lambda hop: OK
    world.restart().start()
    world.sleep(1000)
    assert world.attempt.delivered == [(1, 0)]
    assert result(Deferred.fromCoroutine(world.scheduler.withdrawal.resume(2))) is True
    assert world.attempt.delivered == [(1, 0), (2, 0)]


def test_one_that_is_being_sent_is_suspended_when_that_fails() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    assert result(Deferred.fromCoroutine(world.scheduler.withdrawal.suspend(1))) is True
    assert world.scheduler.room() == 999  # PendingSuspend
    job = run.job
    assert job is not None
    run.lane.give_back(job)
    run.end()
    assert world.scheduler.room() == 1000
    assert len(lane_of(world)) == 0
    world.sleep(1000)
    assert world.runs == []


def test_one_whose_transaction_is_deferred_does_not_come_back() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    Deferred.fromCoroutine(world.scheduler.withdrawal.suspend(1))
    run.finish(REFUSED)
    run.end()
    world.sleep(1000)
    assert world.runs == []
    assert world.scheduler.room() == 1000


def test_one_that_cannot_be_suspended_goes_on() -> None:
    world = World()
    world.submit(message(1), message(2))
    world.spool.forgetful = True
    failed = result(Deferred.fromCoroutine(world.scheduler.withdrawal.suspend(2)))
    assert isinstance(failed, Failure)
    assert failed.check(SpoolError)
    assert sorted(job.message.id for job in lane_of(world).waiting) == [1, 2]


def test_a_suspension_is_taken_back_in_time() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    Deferred.fromCoroutine(world.scheduler.withdrawal.suspend(1))
    Deferred.fromCoroutine(world.scheduler.withdrawal.resume(1))
    assert run.job is not None
    run.lane.give_back(run.job)
    assert len(lane_of(world)) == 1


def test_there_is_no_such_message() -> None:
    world = World()
    assert result(Deferred.fromCoroutine(world.scheduler.withdrawal.suspend(7))) is False
    assert result(Deferred.fromCoroutine(world.scheduler.withdrawal.resume(7))) is False


@pytest.mark.parametrize("key", [("Internet", "there.example", "", False), ("", '[10.0.0.1],"x', "ü@x", True)])
def test_a_lane_s_name_says_its_next_hop(key: tuple[str, str, str, bool]) -> None:
    assert next_hop_of(lane_name(key)) == key[1]


def test_a_name_of_another_kind_is_shown_as_it_is() -> None:
    assert [next_hop_of(text) for text in ("x", "[]", "7")] == ["x", "[]", "7"]


def test_a_lane_has_as_much_room_as_the_others_together() -> None:
    world = World(window=400)
    world.submit(message(1))
    lane = lane_of(world)
    wanted: list[object] = []
    world.scheduler.wants = wanted.append  # type: ignore[method-assign,assignment]
    assert lane.room() == 398
    world.submit(*(message(number) for number in range(2, 201)))
    assert lane.room() == 0
    for _ in range(99):
        world.runs[0].take()
        world.runs[0].finish(OK)
    assert wanted == []
    world.runs[0].take()
    assert wanted == [lane]


def test_a_dead_lane_has_little_room_and_asks_again_when_it_lives() -> None:
    world = World(window=400)
    world.submit(*(message(number) for number in range(1, 31)))
    lane = lane_of(world)
    wanted: list[object] = []
    world.scheduler.wants = wanted.append  # type: ignore[method-assign,assignment]
    for run in list(world.runs):
        run.end(REFUSED)
    assert lane.room() == 0
    world.runs.clear()
    world.sleep(61)
    run = world.runs[0]
    run.take()
    assert wanted == []
    run.finish(OK)
    assert wanted == [lane]


def test_a_suspended_lane_has_no_room_and_asks_when_it_goes_on() -> None:
    world = World()
    world.submit(message(1))
    lane = lane_of(world)
    wanted: list[object] = []
    world.scheduler.wants = wanted.append  # type: ignore[method-assign,assignment]
    world.scheduler.queues.suspend("there.example")
    assert lane.room() == 0
    world.scheduler.queues.resume("there.example")
    assert wanted == [lane]
