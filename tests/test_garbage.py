"""What the garbage collector looks at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping

from twistedrelay.garbage import LONG, MUCH, THRESHOLDS, Garbage


class Collector:
    """Stands for L{gc}: so many objects are new, and set apart; to look at a million takes a tenth of a second."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[str, Mapping[str, int]], None]] = []
        self.new = 200_000
        self.apart = 0
        self.cpu = 0.0
        self.looked_at: list[int] = []
        self.counted = 0

    def collect(self, generation: int = 2) -> None:
        for tell in self.callbacks:
            tell("start", {"generation": generation})
        if generation == 2:
            self.looked_at.append(self.new)
            self.cpu += self.new / 1e7
        for tell in self.callbacks:
            tell("stop", {"generation": generation})

    def freeze(self) -> None:
        self.apart, self.new = self.apart + self.new, 0

    def unfreeze(self) -> None:
        self.apart, self.new = 0, self.new + self.apart

    def get_freeze_count(self) -> int:
        self.counted += 1
        return self.apart

    def set_threshold(self, *thresholds: int) -> None:
        assert thresholds == THRESHOLDS


def begun() -> Collector:
    collector = Collector()
    Garbage(collector, lambda: collector.cpu).begin()
    return collector


def test_what_is_there_at_the_start_is_not_looked_at_again() -> None:
    collector = begun()
    collector.collect()
    assert collector.looked_at == [200_000, 0]


def test_a_short_collection_sets_nothing_apart() -> None:
    collector = begun()
    for _ in range(3):
        collector.new += int(LONG * 1e7) // 4
        collector.collect()
    assert collector.looked_at[1:] == [25_000, 50_000, 75_000]
    assert collector.apart == 200_000


def test_what_has_come_to_stay_is_looked_at_by_one_long_collection() -> None:
    collector = begun()
    for _ in range(4):
        collector.new += 400_000
        collector.collect(0)
        collector.collect(1)
        collector.collect()
    assert collector.looked_at[1:] == [400_000] * 4


def test_what_is_set_apart_is_seldom_counted() -> None:
    collector = begun()
    for _ in range(19):  # each takes a tenth of a second
        collector.new += 1_000_000
        collector.collect()
    assert collector.counted == 1
    collector.new += 1_100_000
    collector.collect()
    assert collector.counted == 2


def test_where_much_more_is_set_apart_all_is_looked_at_once() -> None:
    collector = begun()
    while collector.apart:
        collector.new += 500_000
        collector.collect()
    assert collector.new > MUCH + 400_000
    everything = collector.new
    collector.collect()
    assert collector.looked_at[-1] == collector.apart == everything
    collector.new += 500_000
    collector.collect()
    assert collector.looked_at[-1] == 500_000  # it is not so much more than there was


def test_the_end() -> None:
    collector = Collector()
    garbage = Garbage(collector, lambda: collector.cpu)
    garbage.end()
    garbage.begin()
    assert len(collector.callbacks) == 1
    garbage.end()
    assert collector.callbacks == []


class Kept:
    """Something."""


def test_what_was_set_apart_is_freed_when_nobody_holds_it() -> None:
    """Of the real collector: what all of this relies on."""
    kept = Kept()
    gone = weakref.ref(kept)
    gc.freeze()
    try:
        del kept
        assert gone() is None
    finally:
        gc.unfreeze()
