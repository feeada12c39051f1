"""The window of messages in memory, and what waits on disk for its lane."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail

from tests.schedule.fakes import LATER, NEVER, OK, REFUSED, World, message
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule import parking
from twistedrelay.values.envelope import Message, MessageStatus, Origin
from twistedrelay.values.reply import LOCAL_ERROR, Reply

HOURS = 3600.0


def sent_by(user: str, numbers: range, domain: str = "there.example", priority: int | None = None) -> list[Message]:
    made = []
    for number in numbers:
        each = message(number, f"user@{domain}", priority=priority)
        each.origin = Origin(user=user)
        made.append(each)
    return made


def dead_world(count: int = 300, window: int = 80) -> World:
    """Many messages for a next hop that does not answer."""
    world = World(window=window)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["dead.example"] = REFUSED
    world.submit(*(message(number, "user@dead.example") for number in range(1, count + 1)))
    world.sleep(1)
    return world


def test_what_waits_for_a_dead_next_hop_is_parked_once_and_left_alone() -> None:
    world = dead_world()
    parked, queries, loaded = len(world.spool.lanes), world.spool.queries, len(world.spool.loaded)
    assert parked >= 250
    assert world.scheduler.room() >= 40
    world.sleep(3 * HOURS, step=60)
    assert len(world.spool.lanes) >= parked
    assert world.spool.queries - queries < 10
    assert len(world.spool.loaded) - loaded < 2 * world.window
    assert len(world.spool.records) == 0


def test_a_next_hop_that_is_back_gets_all_that_was_parked() -> None:
    world = dead_world()
    del world.attempt.connect["dead.example"]
    world.sleep(700, step=5)
    assert sorted(number for number, _ in world.attempt.delivered) == list(range(1, 301))
    assert world.spool.disk == {}
    assert world.spool.lanes == {}


def test_the_sender_of_a_parked_message_is_told_and_it_expires_in_time() -> None:
    world = dead_world(count=200)
    world.sleep(4 * HOURS + 300, step=30)
    assert sorted(number for number, _, _ in world.reporter.delays) == list(range(1, 201))
    assert all(said == [str(REFUSED)] for _, said, _ in world.reporter.delays)
    world.sleep(44 * HOURS + 600, step=30)
    assert len(world.reporter.delays) == 200
    assert sorted(number for number, _ in world.reporter.failures) == list(range(1, 201))
    assert not any(number < 900_000 for number in world.spool.disk)


def test_lanes_come_back_after_a_restart_and_pull_the_rest() -> None:
    world = dead_world()
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(1)
    assert world.scheduler.room() >= 30
    assert [lane.status for lane in world.scheduler.lanes()] == ["Retry"]
    assert len(world.spool.lanes) >= 200
    del world.attempt.connect["dead.example"]
    world.sleep(700, step=5)
    assert sorted(number for number, _ in world.attempt.delivered) == list(range(1, 301))


def test_a_name_that_no_route_has_any_more_is_pulled_empty() -> None:
    world = World(window=40)
    world.attempt.answer = lambda _: OK
    for number in range(1, 101):
        world.spool.put(message(number))
        world.spool.park([number], "a lane of another configuration", 1e6)
    world.restart().start()
    world.sleep(60, step=1)
    assert sorted(number for number, _ in world.attempt.delivered) == list(range(1, 101))


def test_many_dead_next_hops_leave_room_for_one_that_works() -> None:
    world = World(window=100)
    world.attempt.answer = lambda _: OK
    dead = [f"d{number}.example" for number in range(200)]
    world.attempt.connect.update(dict.fromkeys(dead, REFUSED))
    numbers = iter(range(1, 10_000))
    for _ in range(3):
        for domain in dead:
            world.submit(message(next(numbers), f"user@{domain}"))
        world.sleep(2, step=1)
    world.submit(message(20_000, "user@live.example"))
    assert (20_000, 0) in world.attempt.delivered
    world.attempt.connect.clear()
    world.sleep(2000, step=5)
    assert world.spool.disk == {}
    assert len(world.attempt.delivered) == 601


def test_messages_of_a_next_hop_that_died_leave_memory_for_others() -> None:
    world = World(window=100, max_outbound_connections=1000)
    world.attempt.connect.update(dict.fromkeys(["one.example", "two.example", "three.example"], REFUSED))
    for start, domain in ((0, "one.example"), (100, "two.example"), (200, "three.example")):
        world.submit(*(message(number, f"user@{domain}") for number in range(start + 1, start + 61)))
    world.sleep(0.1)
    for run in world.runs[:]:
        run.end(REFUSED)
    world.runs.clear()
    world.sleep(2)
    world.submit(*(message(number, "user@live.example") for number in range(301, 311)))
    world.sleep(2)
    (run,) = {id(run.lane): run for run in world.runs}.values()
    assert run.lane.route.next_hop == "live.example"
    assert len(run.lane) + run.lane.active == 10


@pytest.mark.parametrize("alive", [False, True])
def test_many_messages_of_one_next_hop_leave_memory_in_pieces(monkeypatch: pytest.MonkeyPatch, alive: bool) -> None:
    """What is there again between two pieces keeps the rest in memory."""
    monkeypatch.setattr(parking, "MOVED", 10)
    world = World(window=100)
    world.submit(
        *(message(number) for number in range(1, 41)), *(message(number, f"user@d{number % 3}.example") for number in range(41, 79))
    )
    lane = next(iter(world.scheduler._lanes.values()))
    held = len(lane)
    assert held > 30
    world.sleep(2)
    for run in [run for run in world.runs if run.lane is lane]:
        run.end(REFUSED)
    world.scheduler._parking.relieve()
    assert len(lane) == held - 10
    if alive:
        lane.retry()
    world.sleep(1, step=0.1)
    assert len(lane) == (held - 10 if alive else 0)
    assert len(world.spool.lanes) == (10 if alive else held)


def test_a_flood_leaves_room_for_other_next_hops() -> None:
    world = World(window=100)
    world.submit(*sent_by("flood@x", range(1, 501)))
    world.sleep(1)
    assert world.scheduler.room() >= 40
    world.submit(*sent_by("flood@x", range(501, 511), "other.example"))
    assert any(run.lane.route.next_hop == "other.example" for run in world.runs)


def test_urgent_messages_and_quiet_senders_come_into_memory_past_a_flood() -> None:
    world = World(window=512)
    world.submit(*sent_by("flood@x", range(1, 1001)))
    world.sleep(1)
    world.submit(*sent_by("flood@x", range(1001, 1002)), *sent_by("quiet@x", range(1002, 1003)))
    world.submit(*sent_by("flood@x", range(1003, 1004), priority=4))
    world.sleep(1)
    assert 1001 in world.spool.lanes
    assert not {1002, 1003} & set(world.spool.lanes)


def test_a_message_whose_recipients_go_different_ways_is_never_parked_whole() -> None:
    world = dead_world()
    world.attempt.connect["also-dead.example"] = REFUSED
    world.submit(message(1000, "user@dead.example", "user@also-dead.example", "user@live.example"))
    world.sleep(1)
    assert (1000, 2) in world.attempt.delivered
    assert 1000 not in world.spool.lanes
    world.attempt.connect.clear()
    world.sleep(2000, step=5)
    assert {(1000, 0), (1000, 1)} <= set(world.attempt.delivered)


def test_a_parked_message_can_be_removed() -> None:
    world = dead_world()
    number = max(world.spool.lanes)
    results: list[bool] = []
    world.scheduler.remove(number, False).addCallback(results.append)
    assert results == [True]
    assert number not in world.spool.disk
    assert number not in world.spool.lanes


def test_a_message_removed_while_it_is_being_parked_goes() -> None:
    world = dead_world()
    world.submit(message(1000, "user@dead.example"))
    world.scheduler.remove(1000, False)
    world.sleep(1)
    assert 1000 not in world.spool.disk


@pytest.mark.parametrize("reply", [LATER, NEVER])
def test_what_a_next_hop_says_ends_parking(reply: Reply) -> None:
    world = dead_world(count=150)
    del world.attempt.connect["dead.example"]
    world.attempt.answer = lambda _: reply
    world.sleep(100, step=5)
    assert world.spool.lanes == {}
    assert all(kept.status is MessageStatus.NORMAL for kept in world.spool.disk.values())


@pytest.mark.parametrize("nth", range(12))
@pytest.mark.parametrize("parking", [True, False])
def test_a_disk_that_fails_once_leaves_nobody_behind(parking: bool, nth: int) -> None:
    world = World(window=80)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["dead.example"] = REFUSED
    park, count = world.spool.park, 0

    def fails_once(ids: list[int], lane: str, until: float) -> Deferred[None]:
        nonlocal count
        if bool(lane) is not parking:
            return park(ids, lane, until)
        count += 1
        if count != nth + 1:
            return park(ids, lane, until)
        if parking:  # it is there, although nobody hears of it
            park(ids, lane, until)
        return fail(SpoolError("the disk failed", LOCAL_ERROR))

    world.spool.park = fails_once  # type: ignore[method-assign]
    world.submit(*(message(number, "user@dead.example") for number in range(1, 41 + nth)))
    world.sleep(1)
    del world.attempt.connect["dead.example"]
    world.sleep(1800, step=5)
    assert len(world.attempt.delivered) == 40 + nth, world.spool.lanes


@pytest.mark.parametrize("deed", ["remove", "suspend", "redirect", "redirect the queue"])
def test_what_is_no_longer_parked_is_soon_not_counted_either(deed: str) -> None:
    world = dead_world()
    world.sleep(2000, step=5)  # the next hop is tried seldom now
    numbers = list(range(1, 301))
    messages, queues = world.scheduler.messages, world.scheduler.queues
    {
        "remove": lambda: messages.remove(numbers, False),
        "suspend": lambda: messages.suspend(numbers),
        "redirect": lambda: messages.redirect(numbers, "other.example"),
        "redirect the queue": lambda: queues.redirect("dead.example", "other.example"),
    }[deed]()
    world.sleep(16, step=1)
    assert [view.message_count for view in world.scheduler.lanes() if view.identity == "dead.example"] == [0]


@pytest.mark.parametrize("sick", [False, True])
def test_whoever_looks_behind_a_removal_sees_what_is_left(sick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk does not say it, the look shows what was known, and the next one asks again."""
    world = dead_world()
    world.scheduler.messages.remove(list(range(1, 291)), False)
    world.sleep(0.1, step=0.1)
    with monkeypatch.context() as context:
        if sick:
            context.setattr(world.spool, "parked_lanes", lambda: fail(SpoolError("the disk failed", LOCAL_ERROR)))
        assert (looked(world) == 10) is not sick
    assert looked(world) == 10
    asked = []
    monkeypatch.setattr(world.spool, "parked_lanes", lambda: asked.append(1))
    assert looked(world) == 10
    assert asked == []


def looked(world: World) -> int:
    """How many messages an administrator sees in the queue."""
    found = []
    world.scheduler.look().addCallback(found.extend)
    world.sleep(0.1, step=0.1)
    return sum(view.message_count for view in found if view.identity == "dead.example")
