"""Dead next hops are tried again a few at a time."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.schedule.fakes import OK, REFUSED, World, message
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.probes import GRAIN, MORE, TOGETHER, Probes
from twistedrelay.schedule.views import LaneView

HOPS = [f"d{number}.example" for number in range(200)]


class Hop:
    """Notes when it was its turn."""

    def __init__(self, turns: list[tuple[float, int]], number: int) -> None:
        self.turns = turns
        self.number = number

    def probe(self, now: float) -> None:
        self.turns.append((now, self.number))


def probes(count: int) -> tuple[Clock, Probes, list[tuple[float, int]]]:
    """Many whose time comes at once."""
    clock = Clock()
    made, turns = Probes(clock.seconds, Alarm(clock)), []
    for number in range(count):
        made.ask(Hop(turns, number))
    return clock, made, turns


def test_few_go_at_once_and_the_others_in_their_order() -> None:
    clock, made, turns = probes(3 * TOGETHER)
    assert [number for _, number in turns] == list(range(TOGETHER))
    clock.advance(GRAIN / 2)
    assert len(turns) == TOGETHER
    clock.pump([GRAIN / 2, 0.0])
    assert len(turns) == 2 * TOGETHER
    clock.pump([GRAIN, GRAIN])
    assert [number for _, number in turns] == list(range(3 * TOGETHER))
    assert len(made) == 0


def test_for_each_that_is_alive_more_go() -> None:
    clock, made, turns = probes(5 * TOGETHER)
    made.alive()
    made.alive()
    assert len(turns) == TOGETHER
    clock.advance(0.0)
    assert len(turns) == TOGETHER + 2 * MORE
    clock.advance(GRAIN)
    assert len(turns) == 2 * TOGETHER + 2 * MORE


def test_who_asks_later_waits_no_longer_than_a_load_where_nobody_else_does() -> None:
    clock, made, turns = probes(TOGETHER)
    made.alive()  # nobody waits: nothing is saved up
    made.ask(Hop(turns, 99))
    assert len(turns) == TOGETHER
    clock.advance(GRAIN)
    assert turns[-1] == (GRAIN, 99)


def dead_world(each: int = 1, window: int = 1000) -> World:
    """Many next hops that do not answer; all of them failed in the same second."""
    world = World(window=window)
    world.attempt.answer = lambda _: OK
    world.attempt.connect.update(dict.fromkeys(HOPS, REFUSED))
    for number in range(len(HOPS) * each):
        world.submit(message(number + 1, f"user@{HOPS[number % len(HOPS)]}"))
    world.sleep(1)
    return world


def queue(world: World, domain: str) -> LaneView:
    """As an administrator sees it."""
    return next(view for view in world.scheduler.lanes() if view.identity == domain)


def tries(world: World) -> int:
    """How many times next hops were found dead."""
    return sum(view.retry_count for view in world.scheduler.lanes())


def test_dead_next_hops_are_not_tried_again_in_the_same_moment() -> None:
    world = dead_world()
    assert tries(world) == len(HOPS)
    before, most = tries(world), 0
    for _ in range(120):
        world.sleep(1, step=GRAIN)
        most, before = max(most, tries(world) - before), tries(world)
    assert tries(world) >= 2 * len(HOPS)
    assert most <= (1 / GRAIN + 1) * TOGETHER


def test_all_are_back_soon_when_it_was_our_own_line() -> None:
    world = dead_world()
    world.attempt.connect.clear()
    world.sleep(61, step=0.1)
    assert len(world.attempt.delivered) == len(HOPS)


def test_a_next_hop_that_an_administrator_has_tried_again_is_not_tried_once_more() -> None:
    world = dead_world()
    world.sleep(59, step=1)
    assert world.scheduler.queues.retry(HOPS[-1])
    world.sleep(50, step=GRAIN)
    assert queue(world, HOPS[-1]).retry_count == 2


def test_one_message_is_read_to_try_a_dead_next_hop_and_all_others_when_it_is_back() -> None:
    world = World(window=80)
    world.attempt.answer = lambda _: OK
    world.attempt.connect["dead.example"] = REFUSED
    world.submit(*(message(number, "user@dead.example") for number in range(1, 301)))
    world.sleep(1)
    world.attempt.answer = None  # what comes to others stays in memory: messages of the dead one make room
    world.submit(*(message(number, f"user@live{number}.example") for number in range(1001, 1071)))
    world.sleep(5, step=1)
    world.attempt.answer = lambda _: OK
    for run in world.runs:
        while run.take():
            run.finish()
        run.end()
    assert queue(world, "dead.example").message_count == 300
    loaded = len(world.spool.loaded)
    world.sleep(3600, step=1)
    tried = queue(world, "dead.example").retry_count
    assert 5 < tried < 20
    assert len(world.spool.loaded) - loaded <= tried
    world.attempt.connect.clear()
    world.sleep(700, step=1)
    assert len({number for number, _ in world.attempt.delivered} & set(range(1, 301))) == 300
