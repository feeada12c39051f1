"""What waits when the ways change."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.schedule.fakes import LATER, OK, REFUSED, Router, World, message
from twistedrelay.config.schema import Transport
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, TLSPolicy

NO_WAY = Reply(451, "4.4.4", "No send connector takes this message")
HOUR = 3600.0


def way_to(next_hop: str, connector: str = "Internet") -> Route:
    return Route(connector, next_hop, "SmartHostConnectorDelivery")


def change(world: World, **ways: Route | Reply) -> Router:
    """The ways are these now; underscores are dots."""
    router = Router()
    router.ways = {domain.replace("_", "."): way for domain, way in ways.items()}
    world.router = router
    world.scheduler.change(router, world.transport, world.reporter)
    return router


def answering_world(**settings: object) -> World:
    world = World(**settings)  # type: ignore[arg-type]
    world.attempt.answer = lambda _: OK
    return world


def test_jobs_that_wait_in_a_lane_go_the_new_way() -> None:
    world = answering_world()
    world.router.ways["there.example"] = way_to("dead")
    world.attempt.connect["dead"] = REFUSED
    world.submit(*(message(number) for number in range(1, 501)))
    world.sleep(1)
    assert [(lane.identity, lane.status) for lane in world.scheduler.lanes()] == [("dead", "Retry")]
    change(world, there_example=way_to("alive"))
    world.sleep(2, step=0.01)
    assert len(world.attempt.delivered) == 500
    assert not world.spool.disk
    assert [lane.identity for lane in world.scheduler.lanes()] == ["alive"]


def test_what_still_goes_there_stays_and_has_the_way_as_it_is_now() -> None:
    world = World()
    world.submit(*(message(number) for number in (1, 2, 3)))
    run = world.runs[0]
    assert run.take() is not None
    old = run.lane.route
    secure = attrs.evolve(old, tls=TLSPolicy("encrypt"))
    change(world, there_example=secure)
    world.sleep(1)
    assert run.lane.route is secure
    run.finish()
    assert run.take() is not None


def test_a_job_that_a_run_gives_back_goes_the_new_way() -> None:
    world = World()
    world.submit(message(1))
    old = world.runs[0]
    job = old.take()
    assert job is not None
    change(world, there_example=way_to("alive"))
    world.sleep(1)
    old.lane.give_back(job)
    old.end(REFUSED)
    world.sleep(1)
    assert [run.lane.route.next_hop for run in world.runs] == ["there.example", "alive"]
    world.runs[1].take()
    world.runs[1].finish()
    assert not world.spool.disk


def test_what_had_no_way_is_tried_at_once_and_what_was_put_off_keeps_its_time() -> None:
    world = World(message_retry_interval=HOUR)
    world.attempt.answer = lambda next_hop: LATER if next_hop == "slow.example" else OK
    world.router.ways["there.example"] = NO_WAY
    world.submit(message(1), message(2, "user@slow.example"))
    world.sleep(10)
    world.attempt.answer = lambda _: OK
    change(world, there_example=way_to("alive"))
    world.sleep(10)
    assert world.attempt.delivered == [(1, 0)]
    world.sleep(2 * HOUR, step=60)
    assert sorted(world.attempt.delivered) == [(1, 0), (2, 0)]


def test_what_had_no_way_and_waits_on_disk_only_is_tried_at_once() -> None:
    world = answering_world(window=40, message_retry_interval=HOUR)
    world.router.ways["there.example"] = NO_WAY
    world.submit(*(message(number) for number in range(1, 301)))
    world.sleep(30)
    assert len(world.spool.disk) == 300
    change(world, there_example=way_to("alive"))
    world.sleep(120, step=0.5)
    assert len(world.attempt.delivered) == 300


@pytest.mark.parametrize("suspended", [False, True])
def test_what_is_parked_on_disk_goes_the_new_way(suspended: bool) -> None:
    world = answering_world(window=80)
    world.router.ways["there.example"] = way_to("dead")
    world.attempt.connect["dead"] = REFUSED
    world.submit(*(message(number) for number in range(1, 301)))
    if suspended:
        world.scheduler.queues.suspend("dead")
    world.sleep(1)
    assert len(world.spool.lanes) > 200
    change(world, there_example=way_to("alive"))
    world.sleep(30, step=0.5)
    assert sorted(number for number, _ in world.attempt.delivered) == list(range(1, 301))
    assert not world.spool.lanes


def test_of_what_is_parked_only_what_goes_elsewhere_moves() -> None:
    world = answering_world(window=80)
    for domain in ("there.example", "other.example"):
        world.router.ways[domain] = way_to("dead")
    world.attempt.connect["dead"] = REFUSED
    world.submit(*(message(number, f"user@{'there' if number % 2 else 'other'}.example") for number in range(1, 301)))
    world.sleep(1)
    change(world, there_example=way_to("alive"), other_example=way_to("dead"))
    world.sleep(30, step=0.5)
    assert sorted(number for number, _ in world.attempt.delivered) == list(range(1, 301, 2))
    assert len(world.spool.disk) == 150


def test_changes_that_follow_each_other_forget_nobody() -> None:
    world = answering_world(window=40, message_retry_interval=HOUR)
    world.router.ways["there.example"] = NO_WAY
    world.submit(*(message(number) for number in range(1, 201)))
    world.sleep(30)
    for number in range(6):
        change(world, there_example=way_to("alive", f"Internet {number}"))
    world.sleep(120, step=0.5)
    assert len(world.attempt.delivered) == 200


def test_a_message_to_many_is_divided_anew() -> None:
    world = answering_world()
    world.router.ways |= {"one.example": way_to("dead"), "two.example": way_to("dead")}
    world.attempt.connect["dead"] = REFUSED
    world.submit(message(1, *(f"u{number}@{'one' if number % 2 else 'two'}.example" for number in range(2500))))
    world.sleep(5, step=0.1)
    change(world, one_example=way_to("alive"), two_example=way_to("dead"))
    world.sleep(5, step=0.01)
    assert sorted(index for _, index in world.attempt.delivered) == list(range(1, 2500, 2))
    change(world, one_example=way_to("alive"), two_example=way_to("alive"))
    world.sleep(5, step=0.01)
    assert len(world.attempt.delivered) == 2500
    assert not world.spool.disk


def test_suspended_messages_stay_where_they_are() -> None:
    world = answering_world()
    world.router.ways["there.example"] = NO_WAY
    world.submit(message(1))
    world.scheduler.suspend_message(1)
    change(world, there_example=way_to("alive"))
    world.sleep(10)
    assert not world.attempt.delivered
    assert world.spool.disk[1].status is MessageStatus.SUSPENDED


def test_what_is_suspended_while_the_disk_is_read_is_left_where_it_is() -> None:
    """Bringing it back would be a commit for nothing, and a look at the disk for each page of them."""
    world = answering_world(window=80)
    world.router.ways["there.example"] = way_to("dead")
    world.attempt.connect["dead"] = REFUSED
    world.submit(*(message(number) for number in range(1, 301)))
    world.sleep(1)
    waiting, park = world.spool.waiting, world.spool.park
    suspended: set[int] = set()
    brought: set[int] = set()

    def suspend(rows: Any) -> Any:
        some = [number for _, number, lane in rows if lane and number % 2]
        suspended.update(some)
        return world.spool.set_status(some, MessageStatus.SUSPENDED).addCallback(lambda _: rows)

    def bring(ids: Any, lane: str, until: float) -> Any:
        brought.update(ids if not lane else ())
        return park(ids, lane, until)

    world.spool.waiting = lambda *asked: waiting(*asked).addCallback(suspend)  # type: ignore[method-assign]
    world.spool.park = bring  # type: ignore[method-assign]
    change(world, there_example=way_to("alive"))
    world.sleep(30, step=0.5)
    assert len(suspended) > 50
    assert not brought & suspended
    assert {number for number, _ in world.attempt.delivered} == set(range(1, 301)) - suspended


def test_nothing_is_taken_from_a_disk_that_falls_sick_while_it_is_read() -> None:
    """What is found then may have been refused; it is looked at again behind the recovery."""
    world = answering_world(window=40, message_retry_interval=HOUR)
    world.router.ways["there.example"] = NO_WAY
    world.submit(*(message(number) for number in range(1, 101)))
    world.sleep(30)
    load = world.spool.load

    def falls_sick(*arguments: Any) -> Any:
        world.spool.load = load  # type: ignore[method-assign]
        world.scheduler.pause()
        in_memory.extend(world.scheduler._entries)
        return load(*arguments)

    in_memory: list[int] = []

    world.spool.load = falls_sick  # type: ignore[method-assign]
    change(world, there_example=way_to("alive"))
    world.sleep(30, step=0.5)
    assert set(world.scheduler._entries) <= set(in_memory)
    world.scheduler.resume()
    world.sleep(120, step=0.5)
    assert len(world.attempt.delivered) == 100


def test_other_settings_count_from_now_on_and_nothing_is_routed_for_them() -> None:
    world = World(message_retry_interval=HOUR, max_outbound_connections=1)
    world.submit(message(1, "a@one.example"), message(2, "b@two.example"))
    assert len(world.runs) == 1
    world.transport = Transport.model_construct(message_retry_interval=60.0, max_outbound_connections=5)
    world.scheduler.change(world.router, world.transport, world.reporter)
    assert len(world.runs) == 2
    world.runs[0].take()
    world.runs[0].finish(LATER)
    assert 50 <= world.spool.disk[1].recipients[0].next_attempt <= 70


def test_a_next_hop_is_left_alone_for_the_shorter_one_of_two_pauses() -> None:
    """From when it failed; a longer one counts from its next failure on, and without a difference nothing moves."""
    world = answering_world(queue_glitch_retry_interval=HOUR)
    world.attempt.connect["there.example"] = REFUSED
    world.submit(message(1))
    world.sleep(10)
    [lane] = world.scheduler.lanes()
    before = lane.next_retry_time

    def settings(**keys: object) -> float | None:
        world.transport = world.transport.model_copy(update=keys)
        world.scheduler.change(world.router, world.transport, world.reporter)
        return world.scheduler.lanes()[0].next_retry_time

    assert before is not None
    assert before > 0.9 * HOUR
    assert settings() == settings(message_retry_interval=77.0) == before
    assert settings(queue_glitch_retry_interval=2 * HOUR) == before
    sooner = settings(queue_glitch_retry_interval=60.0)
    assert sooner is not None
    assert 54 <= sooner <= 66
    world.attempt.connect.clear()
    world.sleep(60)
    assert world.attempt.delivered == [(1, 0)]


def test_a_pause_that_would_be_over_is_over() -> None:
    world = answering_world(queue_glitch_retry_interval=HOUR)
    world.attempt.connect["there.example"] = REFUSED
    world.submit(message(1))
    world.sleep(300)
    world.attempt.connect.clear()
    world.transport = world.transport.model_copy(update={"queue_glitch_retry_interval": 60.0})
    world.scheduler.change(world.router, world.transport, world.reporter)
    world.sleep(1)
    assert world.attempt.delivered == [(1, 0)]


def test_a_rate_goes_on_over_changes() -> None:
    """Many reloads in a row let no more through than none, whatever else is different about the way."""
    world = answering_world()
    limited = attrs.evolve(way_to("smart"), message_rate=1)
    world.router.ways["there.example"] = limited
    world.submit(*(message(number) for number in range(1, 6)))
    world.sleep(1, step=0.01)
    for number in range(50):
        change(world, there_example=attrs.evolve(limited, helo=f"name{number}.example"))
        world.sleep(1, step=0.1)
    assert len(world.attempt.delivered) == 1
    world.sleep(70, step=0.5)
    assert len(world.attempt.delivered) == 3


def test_a_disk_that_cannot_be_read_is_told() -> None:
    world = World()

    def broken(after: object, limit: int) -> None:
        raise OSError("no disk")

    world.spool.waiting = broken  # type: ignore[method-assign, assignment]
    change(world, there_example=way_to("alive"))
    world.sleep(1)
    assert [event.text for event in world.events.all if isinstance(event, ServiceEvent)] == [
        "waiting messages could not be routed anew: no disk"
    ]
