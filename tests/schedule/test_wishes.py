"""What senders ask for: to be held, to be in time, to be told of success."""

from __future__ import annotations

import attrs

from tests.schedule.fakes import LATER, OK, REFUSED, World, message
from twistedrelay.schedule.retry import delayed_at, expires_at
from twistedrelay.schedule.views import HELD
from twistedrelay.values.envelope import DeliverBy, OutcomeKind
from twistedrelay.values.events import ReportSent, Send
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

USUAL = Route("Internet", "there.example", "DnsConnectorDelivery")
SECURE = attrs.evolve(USUAL, require_tls=True)


def test_a_held_message_waits_for_its_time() -> None:
    world = World()
    world.submit(message(1, hold_until=5000.0))
    world.sleep(4990)
    assert world.runs == []
    (view,) = world.scheduler.lanes()
    assert (view.message_count, view.next_retry_time) == (1, 5000)
    world.sleep(20)
    assert len(world.runs) == 1


def test_a_held_message_waits_after_a_restart_too() -> None:
    world = World()
    world.submit(message(1, hold_until=5000.0))
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(4990)
    assert world.runs == []
    world.sleep(20)
    assert len(world.runs) == 1


def test_a_held_message_returns_when_its_by_time_is_over() -> None:
    """Not when it would be let go."""
    world = World()
    by = DeliverBy(1000, "R")
    world.submit(message(1, hold_until=5000.0, deliver_by=by), message(2, hold_until=500.0, deliver_by=by))
    world.sleep(990)
    assert [run.lane.waiting.pop().message.id for run in world.runs] == [2]
    assert world.reporter.failures == []
    world.sleep(20)
    ((number, (reply,)),) = world.reporter.failures
    assert number == 1
    assert reply.startswith("550 5.4.7")


def test_what_waits_for_its_time_is_shown_after_a_restart() -> None:
    world = World()
    world.submit(message(1, hold_until=5000.0), message(2, "user@other.example"))
    run = world.runs.pop()
    run.take()
    run.finish(LATER)
    run.end()
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(3)
    views = {view.identity: view for view in world.scheduler.lanes()}
    assert (views["there.example"].message_count, views["there.example"].last_error) == (1, HELD)
    assert (views["other.example"].message_count, views["other.example"].last_error) == (1, str(LATER))
    assert world.runs == []


def test_a_full_memory_is_not_filled_for_the_view() -> None:
    world = World(window=40)
    for number in range(100):
        world.submit(message(number, hold_until=5000.0))
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(3)
    assert 29 <= world.scheduler.room() <= 30


def test_held_messages_do_not_fill_the_memory() -> None:
    world = World(window=8)
    for number in range(20):
        world.submit(message(number, hold_until=5000.0 + number))
    world.sleep(20)
    assert world.scheduler.room() >= 4
    world.attempt.answer = lambda hop: OK
    world.submit(message(100))
    world.sleep(10)
    assert world.attempt.delivered == [(100, 0)]
    world.sleep(5100)
    assert len(world.attempt.delivered) == 21


def test_time_that_it_was_held_is_no_delay() -> None:
    world = World()
    held = message(1, hold_until=1e6)
    assert expires_at(held, world.transport) == 1e6 + world.transport.message_expiration_timeout
    assert delayed_at(held, world.transport) == 1e6 + world.transport.delay_notification_timeout


def test_a_message_returns_when_its_by_time_is_over() -> None:
    world = World()
    world.submit(message(1, deliver_by=DeliverBy(120, "R")))
    run = world.runs.pop()
    run.take()
    run.finish(LATER)
    run.end()
    world.sleep(110)
    assert world.reporter.failures == []
    world.sleep(20)
    assert [job.message.id for run in world.runs for job in [run.take()] if job] == [900_001]  # only the report goes
    ((_, (reply,)),) = world.reporter.failures
    assert reply.startswith("550 5.4.7 Delivery time expired: the by-time of 120 seconds is over; last error: 451 4.3.0")
    assert 1 not in world.spool.disk


def test_a_message_returns_in_time_from_a_dead_next_hop() -> None:
    world = World()
    world.submit(message(1, deliver_by=DeliverBy(30, "R")))
    world.runs.pop().end(REFUSED)
    world.sleep(20)
    assert world.reporter.failures == []
    world.sleep(20)
    ((_, (reply,)),) = world.reporter.failures
    assert reply.startswith("550 5.4.7")


def test_a_sender_is_told_when_the_by_time_is_over() -> None:
    world = World()
    world.attempt.answer = lambda hop: LATER if hop == "there.example" else OK
    world.submit(message(1, deliver_by=DeliverBy(120, "N")))
    world.sleep(110)
    assert world.reporter.delays == []
    world.sleep(20)
    assert [number for number, _, _ in world.reporter.delays] == [1]
    assert 1 in world.spool.disk
    world.attempt.answer = lambda hop: OK
    world.sleep(600)
    assert world.attempt.delivered == [(900_001, 0), (1, 0)]
    assert len(world.reporter.delays) == 1


def test_a_by_time_that_was_over_before_changes_nothing() -> None:
    world = World()
    late = message(1, received_at=1000.0, deliver_by=DeliverBy(-5, "N"))
    assert delayed_at(late, world.transport) == 1000 + world.transport.delay_notification_timeout


def test_a_success_is_reported_in_the_same_record() -> None:
    world = World()
    world.submit(message(1, "a@there.example", "b@there.example"))
    run = world.runs.pop()
    run.take()
    run.finish(action="relayed")
    assert world.reporter.successes == [(1, [0, 1], "relayed")]
    assert world.spool.records[0] == (1, [OutcomeKind.DELIVERED] * 2, [900_001])
    assert [event.kind for event in world.events.of(ReportSent)] == ["relayed"]  # type: ignore[attr-defined]
    assert 1 not in world.spool.disk
    assert [job.message.id for run in world.runs for job in [run.take()] if job] == [900_001]


def test_what_was_taken_is_not_sent_again_for_want_of_a_report() -> None:
    world = World()
    world.reporter.broken = True
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    run.finish(action="delivered")
    run.end()
    assert world.spool.disk == {}
    assert len(world.events.of(Send)) == 1
    world.sleep(1000)
    assert world.runs == []


def test_a_message_stays_on_disk_until_its_report_is_made() -> None:
    """The report is made of its content."""
    world = World()
    world.submit(message(1, "a@one.example", "b@two.example"))
    one, two = world.runs
    one.take()
    two.take()
    seen: list[bool] = []
    made = world.reporter.succeeded

    def succeeded(*arguments: object) -> object:
        two.finish()
        seen.append(1 in world.spool.disk)
        return made(*arguments)  # type: ignore[arg-type]

    world.reporter.succeeded = succeeded  # type: ignore[method-assign,assignment]
    one.finish(action="relayed")
    assert seen == [True]
    assert 1 not in world.spool.disk


def test_a_permanent_failure_to_connect_returns_what_waits() -> None:
    world = World()
    world.submit(message(1, require_tls=True))
    world.runs.pop().end(Reply(550, "5.7.30", "REQUIRETLS support is required"))
    assert world.reporter.failures == [(1, ["550 5.7.30 REQUIRETLS support is required"])]


def test_a_report_is_not_lost_for_want_of_requiretls() -> None:
    world = World()
    world.router.route = lambda about, recipient: SECURE if about.parameters.require_tls else USUAL  # type: ignore[method-assign]
    world.submit(message(1, sender="", require_tls=True))
    run = world.runs.pop()
    assert run.lane.route is SECURE
    run.end(Reply(550, "5.7.30", "REQUIRETLS support is required"))
    world.sleep(1)
    run = world.runs.pop()
    assert run.lane.route is USUAL
    job = run.take()
    assert job is not None
    assert job.message.id == 1


def test_by_times_count_in_a_busy_lane_too() -> None:
    world = World()
    world.submit(message(1))
    (run,) = world.runs
    run.take()
    world.sleep(1)
    for number in (2, 3, 4):
        by = {2: DeliverBy(30, "R"), 3: DeliverBy(30, "N"), 4: None}[number]
        world.submit(message(number, received_at=1.0, deliver_by=by))
    world.sleep(20)
    assert world.reporter.failures == []
    assert world.reporter.delays == []
    world.sleep(20)
    ((failed, (reply,)),) = world.reporter.failures
    assert failed == 2
    assert "5.4.7" in reply
    assert "Too many messages wait" in reply
    assert [number for number, _, _ in world.reporter.delays] == [3]
    assert sorted(number for number in world.spool.disk if number < 100) == [1, 3, 4]


def test_nothing_leaves_behind_its_by_time_though_nobody_woke_up_in_time() -> None:
    """The reactor was held up: the run asks for work before the alarm rings."""
    world = World()
    world.submit(message(1, deliver_by=DeliverBy(30, "R")), message(2))
    run = world.runs.pop()
    world.clock.rightNow += 31.0
    job = run.take()
    assert job is not None
    assert job.message.id == 2
    ((number, (reply,)),) = world.reporter.failures
    assert number == 1
    assert reply.startswith("550 5.4.7 Delivery time expired")
