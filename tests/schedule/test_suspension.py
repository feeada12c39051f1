"""Queues and messages that an administrator suspends."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from tests.schedule.fakes import OK, REFUSED, World, message
from tests.schedule.test_lanes import lane_of
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.lanes import HEAD, LOW, MOST
from twistedrelay.values.reply import LOCAL_ERROR


def forgets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool keeps no more."""

    def refuse(*arguments: object) -> Deferred[None]:
        return fail(SpoolError("disk full", LOCAL_ERROR))

    for name in ("remember", "remembered"):
        monkeypatch.setattr(world.spool, name, refuse)


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
    assert json.loads(world.spool.texts["queue:there.example"]) == {"reason": "", "until": 500.0, "by": ""}
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


def test_nothing_is_sent_before_it_is_known_what_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    forgets(world, monkeypatch)
    world.scheduler.start()
    world.submit(message(1))
    world.sleep(20)
    assert world.runs == []
    monkeypatch.undo()
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


def test_a_suspension_that_cannot_be_kept_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told that it failed finds everything as it was."""
    world = World()
    world.submit(message(1))
    before = len(world.events.all)
    with monkeypatch.context() as context:
        forgets(world, context)
        failed = result(world.scheduler.queues.suspend("there.example"))
        assert isinstance(failed, Failure)
        assert failed.check(SpoolError)
    assert len(world.events.all) == before
    (view,) = world.scheduler.lanes()
    assert (view.status, view.suspension) == ("Connecting", None)
    assert world.runs[0].take() is not None


def test_a_queue_whose_resumption_cannot_be_kept_stays_suspended_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.submit(message(1))
    world.scheduler.queues.suspend("there.example", "theirs", 500.0)
    with monkeypatch.context() as context:
        forgets(world, context)
        failed = result(world.scheduler.queues.resume("there.example"))
        assert isinstance(failed, Failure)
    (view,) = world.scheduler.lanes()
    assert view.suspension is not None
    assert (view.status, view.suspension.reason) == ("Suspended", "theirs")
    world.sleep(510)
    assert [view.status for view in world.scheduler.lanes()] != ["Suspended"]  # it still ends by itself


def test_what_was_said_later_stands_where_something_said_before_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.submit(message(1))
    keeping: list[Deferred[None]] = []
    monkeypatch.setattr(world.spool, "remember", lambda *_: keeping.append(Deferred()) or keeping[-1])
    first = world.scheduler.queues.suspend("there.example", "first")
    second = world.scheduler.queues.suspend("there.example", "second")
    keeping[0].errback(SpoolError("disk full", LOCAL_ERROR))
    keeping[1].callback(None)
    assert isinstance(result(first), Failure)
    assert result(second) is True
    (view,) = world.scheduler.lanes()
    assert view.suspension is not None
    assert view.suspension.reason == "second"


def test_a_queue_is_as_it_was_before_two_who_are_both_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.submit(message(1))
    world.scheduler.queues.suspend("there.example", "theirs")
    keeping: list[Deferred[None]] = []
    monkeypatch.setattr(world.spool, "remember", lambda *_: keeping.append(Deferred()) or keeping[-1])
    both = [world.scheduler.queues.resume("there.example"), world.scheduler.queues.suspend("there.example", "another")]
    for each in keeping:
        each.errback(SpoolError("disk full", LOCAL_ERROR))
    assert all(isinstance(result(each), Failure) for each in both)
    (view,) = world.scheduler.lanes()
    assert view.suspension is not None
    assert view.suspension.reason == "theirs"


def test_mail_expires_in_a_suspended_queue() -> None:
    world = World(message_expiration_timeout=1000.0)
    world.submit(message(1, sender=""))
    world.scheduler.queues.suspend("there.example")
    world.runs.pop().end()
    world.sleep(1010)
    assert world.spool.disk == {}


def test_a_lane_that_may_not_send_has_less_room_and_asks_for_more_when_it_may() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 31)))
    lane = lane_of(world)
    wanted: list[object] = []
    world.scheduler.wants = wanted.append  # type: ignore[method-assign,assignment]
    assert lane.room() == MOST - 30
    for run in list(world.runs):
        run.end(REFUSED)
    assert lane.room() == HEAD - 30
    world.runs.clear()
    world.sleep(61)
    run = world.runs[0]
    run.take()
    assert wanted == []
    run.finish(OK)
    assert wanted == [lane]
    world.scheduler.queues.suspend("there.example")
    assert lane.room() == HEAD - 29
    world.scheduler.queues.resume("there.example")
    assert wanted == [lane, lane]


def test_a_lane_asks_for_more_before_it_is_empty_and_when_it_is() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, LOW + 11)))
    wanted: list[int] = []
    world.scheduler.wants = lambda lane: wanted.append(len(lane))  # type: ignore[method-assign,assignment]
    run = world.runs[0]
    while run.take() is not None:
        run.finish(OK)
    assert wanted[0] == LOW
    assert set(wanted[1:]) == {0}
