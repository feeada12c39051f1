"""Limits that lanes share: connections and messages a minute."""

from __future__ import annotations

import itertools

from tests.schedule.fakes import OK, REFUSED, World, message
from twistedrelay.schedule.limits import TOLERANCE
from twistedrelay.values.route import Login, Route

LOGIN = Login("relay@here.example")


def smart_host(world: World, *domains: str, connections: int = 3, rate: int | None = None) -> None:
    """Lanes of their own, one login."""
    for domain in domains:
        world.router.ways[domain] = Route(
            "Provider", domain, "SmartHostConnectorDelivery", login=LOGIN, max_connections=connections, message_rate=rate
        )


def flood(world: World, domain: str, count: int, first: int = 1) -> None:
    world.submit(*(message(number, f"user@{domain}") for number in range(first, first + count)))


def test_a_login_has_so_many_connections_over_all_its_lanes() -> None:
    world = World()
    smart_host(world, "one.example", "two.example")
    flood(world, "one.example", 100)
    assert len(world.runs) == 3
    flood(world, "two.example", 100, 1000)
    assert len(world.runs) == 3
    assert world.runs[0].take() is None  # another lane waits and this one has more than its part
    world.runs[0].end()
    assert [run.lane.route.next_hop for run in world.runs] == ["one.example"] * 3 + ["two.example"]


def test_messages_flow_at_an_even_rate() -> None:
    world = World(window=10_000)
    smart_host(world, "one.example", rate=30)
    world.attempt.answer = lambda hop: OK
    flood(world, "one.example", 200)
    times = []
    for _ in range(1200):
        world.clock.advance(0.1)
        while len(times) < len(world.attempt.delivered):
            times.append(world.clock.seconds())
    assert 60 <= len(times) <= 62
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) > 2 - TOLERANCE - 0.2
    assert max(gaps) < 2.3


def test_a_high_rate_is_kept_without_a_wake_up_for_each_message() -> None:
    world = World(window=50_000)
    smart_host(world, "one.example", rate=6000)
    world.attempt.answer = lambda hop: OK
    flood(world, "one.example", 3000)
    wakes = []
    limit = next(iter(world.scheduler.limits._limits.values()))
    wake = limit.wake
    limit.wake = lambda now: (wakes.append(now), wake(now))  # type: ignore[method-assign,func-returns-value,assignment]
    for _ in range(1000):
        world.clock.advance(0.01)
    assert 980 <= len(world.attempt.delivered) <= 1060
    assert len(wakes) < 60


def test_lanes_of_one_login_share_its_rate_evenly() -> None:
    world = World(window=10_000)
    smart_host(world, "one.example", "two.example", "three.example", rate=60)
    world.attempt.answer = lambda hop: OK
    counts = {}
    for place, domain in enumerate(("one.example", "two.example", "three.example")):
        flood(world, domain, 200, 1000 * (place + 1))
    for _ in range(1200):
        world.clock.advance(0.1)
    for number, _ in world.attempt.delivered:
        counts[number // 1000] = counts.get(number // 1000, 0) + 1
    assert sum(counts.values()) <= 122
    assert all(35 <= count <= 45 for count in counts.values()), counts


def test_a_message_that_was_not_tried_does_not_count() -> None:
    world = World()
    smart_host(world, "one.example", rate=30)
    flood(world, "one.example", 10)
    run = world.runs.pop()
    job = run.take()
    assert job is not None
    assert run.take() is None
    run.lane.give_back(job)
    assert run.take() is job


def test_a_limit_goes_with_its_last_lane() -> None:
    world = World()
    smart_host(world, "one.example", rate=30)
    world.attempt.answer = lambda hop: OK
    flood(world, "one.example", 1)
    world.sleep(10)
    assert len(world.scheduler.limits._limits) == 1
    world.sleep(400)
    assert world.scheduler.limits._limits == {}


def test_a_new_configuration_changes_the_limit() -> None:
    world = World()
    smart_host(world, "one.example", connections=1)
    flood(world, "one.example", 50)
    assert len(world.runs) == 1
    smart_host(world, "one.example", connections=4)
    flood(world, "one.example", 50, 1000)
    world.runs[0].take()
    world.runs[0].finish(OK)
    world.sleep(1, step=0.01)
    assert len(world.runs) > 1


def test_expiry_counts_where_the_rate_makes_mail_wait() -> None:
    world = World(message_expiration_timeout=100.0, delay_notification_timeout=50.0)
    smart_host(world, "one.example", rate=2)
    world.attempt.answer = lambda hop: OK
    flood(world, "one.example", 20)
    world.sleep(300)
    assert len(world.reporter.failures) >= 15
    assert len(world.spool.disk) == 0


def test_lanes_that_failed_hold_half_of_the_slots_at_most() -> None:
    world = World(max_outbound_connections=4)
    for place in range(6):
        flood(world, f"dead{place}.example", 1, 100 * (place + 1))
    while any(not lane.condition.failures for lane in world.scheduler._lanes.values()):
        world.sleep(1)
        for run in list(world.runs):
            world.runs.remove(run)
            run.end(REFUSED)
    world.sleep(700)
    assert len(world.runs) == 2  # the others wait for their turn
    flood(world, "alive.example", 1, 9000)
    assert world.runs[-1].lane.route.next_hop == "alive.example"
