"""One lane: how many runs, feedback, back-off."""

from __future__ import annotations

from tests.schedule.fakes import LATER, OK, REFUSED, World, message, outcomes
from twistedrelay.schedule.condition import DROPPED, FRUITLESS_RUNS
from twistedrelay.schedule.jobs import MANY
from twistedrelay.schedule.lanes import Lane
from twistedrelay.values.envelope import Job, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.route import Route


def lane_of(world: World) -> Lane:
    (lane,) = world.scheduler._lanes.values()
    return lane


def limited(world: World, connections: int) -> None:
    world.router.ways["there.example"] = Route("", "there.example", "SmtpDeliveryToMailbox", max_connections=connections)


def test_more_runs_open_only_when_more_waits_than_runs_will_soon_take() -> None:
    world = World()
    world.submit(message(1), message(2), message(3))
    assert len(world.runs) == 2  # three wait for one run
    world.submit(message(4), message(5))
    assert len(world.runs) == 3
    world.submit(*(message(number) for number in range(6, 100)))
    assert len(world.runs) == 5  # the initial window


def test_a_job_that_nobody_takes_gets_a_run_of_its_own() -> None:
    world = World()
    world.submit(message(1))
    world.runs[0].take()
    world.submit(message(2))
    assert len(world.runs) == 1
    world.clock.advance(0.03)
    assert len(world.runs) == 2


def test_the_window_grows_with_deliveries_up_to_the_limit() -> None:
    world = World()
    limited(world, 8)
    world.submit(*(message(number) for number in range(1, 400)))
    for _ in range(200):
        run = world.runs[0]
        run.take()
        run.finish(OK)
    assert len(world.runs) == 8


def test_a_small_limit_is_kept() -> None:
    world = World()
    limited(world, 2)
    world.submit(*(message(number) for number in range(1, 50)))
    world.sleep(2, step=0.01)
    for run in list(world.runs):
        run.take()
        run.finish(OK)
    assert len(world.runs) == 2


def test_a_refused_connection_beside_working_ones_only_narrows_the_window() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 50)))
    assert len(world.runs) == 5
    world.runs.pop().end(REFUSED)
    lane = lane_of(world)
    assert lane.status != "Retry"
    world.sleep(1, step=0.01)
    assert len(world.runs) == 4  # none more until one of the others shows life
    for _ in range(30):
        world.runs[0].take()
        world.runs[0].finish(OK)
    assert len(world.runs) > 4


def test_the_last_failing_run_backs_the_lane_off() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 50)))
    for run in list(world.runs):
        run.end(REFUSED)
    lane = lane_of(world)
    assert (lane.status, lane.next_retry, lane.last_error) == ("Retry", 60.0, REFUSED)
    assert lane.take() is None
    count = len(world.runs)
    world.submit(message(100))
    assert len(world.runs) == count  # accepted, not tried
    assert len(lane) == 50
    world.sleep(61)
    assert len(world.runs) == count + 1  # one probe
    world.runs[-1].take()
    world.runs[-1].finish(OK)
    assert lane.condition.failures == 0
    assert len(world.runs) > count + 1


def test_connections_that_end_before_a_transaction_back_the_lane_off() -> None:
    world = World()
    world.submit(message(1))
    for _ in range(FRUITLESS_RUNS):
        run = world.runs.pop()
        job = run.take()
        assert job is not None
        run.lane.give_back(job)
        run.end()
    assert lane_of(world).last_error == DROPPED
    assert lane_of(world).status == "Retry"


def test_status_as_exchange_names_it() -> None:
    world = World()
    world.submit(message(1))
    lane = lane_of(world)
    assert lane.status == "Connecting"
    world.runs[0].take()
    assert lane.status == "Active"
    world.runs[0].finish()
    world.runs[0].end()
    assert lane.status == "Ready"


def test_an_idle_lane_is_forgotten() -> None:
    world = World()
    world.submit(message(1))
    world.runs[0].take()
    world.runs[0].finish()
    world.runs[0].end()
    assert len(world.scheduler.lanes()) == 1
    world.sleep(200)
    assert world.scheduler.lanes() == []


def test_mailbox_hops_have_their_own_steady_step() -> None:
    world = World(queue_glitch_retry_count=0, transient_failure_retry_count=0, mailbox_delivery_queue_retry_interval=42.0)
    limited(world, 5)
    world.submit(message(1))
    world.runs[0].end(REFUSED)
    assert lane_of(world).next_retry == 42.0


def test_a_run_that_raises_is_a_back_off_and_an_event() -> None:
    world = World()
    world.submit(message(1))
    world.runs[0].ended.errback(ZeroDivisionError("defect"))
    assert lane_of(world).status == "Retry"
    assert any("ZeroDivisionError" in event.text for event in world.events.of(ServiceEvent))


def test_global_limit_and_fair_turns() -> None:
    world = World(max_outbound_connections=2)
    world.submit(*(message(number, "user@busy.example") for number in range(1, 1000)))
    world.submit(message(2000, "user@quiet.example"))
    assert [run.lane.route.next_hop for run in world.runs] == ["busy.example"] * 2
    run, other = world.runs
    assert run.take() is None  # it has more than its part while another waits
    run.end()
    assert [run.lane.route.next_hop for run in world.runs] == ["busy.example"] * 2 + ["quiet.example"]
    world.submit(message(2001, "user@third.example"))
    taken = 0
    while other.take() is not None:
        taken += 1
        other.finish(OK)
    assert taken == 100  # its share
    quiet = world.runs[2]
    quiet.take()
    quiet.finish(OK)
    quiet.end()
    assert world.runs[3].lane.route.next_hop == "third.example"
    other.end()
    assert world.runs[4].lane.route.next_hop == "busy.example"


def test_a_deferral_in_a_lane_shows_in_the_queue_view() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs[0]
    run.take()
    run.finish(LATER)
    run.end()
    (view,) = world.scheduler.lanes()
    assert (view.identity, view.message_count, view.deferred_message_count) == ("there.example", 1, 1)
    assert view.last_error == "451 4.3.0 Try again later"
    assert view.next_retry_time == 300.0
    assert view.next_hop_connector == "Internet"


def test_a_new_route_object_for_the_same_way_shares_the_lane() -> None:
    world = World()
    world.submit(message(1))
    world.router.ways.clear()
    world.submit(message(2))
    assert len(world.scheduler._lanes) == 1
    assert len(world.scheduler._by_route) == 1


def test_jobs_hold_what_their_messages_hold() -> None:
    world = World()
    first = message(1)
    world.submit(first)
    job = world.runs[0].take()
    assert isinstance(job, Job)
    assert job.recipients == first.recipients


def test_those_who_were_reached_are_recorded_while_others_of_the_job_are_still_being_sent() -> None:
    """A job in parts: after a crash only those come again who were not reached."""
    world = World()
    many = [f"user{number}@there.example" for number in range(MANY + 1)]
    world.submit(message(1, *many))
    (run,) = world.runs
    job = run.take()
    lane = lane_of(world)
    assert lane.many == 1
    made = outcomes(job, OK)
    lane.done(job, made[:3], True)
    assert (lane.active, lane.many, len(job.recipients)) == (1, 0, MANY - 2)
    assert [each.state for each in world.spool.disk[1].recipients].count(RecipientState.READY) == MANY - 2
    world.scheduler.remove(1, False)  # pends for those that are being sent
    assert len(world.spool.records) == 1
    lane.done(job, made[3:])
    assert (lane.active, lane.many, world.spool.disk) == (0, 0, {})
    assert world.scheduler.room() == 1000


def test_what_is_left_of_a_job_in_parts_goes_back_alone() -> None:
    world = World()
    world.submit(message(1, "a@there.example", "b@there.example"))
    (run,) = world.runs
    job = run.take()
    lane = lane_of(world)
    lane.done(job, outcomes(job, OK)[:1], True)
    lane.give_back(job)
    again = run.take()
    assert [each.address.text for each in again.recipients] == ["b@there.example"]
