"""Messages that are removed while they are being sent: what becomes of them, also over a restart."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from tests.schedule.fakes import LATER, OK, World, message
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.removal import PREFIX, REPORTED, SILENT
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import Removed, ServiceEvent
from twistedrelay.values.reply import LOCAL_ERROR


def said(waiting: Deferred[Any]) -> Any:
    results: list[Any] = []
    waiting.addBoth(results.append)
    (result,) = results
    return result


def in_flight(world: World, *numbers: int) -> None:
    """Messages that are being sent."""
    world.submit(*(message(number, f"user@d{number}.example") for number in numbers))
    for run in world.runs:
        assert run.take() is not None


def crash(world: World) -> None:
    """Kill it, and start again."""
    world.scheduler.alarm.stop()
    world.runs.clear()
    world.restart().start()


@pytest.mark.parametrize("with_ndr", [True, False])
def test_after_a_crash_it_is_not_sent_again(with_ndr: bool) -> None:
    world = World()
    in_flight(world, 1, 2)
    assert said(world.scheduler.messages.remove([1], with_ndr)) == 1
    assert world.spool.texts == {f"{PREFIX}1": REPORTED if with_ndr else SILENT}
    crash(world)
    world.sleep(1000)
    assert {run.lane.route.next_hop for run in world.runs} == ({"d2.example", "here.example"} if with_ndr else {"d2.example"})
    assert 1 not in world.spool.disk
    assert world.spool.texts == {}
    assert [event.with_ndr for event in world.events.of(Removed)] == [with_ndr]  # type: ignore[attr-defined]


@pytest.mark.parametrize("reply", [OK, LATER])
def test_when_its_transaction_has_ended_nothing_is_kept_of_it(reply: Any) -> None:
    world = World()
    in_flight(world, 1)
    assert said(world.scheduler.messages.remove([1], False)) == 1
    (run,) = world.runs
    run.finish(reply)
    assert (world.spool.disk, world.spool.texts) == ({}, {})
    assert world.scheduler.room() == 1000


def test_what_waits_is_gone_at_once_and_nothing_has_to_be_kept() -> None:
    world = World()
    world.submit(message(1))
    world.spool.remember = lambda *_: fail(SpoolError("not asked", LOCAL_ERROR))  # type: ignore[method-assign]
    assert said(world.scheduler.messages.remove([1], False)) == 1
    assert world.spool.disk == {}


def test_a_removal_that_cannot_be_kept_is_none() -> None:
    """Who is told that it failed finds the message where it was."""
    world = World()
    in_flight(world, 1)
    remember = world.spool.remember
    world.spool.remember = lambda *_: fail(SpoolError("disk full", LOCAL_ERROR))  # type: ignore[method-assign]
    failed = said(world.scheduler.messages.remove([1], False))
    assert isinstance(failed, Failure)
    assert "the message stays in the queue" in failed.getErrorMessage()
    world.spool.remember = remember  # type: ignore[method-assign]
    world.runs[0].finish(LATER)
    world.sleep(400)
    assert any(run.take() for run in world.runs)


def test_it_ends_while_that_it_is_removed_is_being_kept() -> None:
    world = World()
    in_flight(world, 1)
    keeping: list[tuple[str, str | None, Deferred[None]]] = []

    def remember(key: str, value: str | None) -> Deferred[None]:
        keeping.append((key, value, Deferred()))
        return keeping[-1][2]

    world.spool.remember = remember  # type: ignore[method-assign]
    removing = world.scheduler.messages.remove([1], False)
    world.runs[0].finish(OK)
    assert [(key, value) for key, value, _ in keeping] == [(f"{PREFIX}1", SILENT), (f"{PREFIX}1", None)]
    keeping[0][2].errback(SpoolError("disk full", LOCAL_ERROR))
    keeping[1][2].errback(SpoolError("disk full", LOCAL_ERROR))
    assert said(removing) == 1


def test_a_start_forgets_what_was_gone_and_removes_what_is_suspended_since() -> None:
    world = World()
    world.spool.put(message(2)).status = MessageStatus.SUSPENDED
    world.spool.disk[2].status = MessageStatus.SUSPENDED
    world.spool.texts = {f"{PREFIX}1": SILENT, f"{PREFIX}2": SILENT, f"{PREFIX}x": SILENT}
    world.scheduler.start()
    world.sleep(10)
    assert world.spool.texts == {f"{PREFIX}x": SILENT}
    assert world.spool.disk == {}


def test_a_start_that_cannot_read_them_sends_none_of_them() -> None:
    """They are taken out when they come into memory."""
    world = World()
    world.spool.put(message(1))
    world.spool.texts = {f"{PREFIX}1": SILENT}
    load, failures = world.spool.load, [SpoolError("the disk", LOCAL_ERROR)]
    world.spool.load = lambda ids: fail(failures.pop()) if failures else load(ids)  # type: ignore[method-assign]
    world.scheduler.start()
    world.sleep(100)
    assert world.runs == []
    assert (world.spool.disk, world.spool.texts) == ({}, {})
    assert any("the disk" in event.text for event in world.events.of(ServiceEvent))  # type: ignore[attr-defined]


def test_what_leaves_memory_while_it_is_looked_for_on_the_disk_is_found() -> None:
    """It came into memory, was tried, and waits on the disk again: it is there all the time."""
    world = World(window=8)
    load, asked = world.spool.load, []

    def slow(ids: Any) -> Deferred[Any]:
        if asked:
            return load(ids)
        asked.append((load(ids), Deferred()))  # as it was
        return asked[0][1]

    world.spool.load = slow  # type: ignore[method-assign]
    world.spool.put(message(1))
    removing = world.scheduler.messages.remove([1], False)
    world.scheduler.adopt(said(load([1]))[0])
    (run,) = world.runs
    run.take()
    world.submit(*(message(number, f"user@d{number}.example") for number in range(2, 8)))  # memory is half full
    run.finish(LATER)
    assert 1 not in world.scheduler._entries
    before, answer = asked[0]
    before.chainDeferred(answer)
    assert said(removing) == 1
    assert 1 not in world.spool.disk
    assert [each.attempts for event in world.events.of(Removed) for each in event.recipients] == [1]  # type: ignore[attr-defined]


def test_two_who_remove_it_and_are_refused_are_both_told_so() -> None:
    world = World()
    in_flight(world, 1)
    keeping: list[Deferred[None]] = []
    world.spool.remember = lambda *_: keeping.append(Deferred()) or keeping[-1]  # type: ignore[method-assign,func-returns-value]
    removing = [world.scheduler.messages.remove([1], False) for _ in range(2)]
    for each in keeping:
        each.errback(SpoolError("disk full", LOCAL_ERROR))
    assert [type(said(each)) for each in removing] == [Failure, Failure]
    world.runs[0].finish(LATER)
    world.sleep(400)
    assert any(run.take() for run in world.runs)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("obeyed", [0, 1])
def test_one_of_two_who_remove_it_is_obeyed(first: int, obeyed: int) -> None:
    """In whichever order they are answered."""
    world = World()
    in_flight(world, 1)
    keeping: list[Deferred[None]] = []
    world.spool.remember = lambda *_: keeping.append(Deferred()) or keeping[-1]  # type: ignore[method-assign,func-returns-value]
    removing = [world.scheduler.messages.remove([1], False) for _ in range(2)]
    for number in (first, 1 - first):
        if number == obeyed:
            keeping[number].callback(None)
        else:
            keeping[number].errback(SpoolError("disk full", LOCAL_ERROR))
    assert said(removing[obeyed]) == 1
    assert isinstance(said(removing[1 - obeyed]), Failure)
    world.runs[0].finish(LATER)
    assert world.spool.disk == {}


def test_what_is_being_sent_by_the_time_it_was_looked_for_on_the_disk_is_kept_as_removed_too() -> None:
    world = World()
    load, answers = world.spool.load, []
    world.spool.load = lambda ids: answers.append(Deferred()) or answers[-1]  # type: ignore[method-assign,func-returns-value]
    world.spool.put(message(1))
    removing = world.scheduler.messages.remove([1], False)
    world.scheduler.adopt(said(load([1]))[0])
    assert world.runs[0].take() is not None
    load([1]).chainDeferred(answers[0])
    assert said(removing) == 1
    assert world.spool.texts == {f"{PREFIX}1": SILENT}
