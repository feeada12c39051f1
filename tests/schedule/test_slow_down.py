"""A next hop that asks for less: the lane slows down, its messages stay."""

from __future__ import annotations

import pytest

from tests.schedule.fakes import OK, REFUSED, Run, World, message
from tests.schedule.test_lanes import lane_of, limited
from twistedrelay.schedule.feedback import Window, is_firm, slows_down
from twistedrelay.values.envelope import Outcome, OutcomeKind
from twistedrelay.values.reply import Reply

CONCURRENT = Reply(432, "4.3.2", "Concurrent connections limit exceeded")
UNUSUAL = Reply(421, "4.7.28", "Unusual rate of mail")
HUNG_UP = Reply(451, "4.4.2", "Connection lost while waiting for MAIL")
GREYLISTED = Reply(451, "4.7.1", "Greylisted, try again later")


@pytest.mark.parametrize(
    ("reply", "slow", "firm"),
    [
        (CONCURRENT, True, True),
        (UNUSUAL, True, True),
        (Reply(451, "4.3.2", "System not accepting messages"), True, True),
        (GREYLISTED, True, False),
        (Reply(450, "4.7.25", "No PTR"), True, False),
        (Reply(450, "4.2.1", "Mailbox busy"), False, False),
        (Reply(421, "4.4.2", "Idle too long"), False, True),
        (Reply(454, "4.7.0", "TLS not available"), False, True),
    ],
)
def test_which_replies_ask_for_less(reply: Reply, slow: bool, firm: bool) -> None:
    assert slows_down(reply) is slow
    if slow:
        assert is_firm(reply) is firm


def test_the_window_grows_and_shrinks_by_a_part_of_itself_and_does_not_swing() -> None:
    window = Window(10)
    assert window.size == 5
    for _ in range(4):
        window.success()
    assert window.size == 5
    window.success()
    assert window.size == 6
    window.failure()
    assert window.size == 5  # the first one counts at once
    for _ in range(4):
        window.failure()
    assert window.size == 5
    window.failure()
    assert window.size == 4
    for _ in range(3):
        window.success()
    assert window.size == 4
    window.success()
    assert window.size == 5
    for _ in range(200):
        window.failure()
    assert window.size == 1
    for _ in range(200):
        window.success()
    assert window.size == 10


def answered(world: World, run: Run, reply: Reply) -> int:
    job = run.take()
    assert job is not None
    run.finish(reply)
    return job.message.id


def test_a_message_stays_in_the_lane_and_the_lane_pauses() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    answered(world, run, CONCURRENT)
    run.end()
    lane = lane_of(world)
    assert (lane.status, lane.next_retry, lane.last_error) == ("Retry", 5.0, CONCURRENT)
    assert world.spool.records == []  # nothing was deferred
    assert len(lane) == 1
    world.sleep(6)
    answered(world, world.runs.pop(), OK)
    assert lane.condition.failures == 0
    assert world.spool.disk == {}


def test_pauses_get_longer_but_not_longer_than_the_retry_steps() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 50)))
    lane = lane_of(world)
    for run in list(world.runs):
        run.end(UNUSUAL)
    pauses = []
    for _ in range(12):
        pauses.append(lane.next_retry - world.clock.seconds())
        world.clock.advance(pauses[-1])
        world.runs[-1].end(UNUSUAL)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 600, 600]
    assert lane.condition.first_retry == 0.0 or lane.condition.first_retry < lane.condition.last_retry


def test_after_a_pause_the_lane_begins_small() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 50)))
    for run in world.runs:
        run.take()
    for run in list(world.runs):
        run.finish(CONCURRENT)
        run.end()
    world.runs.clear()
    lane = lane_of(world)
    assert lane.condition.failures == 1  # five answers, one pause
    assert len(lane) == 49
    world.sleep(6, step=1)
    assert len(world.runs) == 1
    answered(world, world.runs[0], OK)
    world.sleep(1, step=0.01)
    assert len(world.runs) == 2


def test_a_single_word_beside_working_connections_costs_one_connection() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 50)))
    assert len(world.runs) == 5
    slow = world.runs.pop()
    first = answered(world, slow, CONCURRENT)
    slow.end()
    lane = lane_of(world)
    assert lane.status != "Retry"
    world.sleep(1, step=0.01)
    assert len(world.runs) == 4
    sent = [answered(world, world.runs[0], OK) for _ in range(3)]
    assert first not in sent  # it stands behind the others


def test_a_message_that_always_gets_it_waits_by_itself() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    answered(world, run, UNUSUAL)
    run.end()
    world.sleep(6)
    run = world.runs.pop()
    answered(world, run, UNUSUAL)
    run.end()
    assert [kinds for _, kinds, _ in world.spool.records] == [[OutcomeKind.DEFERRED]]
    lane = lane_of(world)
    assert len(lane) == 0
    assert lane.condition.failures == 2


def test_greylisting_is_about_the_message_until_all_get_it() -> None:
    world = World()
    limited(world, 1)
    world.submit(*(message(number) for number in range(1, 10)))
    (run,) = world.runs
    answered(world, run, GREYLISTED)
    answered(world, run, OK)
    answered(world, run, GREYLISTED)
    answered(world, run, GREYLISTED)
    lane = lane_of(world)
    assert lane.status != "Retry"
    assert len(lane) == 5
    answered(world, run, GREYLISTED)
    assert lane.status == "Retry"
    assert len(lane) == 5  # the last one stayed
    assert [kinds[0] for _, kinds, _ in world.spool.records].count(OutcomeKind.DEFERRED) == 3


def test_a_removed_message_does_not_stay() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    world.scheduler.remove(1, with_ndr=False)
    run.finish(CONCURRENT)
    assert world.spool.disk == {}
    assert len(lane_of(world)) == 0


def test_a_next_hop_that_hangs_up_on_each_message_costs_few_connections() -> None:
    """A session for each waiting message would be a flood of connections."""
    world = World()
    limited(world, 1)
    world.submit(*(message(number) for number in range(1, 100)))
    connections = 0
    while world.runs:
        run = world.runs.pop()
        connections += 1
        job = run.take()
        assert job is not None
        run.job = None
        run.lane.done(job, [Outcome(job.recipients[0], OutcomeKind.DEFERRED, HUNG_UP)])
        run.end()
    assert connections == 3
    lane = lane_of(world)
    assert lane.status == "Retry"
    assert str(lane.last_error).startswith("451 4.4.2")
    assert len(lane) == 96


def test_a_421_to_each_message_is_no_life_either() -> None:
    world = World()
    limited(world, 1)
    world.submit(*(message(number) for number in range(1, 100)))
    connections = 0
    while world.runs:
        run = world.runs.pop()
        connections += 1
        answered(world, run, Reply(421, "4.4.2", "Closing"))
        run.end()
    assert connections == 3
    assert lane_of(world).status == "Retry"


def test_a_refused_message_is_a_sign_of_life() -> None:
    world = World()
    limited(world, 1)
    world.submit(*(message(number, sender="") for number in range(1, 20)))
    for _ in range(9):
        run = world.runs.pop()
        answered(world, run, Reply(550, "5.1.1", "User unknown"))
        run.end()
    assert lane_of(world).status != "Retry"


def test_a_dead_next_hop_that_is_back_gets_its_connections_back() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 50)))
    for run in list(world.runs):
        run.end(REFUSED)
    world.runs.clear()
    world.sleep(61)
    answered(world, world.runs[0], OK)
    assert lane_of(world).condition.window.size == 5
