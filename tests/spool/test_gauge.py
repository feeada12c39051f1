"""Tests for L{twistedrelay.spool.gauge} and L{twistedrelay.spool.measures}: what a real spool tells of itself."""

from __future__ import annotations

import math
import threading

from tests.spool.world import World
from twistedrelay.spool.measures import Measures


def test_figures(world: World) -> None:
    empty = world.wait(world.spool.gauge.figures())
    assert (empty.messages, empty.oldest) == (0, 0.0)
    for _ in range(3):
        world.store(b"Subject: x\r\n\r\n" + bytes(20_000))
    found = world.wait(world.spool.gauge.figures())
    assert (found.messages, found.oldest) == (3, 1_700_000_000.0)
    assert found.log > 60_000
    assert found.database >= found.free >= 0
    assert world.wait(world.spool.gauge.used_database()) >= found.log


def test_each_commit_is_measured(world: World) -> None:
    measures = world.spool.gauge.measures
    before = measures.batches.count
    world.store()
    world.store()
    assert measures.batches.count == before + 2
    assert measures.syncs.count == measures.commits.count == measures.batches.count
    assert 0 < measures.syncs.sum <= measures.commits.sum
    assert measures.now() - measures.committed_at < 60


def test_a_probe_is_a_commit(world: World) -> None:
    measures = world.spool.gauge.measures
    before = measures.batches.count
    world.wait(world.spool.gauge.probe(17.5))
    assert measures.batches.count == before + 1
    assert world.wait(world.spool.remembered())["probe"] == "17"


def test_what_is_due(world: World) -> None:
    messages = [world.store() for _ in range(5)]
    world.wait(world.spool.park([messages[0].id], "lane", 10.0))
    assert world.wait(world.spool.gauge.due(2e9, 100)) == 4
    assert world.wait(world.spool.gauge.due(2e9, 3)) == 3


def test_memory_is_given_back(world: World) -> None:
    message = world.store(b"Subject: x\r\n\r\n" + bytes(100_000))
    gauge = world.spool.gauge
    assert gauge.cached > 100_000
    gauge.spare_memory()
    assert gauge.cached == 0
    assert len(world.wait(message.content.read(0, 200_000))) == message.size


def test_a_thread_at_one_step() -> None:
    clock = [5.0]
    measures = Measures(lambda: clock[0])
    assert measures.stalled() == 0.0
    measures.busy()
    clock[0] = 8.0
    assert measures.stalled() == 3.0
    measures.idle()
    assert measures.stalled() == 0.0


def test_a_thread_that_ended() -> None:
    measures = Measures()
    thread = threading.Thread(target=int)
    thread.start()
    measures.watch(thread)
    thread.join()
    assert measures.stalled() == math.inf
