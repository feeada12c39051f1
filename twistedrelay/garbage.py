"""When the interpreter's garbage collector runs, and what it need not look at again.

Decides nothing but that.  A full collection stops everything for as long as it takes to look at all that is alive: a second, where ten
thousand next hops have their lanes.  Hardly anything of ours needs it: what nobody holds any more is freed at once, but for cycles, which
are few and mostly young.  So

  - what is there at the start, code and configuration, is set apart (gc.freeze) and never looked at again;
  - a full collection that takes long sets what survived it apart, too: much has come to stay, and the next one looks at what is new;
  - what is set apart is still freed when nobody holds it, only its cycles are not found.  Where it has grown by much, perhaps by them, it
    is looked at once more.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

#: Net objects made between two collections of the youngest; of those until one of the middle, and of these until a full one, which so has
#: some 40,000 new objects to look at.  Measured with 10,000 next hops that come back at once: the longest pause is 0.05 s of the processor,
#: where full ones were rare (2,000, 20, 100) and looked at all it was 0.9 s; where mail flows through an empty queue both cost the same.
THRESHOLDS = (2_000, 10, 1)

#: Seconds that a full collection may take before what survived it is set apart.
LONG = 0.01

#: Seconds of long collections after which it is counted what is set apart; to count takes its time, too.
OFTEN = 2.0

#: What may be set apart beyond twice of what there was when all of it was looked at, in objects.
MUCH = 2_000_000


class Garbage:
    """See the module."""

    def __init__(self, collector: Any = gc, cpu: Callable[[], float] = time.thread_time) -> None:
        """
        @param cpu: seconds that the thread at hand has worked.
        """
        self._collector = collector
        self._cpu = cpu
        self._began = 0.0
        self._spent = 0.0  # since what is set apart was counted
        self._all = False  # nothing is set apart: the next full collection looks at all
        self._base = 0  # what was set apart when all was looked at

    def begin(self) -> None:
        """Set apart what is there, and decide from now on."""
        self._collector.collect()
        self._collector.freeze()
        self._base = self._collector.get_freeze_count()
        self._collector.set_threshold(*THRESHOLDS)
        self._collector.callbacks.append(self._collected)

    def end(self) -> None:
        """Decide nothing more."""
        if self._collected in self._collector.callbacks:
            self._collector.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: Mapping[str, int]) -> None:
        """In whichever thread it was."""
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = self._cpu()
            return
        took = self._cpu() - self._began
        if took >= LONG:
            self._collector.freeze()
            self._spent += took
            if self._all or self._spent >= OFTEN:
                self._count()

    def _count(self) -> None:
        """See what is set apart."""
        self._spent = 0.0
        count = self._collector.get_freeze_count()
        if self._all:
            self._all, self._base = False, count
        elif count > 2 * self._base + MUCH:
            self._collector.unfreeze()
            self._all = True
