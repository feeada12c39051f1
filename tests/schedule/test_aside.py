"""Messages that do not take part: suspended, or poison."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, fail

from tests.schedule.fakes import LATER, NEVER, OK, REFUSED, World, message
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.due import Scheduler
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import Poisoned
from twistedrelay.values.reply import LOCAL_ERROR


def said(waiting: Deferred[Any]) -> Any:
    results: list[Any] = []
    waiting.addBoth(results.append)
    (result,) = results
    return result


def test_a_waiting_message_is_suspended_and_resumed() -> None:
    world = World()
    world.submit(message(1), message(2))
    assert said(world.scheduler.suspend_message(1)) is True
    run = world.runs[0]
    assert run.take().message.id == 2
    run.finish()
    assert run.take() is None
    run.end()
    world.sleep(10_000, step=100)
    assert world.spool.disk[1].status is MessageStatus.SUSPENDED
    assert world.scheduler.room() == 1000
    assert said(world.scheduler.resume_message(1)) is True
    world.sleep(1)
    assert world.runs[-1].take().message.id == 1


def test_nothing_begins_while_the_suspension_is_written() -> None:
    world = World()
    world.submit(message(1), message(2))
    written: Deferred[int] = Deferred()
    world.spool.set_status = lambda *_: written  # type: ignore[method-assign]
    waiting = world.scheduler.suspend_message(1)
    run = world.runs[0]
    assert run.take().message.id == 2
    run.finish()
    assert run.take() is None
    written.callback(1)
    assert said(waiting) is True


def test_a_message_in_flight_is_suspended_when_its_transaction_has_ended() -> None:
    world = World()
    world.submit(message(1, "a@there.example", "b@there.example"))
    (run,) = world.runs[:1]
    run.take()
    assert said(world.scheduler.suspend_message(1)) is True
    run.finish(LATER)
    world.sleep(10_000, step=100)
    assert all(run.take() is None for run in world.runs)
    assert world.spool.disk[1].recipients[0].attempts == 1
    world.scheduler.resume_message(1)
    world.sleep(400)
    (job,) = [run.job for run in world.runs if run.take()]
    assert job.message.id == 1


def test_what_was_delivered_before_the_suspension_took_effect_is_delivered() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    run.take()
    world.scheduler.suspend_message(1)
    run.finish(OK)
    assert world.spool.disk == {}
    assert said(world.scheduler.resume_message(1)) is False


def test_a_message_given_back_is_suspended() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    job = run.take()
    world.scheduler.suspend_message(1)
    run.lane.give_back(job)
    run.end()
    world.sleep(1000, step=50)
    assert all(run.take() is None for run in world.runs)
    assert world.scheduler.room() == 1000


def test_resumed_while_its_transaction_goes_on_it_stays() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    run.take()
    world.scheduler.suspend_message(1)
    assert said(world.scheduler.resume_message(1)) is True
    run.finish(LATER)
    world.sleep(301)
    assert [run.job.message.id for run in world.runs if run.take()] == [1]


def test_a_message_on_disk_only_is_suspended_and_one_that_is_not_there_is_not() -> None:
    world = World(window=8)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["there.example"] = REFUSED
    world.submit(*(message(number) for number in range(1, 51)))
    world.sleep(1)
    assert 50 in world.spool.lanes
    assert said(world.scheduler.suspend_message(50)) is True
    assert said(world.scheduler.suspend_message(99)) is False
    assert said(world.scheduler.resume_message(99)) is False
    world.attempt.connect.clear()
    world.sleep(1000, step=5)
    assert list(world.spool.disk) == [50]
    assert said(world.scheduler.resume_message(50)) is True
    world.sleep(10)
    assert world.spool.disk == {}


def test_a_suspended_message_can_be_removed_and_survives_a_restart() -> None:
    world = World()
    world.submit(message(1), message(2))
    world.scheduler.suspend_message(1)
    world.scheduler.suspend_message(2)
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(600)
    assert all(run.take() is None for run in world.runs)
    assert said(world.scheduler.remove(1, True)) is True
    assert list(world.spool.disk) == [2, 900_001]


def test_where_the_disk_refuses_the_message_goes_on() -> None:
    world = World()
    world.submit(message(1))
    failing: Deferred[int] = Deferred()
    world.spool.set_status = lambda *_: failing  # type: ignore[method-assign]
    waiting = world.scheduler.suspend_message(1)
    failing.errback(SpoolError("disk full", LOCAL_ERROR))
    assert said(waiting).check(SpoolError)
    assert world.runs[0].take().message.id == 1


def test_a_message_that_makes_delivery_fail_twice_is_poison() -> None:
    world = World()
    world.submit(message(1), message(2))
    for turn in range(2):
        world.sleep(301 * turn)
        run = next(run for run in world.runs if run.take() and run.job.message.id == 1)
        run.finish(LATER, defect=True)
        assert world.spool.disk[1].failures == turn + 1
    assert world.spool.disk[1].status is MessageStatus.POISON
    (event,) = world.events.of(Poisoned)
    assert (event.message.id, event.failures) == (1, 2)
    world.sleep(200_000, step=1000)
    assert 1 in world.spool.disk
    assert world.reporter.failures == [] or 1 not in [number for number, _ in world.reporter.failures]
    (queue,) = [view for view in world.scheduler.lanes() if view.identity == "Poison"]
    assert (queue.message_count, queue.delivery_type) == (1, "Undefined")


def test_a_message_that_makes_routing_fail_is_poison_until_it_is_resumed() -> None:
    world = World(poison_threshold=3)
    world.attempt.answer = lambda _: OK
    world.router.poison.add(1)
    world.submit(message(1), message(2))
    world.sleep(900)
    assert world.spool.disk[1].status is MessageStatus.POISON
    assert world.attempt.delivered == [(2, 0)]
    world.router.poison.clear()
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(900)
    assert [view.identity for view in world.scheduler.lanes()] == ["Poison"]
    assert said(world.scheduler.suspend_message(1)) is True
    assert world.spool.disk[1].status is MessageStatus.POISON
    assert said(world.scheduler.resume_message(1)) is True
    world.sleep(1)
    assert world.attempt.delivered == [(2, 0), (1, 0)]
    assert "Poison" not in [view.identity for view in world.scheduler.lanes()]


def test_a_list_whose_jobs_fail_together_counts_each_attempt() -> None:
    world = World(poison_threshold=2)
    world.submit(message(1, *(f"u{number}@there.example" for number in range(250))))
    taken = [run for run in world.runs if run.take()]
    taken[0].finish(LATER, defect=True)
    assert world.spool.disk[1].status is MessageStatus.NORMAL
    taken[0].take()
    taken[0].finish(LATER, defect=True)
    assert world.spool.disk[1].status is MessageStatus.POISON
    assert taken[0].take() is None
    assert world.scheduler.room() == 1000


def test_parked_messages_are_counted_in_their_queue() -> None:
    world = World(window=80)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["there.example"] = REFUSED
    world.submit(*(message(number) for number in range(1, 301)))
    world.sleep(1)
    (view,) = world.scheduler.lanes()
    assert view.message_count == 300
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(1)
    (view,) = world.scheduler.lanes()
    assert view.message_count == 300


def test_messages_that_the_last_process_died_of_are_counted_before_anything_is_sent() -> None:
    world = World()
    world.attempt.answer = lambda _: OK
    world.spool.put(message(1))
    world.spool.put(message(2))
    world.spool.disk[2].failures = 1
    world.restart().start([1, 2, 99])
    world.sleep(1)
    assert world.attempt.delivered == [(1, 0)]
    assert world.spool.disk[2].status is MessageStatus.POISON
    assert [event.message.id for event in world.events.of(Poisoned)] == [2]
    assert [view.identity for view in world.scheduler.lanes() if view.identity == "Poison"] == ["Poison"]


def test_a_message_whose_report_cannot_be_made_by_a_defect_of_ours_is_poison() -> None:
    world = World()
    world.attempt.answer = lambda _: NEVER

    def defect(*_: object) -> Deferred[None]:
        raise ValueError("a defect")

    world.reporter.failed = defect  # type: ignore[assignment]
    world.submit(message(2))
    world.sleep(1000)
    assert world.spool.disk[2].status is MessageStatus.POISON
    assert world.spool.disk[2].failures == 2


def test_a_removed_poison_message_leaves_the_poison_queue() -> None:
    world = World(poison_threshold=1)
    world.router.poison.add(1)
    world.submit(message(1))
    assert [view.identity for view in world.scheduler.lanes()] == ["Poison"]
    assert said(world.scheduler.remove(1, False)) is True
    assert world.scheduler.lanes() == []
    assert world.spool.disk == {}


def test_our_own_code_is_marked_at_work() -> None:
    world = World()
    marked: list[int] = []
    world.attempt.answer = lambda _: NEVER

    @contextmanager
    def at_work(number: int) -> Iterator[None]:
        marked.append(number)
        yield

    world.scheduler = Scheduler(
        world.clock, world.spool, world.router, world.attempt, world.reporter, world.events, world.transport, at_work=at_work
    )
    world.submit(message(7))
    assert marked[:2] == [7, 7]  # the route and the report


def test_a_second_suspension_that_fails_leaves_the_first_in_force() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    run.take()
    assert said(world.scheduler.suspend_message(1)) is True
    world.spool.set_status = lambda *_: fail(SpoolError("disk full", LOCAL_ERROR))  # type: ignore[method-assign]
    assert said(world.scheduler.suspend_message(1)) is True
    run.finish(LATER)
    world.sleep(1000)
    assert all(run.take() is None for run in world.runs)


def test_a_message_that_left_memory_while_its_suspension_failed_comes_again() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    job = run.take()
    failing: Deferred[int] = Deferred()
    world.spool.set_status = lambda *_: failing  # type: ignore[method-assign]
    waiting = world.scheduler.suspend_message(1)
    run.lane.give_back(job)
    run.end()
    failing.errback(SpoolError("disk full", LOCAL_ERROR))
    assert said(waiting).check(SpoolError)
    world.sleep(1)
    assert [run.job.message.id for run in world.runs if run.take()] == [1]
