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

#: Net objects made between two collections of the youngest; of those until one of the middle, and of these until a full one.  Measured
#: with 10,000 messages waiting and 30,000 flowing: half the collector's time by default, and a quarter of its longest pause.
THRESHOLDS = (2_000, 20, 5)

#: Seconds that a full collection may take before what survived it is set apart.
LONG = 0.03

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
        self._all = True  # nothing was set apart when the collection at hand began
        self._base = 0

    def begin(self) -> None:
        """Set apart what is there, and decide from now on."""
        self._collector.collect()
        self._set_apart()
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
        elif self._cpu() - self._began >= LONG:
            self._set_apart()

    def _set_apart(self) -> None:
        self._collector.freeze()
        count = self._collector.get_freeze_count()
        if self._all:
            self._all, self._base = False, count
        elif count > 2 * self._base + MUCH:
            self._collector.unfreeze()
            self._all = True
