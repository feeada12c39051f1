"""The schedule as a whole, with a fake clock."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.fakes import LATER, NEVER, OK, REFUSED, World, message
from twistedrelay.schedule.results import JOBS_PER_TURN
from twistedrelay.values.envelope import OutcomeKind, RecipientState
from twistedrelay.values.events import Dropped, Removed, ReportSent, Send, ServiceEvent
from twistedrelay.values.reply import Reply

NO_CONNECTOR = Reply(451, "4.4.4", "A matching connector cannot be found to route the external recipient")


def test_a_single_message_starts_at_once_and_is_gone_when_recorded() -> None:
    world = World()
    world.submit(message(1))
    (run,) = world.runs
    job = run.take()
    assert job is not None
    assert job.message.id == 1
    assert run.take() is None
    run.job = job
    world.spool.hold = True
    run.finish()
    assert world.events.of(Send) == []  # nothing is said before the commit
    assert world.scheduler.room() == 999
    world.spool.commit()
    assert [event.outcome.kind for event in world.events.of(Send)] == [OutcomeKind.DELIVERED]
    assert world.scheduler.room() == 1000
    assert world.spool.disk == {}


def test_a_deferred_recipient_is_tried_again_after_message_retry_interval() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    run.finish(LATER)
    run.end()
    assert world.spool.disk[1].recipients[0].next_attempt == 300
    world.sleep(299)
    assert world.runs == []
    world.sleep(2)
    run = world.runs.pop()
    job = run.take()
    assert job is not None
    assert job.recipients[0].attempts == 1
    run.finish()
    assert world.spool.disk == {}


def test_when_an_attempt_began_is_said_where_it_failed() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    world.sleep(7)
    run.take()
    world.sleep(30)
    run.finish(LATER)
    run.end()
    world.sleep(400)
    run = world.runs.pop()
    run.take()
    run.finish()
    assert [event.outcome.began for event in world.events.of(Send)] == [7.0, 0.0]


def test_recipients_go_their_own_ways_and_never_wait_for_each_other() -> None:
    world = World()
    world.submit(message(1, "a@one.example", "b@two.example", "c@one.example"))
    one, two = world.runs
    job = one.take()
    assert job is not None
    assert [each.index for each in job.recipients] == [0, 2]
    one.finish()
    two.take()
    two.finish(LATER)
    two.end()
    world.runs.clear()
    world.sleep(301)
    (run,) = world.runs
    job = run.take()
    assert job is not None
    assert [each.index for each in job.recipients] == [1]  # the delivered ones are never tried again


def test_a_recipient_is_not_retried_before_its_record_is_committed() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    world.spool.hold = True
    run.finish(LATER)
    run.end()
    world.sleep(1000)
    assert world.runs == []
    world.spool.commit()
    world.sleep(1)
    assert len(world.runs) == 1


def test_a_failure_is_reported_and_the_report_sent() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    run.finish(NEVER)
    run.end()
    assert world.reporter.failures == [(1, ["550 5.1.1 User unknown"])]
    assert world.spool.records == [(1, [OutcomeKind.FAILED], [900_001])]
    assert list(world.spool.disk) == [900_001]
    assert len(world.events.of(ReportSent)) == 1
    job = world.runs.pop().take()
    assert job is not None
    assert job.message.sender.is_null


def test_a_failed_report_is_dropped_not_reported() -> None:
    world = World()
    world.submit(message(1, sender=""))
    run = world.runs.pop()
    run.take()
    run.finish(NEVER)
    assert world.spool.disk == {}
    assert len(world.events.of(Dropped)) == 1


def test_nobody_is_given_up_when_no_report_can_be_made() -> None:
    world = World()
    world.reporter.broken = True
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    run.finish(NEVER)
    run.end()
    assert world.spool.disk[1].recipients[0].state is RecipientState.READY
    world.reporter.broken = False
    world.sleep(301)
    run = world.runs.pop()
    run.take()
    run.finish(NEVER)
    assert list(world.spool.disk) == [900_001]


def test_expiry_keeps_the_last_error() -> None:
    world = World(message_expiration_timeout=1000.0)
    world.attempt.answer = lambda _: LATER
    world.submit(message(1))
    world.sleep(1300)
    ((number, replies),) = [failure for failure in world.reporter.failures if failure[0] == 1]
    assert number == 1
    assert replies == ["550 4.4.7 QUEUE.Expired; message expired; last error: 451 4.3.0 Try again later"]
    assert 1 not in world.spool.disk


def test_delay_notice_once() -> None:
    world = World(delay_notification_timeout=1000.0)
    world.attempt.answer = lambda next_hop: LATER if next_hop == "there.example" else OK
    world.submit(message(1))
    world.sleep(5000)
    assert [(delay[0], delay[2]) for delay in world.reporter.delays] == [(1, 2 * 86400.0)]
    assert world.spool.disk[1].recipients[0].delay_notified


def test_delay_notice_and_expiry_while_the_next_hop_is_dead() -> None:
    world = World(delay_notification_timeout=950.0, message_expiration_timeout=3333.0)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["there.example"] = REFUSED
    world.submit(message(1))
    world.sleep(940)
    assert world.reporter.delays == []
    world.sleep(20)
    assert len(world.reporter.delays) == 1  # at its time, not at the next attempt
    world.sleep(2360)
    assert world.reporter.failures == []
    world.sleep(20)
    assert len(world.reporter.failures) == 1
    assert "last error: 451 4.4.1 Connection refused" in world.reporter.failures[0][1][0]
    assert world.spool.disk == {}
    assert world.scheduler.room() == 1000


def test_no_route_waits_with_the_reason() -> None:
    world = World()
    world.router.ways["there.example"] = NO_CONNECTOR
    world.submit(message(1))
    (view,) = world.scheduler.lanes()
    assert (view.identity, view.delivery_type, view.message_count) == ("Unreachable", "Unreachable", 1)
    assert view.last_error == str(NO_CONNECTOR)
    del world.router.ways["there.example"]
    world.sleep(301)
    assert len(world.runs) == 1


def test_no_route_for_ever_fails_at_once() -> None:
    world = World()
    world.router.ways["there.example"] = Reply(550, "5.4.4", "No route")
    world.submit(message(1))
    assert len(world.reporter.failures) == 1


def test_a_dead_next_hop_backs_off_in_steps_and_delays_nobody_else() -> None:
    world = World()
    times: list[float] = []

    def answer(next_hop: str) -> Reply:
        return OK

    world.attempt.answer = answer
    original = world.attempt.run

    def run(lane):  # type: ignore[no-untyped-def]
        if lane.route.next_hop == "dead.example":
            times.append(world.clock.seconds())
        return original(lane)

    world.attempt.run = run  # type: ignore[method-assign]
    world.attempt.connect["dead.example"] = REFUSED
    world.submit(message(1, "a@dead.example"), message(2, "b@dead.example"), message(3, "c@live.example"))
    assert world.attempt.delivered == [(3, 0)]
    world.sleep(3500, step=1)
    gaps = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert gaps == [60] * 4 + [300] * 6 + [600] * 2
    view = next(view for view in world.scheduler.lanes() if view.identity == "dead.example")
    assert (view.status, view.message_count, view.retry_count) == ("Retry", 2, 13)
    assert view.last_error == str(REFUSED)
    assert view.next_retry_time > world.clock.seconds()
    del world.attempt.connect["dead.example"]
    assert world.scheduler.queues.retry("dead.example")
    assert sorted(world.attempt.delivered) == [(1, 0), (2, 0), (3, 0)]
    assert world.spool.disk == {}


def test_a_permanent_connection_error_fails_what_waits() -> None:
    world = World()
    world.attempt.answer = lambda _: OK
    world.attempt.connect["there.example"] = Reply(556, "5.1.10", "Null MX")
    world.submit(message(1))
    assert world.reporter.failures[0] == (1, ["556 5.1.10 Null MX"])
    assert all(view.status != "Retry" for view in world.scheduler.lanes())


def test_thousands_that_can_never_go_hold_the_reactor_only_for_some_of_them() -> None:
    world = World(window=5000)
    world.submit(*(message(number, sender="") for number in range(1, 1001)))
    for run in world.runs[:]:
        run.end(Reply(556, "5.1.10", "Null MX"))
    assert 1000 - JOBS_PER_TURN <= len(world.spool.disk) < 1000
    for _ in range(10):
        world.sleep(0.001)
    assert world.spool.disk == {}


def test_uncertain_outcomes_are_counted_and_said() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    run.finish(LATER, uncertain=True)
    assert world.scheduler.uncertain == 1
    assert any("delivered twice" in event.text for event in world.events.of(ServiceEvent))


def test_a_huge_list_is_split_and_starves_nobody() -> None:
    world = World()
    world.submit(message(1, *(f"user{number}@there.example" for number in range(2500))))
    world.submit(message(2))
    world.sleep(1, step=0.1)
    order = []
    run = world.runs[0]
    while (job := run.take()) is not None:
        assert len(job.recipients) <= 100
        order.append(job.message.id)
        run.finish()
    assert order.index(2) <= 1
    assert order.count(1) == 25
    assert world.spool.disk == {}


def test_memory_is_bounded_and_nothing_forgotten_or_doubled() -> None:
    world = World(window=40)
    world.submit(*(message(number, f"user@d{number % 7}.example") for number in range(1, 501)))
    assert world.scheduler.room() >= 0
    delivered = []
    for _ in range(2000):
        if not world.spool.disk:
            break
        for run in list(world.runs):
            while (job := run.take()) is not None:
                delivered.append(job.message.id)
                run.finish()
            world.runs.remove(run)
            run.end()
        assert world.scheduler.room() >= 0
        world.clock.advance(1)
    assert sorted(delivered) == list(range(1, 501))


def test_a_dead_lane_does_not_fill_the_memory() -> None:
    world = World(window=80)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["dead.example"] = REFUSED
    world.submit(*(message(number, "user@dead.example") for number in range(1, 301)))
    world.sleep(1)
    assert world.scheduler.room() >= 40
    world.submit(message(1000, "user@live.example"))
    assert (1000, 0) in world.attempt.delivered
    del world.attempt.connect["dead.example"]
    world.sleep(2000, step=5)
    assert sorted(world.attempt.delivered) == [*((number, 0) for number in range(1, 301)), (1000, 0)]


def test_restart_makes_interrupted_attempts_due_and_lets_others_keep_their_time() -> None:
    world = World()
    waiting = message(1, "a@one.example")
    waiting.recipients[0].next_attempt = 500.0
    world.spool.put(waiting)
    world.spool.put(message(2, "b@two.example"))
    world.restart().start()
    world.sleep(1)
    assert [run.take().message.id for run in world.runs] == [2]
    world.sleep(490)
    assert len(world.runs) == 1
    world.sleep(20)
    assert world.runs[1].take().message.id == 1


@pytest.mark.parametrize("with_ndr", [True, False])
def test_remove_a_waiting_message(with_ndr: bool) -> None:
    world = World()
    world.submit(message(1))
    results: list[bool] = []
    world.scheduler.remove(1, with_ndr).addCallback(results.append)
    assert results == [True]
    assert world.runs[0].take() is None
    assert 1 not in world.spool.disk
    assert len(world.reporter.failures) == with_ndr
    assert [event.with_ndr for event in world.events.of(Removed)] == [with_ndr]


def test_remove_a_message_in_flight_waits_for_the_attempt() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    results: list[bool] = []
    world.scheduler.remove(1, False).addCallback(results.append)
    assert results == [True]
    assert 1 in world.spool.disk
    run.finish(LATER)
    assert world.spool.disk == {}
    assert world.scheduler.room() == 1000


def test_what_is_said_of_a_removal_is_who_does_not_get_it_and_whether_the_sender_was_told() -> None:
    world = World()
    world.submit(message(1, "a@one.example", "b@two.example"), message(2, sender=""))
    run = next(run for run in world.runs if run.lane.route.next_hop == "one.example")
    run.take()
    world.scheduler.remove(1, True)
    run.finish(LATER)
    world.scheduler.remove(2, True)
    said = [([each.address.text for each in event.recipients], event.with_ndr) for event in world.events.of(Removed)]
    assert said == [(["b@two.example"], True), (["a@one.example"], True), (["user@there.example"], False)]


def test_remove_a_message_that_was_given_back() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    job = run.take()
    world.scheduler.remove(1, False)
    run.lane.give_back(job)
    assert run.take() is None
    assert world.spool.disk == {}


def test_remove_on_disk_only() -> None:
    world = World()
    kept = message(1)
    kept.recipients[0].next_attempt = 5000.0
    world.spool.put(kept)
    results: list[bool] = []
    world.scheduler.remove(1, True).addCallback(results.append)
    world.scheduler.remove(77, True).addCallback(results.append)
    assert results == [True, False]
    assert list(world.spool.disk) == [900_001]


def test_pause_and_a_sick_spool_stop_new_transactions() -> None:
    world = World()
    world.scheduler.pause()
    world.submit(message(1))
    assert world.runs == []
    world.scheduler.resume()
    run = world.runs.pop()
    world.spool.healthy = False
    assert run.take() is None
    run.end()
    world.sleep(5, step=0.5)
    assert world.runs == []
    world.spool.healthy = True
    world.sleep(2, step=0.5)
    assert len(world.runs) == 1


def test_stop_waits_for_records_and_leaves_no_timer() -> None:
    world = World()
    world.submit(message(1), message(2, "b@two.example"))
    run = world.runs[0]
    run.take()
    world.spool.hold = True
    run.finish(LATER)
    stopped: list[None] = []
    world.scheduler.stop(10).addCallback(stopped.append)
    assert world.attempt.stopped == 10
    assert world.runs[1].take() is None
    assert stopped == []
    world.spool.commit()
    assert stopped == [None]
    assert world.clock.getDelayedCalls() == []


def test_stop_does_not_wait_for_ever() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    run.take()
    world.spool.hold = True
    run.finish()
    stopped: list[None] = []
    world.scheduler.stop(10).addCallback(stopped.append)
    world.clock.advance(11)
    assert stopped == [None]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), window=st.sampled_from([8, 20, 1000]))
def test_no_recipient_is_lost_or_sent_twice(seed: int, window: int) -> None:
    """Random outcomes, connection failures, lost jobs and restarts: in the end everyone got it once, or its sender a report."""
    rng = random.Random(seed)
    world = World(window=window, max_outbound_connections=3)
    expected = {}
    for number in range(1, 31):
        people = [f"u{index}@d{rng.randrange(4)}.example" for index in range(rng.choice([1, 1, 1, 3, 250]))]
        expected[number] = len(people)
        world.submit(message(number, *people))
    delivered: set[tuple[int, int]] = set()
    failed = 0
    for turn in range(3000):
        if not any(number < 900_000 for number in world.spool.disk):
            break
        calm = turn > 400
        for run in list(world.runs):
            action = rng.random()
            if run.job is None and action < 0.1 and not calm:
                world.runs.remove(run)
                run.end(REFUSED)
            elif run.job is None and run.take() is None:
                world.runs.remove(run)
                run.end()
            elif run.job is not None and action < 0.1 and not calm:
                run.lane.give_back(run.job)
                world.runs.remove(run)
                run.end()
            elif run.job is not None:
                reply = OK if calm else rng.choice([OK, OK, LATER, NEVER])
                if reply is OK and run.job.message.id < 900_000:
                    for each in run.job.recipients:
                        assert (run.job.message.id, each.index) not in delivered
                        delivered.add((run.job.message.id, each.index))
                elif reply is NEVER and run.job.message.id < 900_000:
                    failed += len(run.job.recipients)
                run.finish(reply)
        world.clock.advance(rng.choice([0.03, 1, 60]))
    assert not any(number < 900_000 for number in world.spool.disk)
    assert len(delivered) + failed == sum(expected.values())
