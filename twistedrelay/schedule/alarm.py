"""One timer for everything that waits for a time.

Thousands of lanes and messages wait; each has an entry in a heap, and the reactor has a single delayed call for the earliest.  An entry is
never taken back: whoever is woken checks whether there is still something to do.  Where thousands are due at once (mail that is held until
eight o'clock), they are woken in their order, a slice in each turn of the reactor.
"""

from __future__ import annotations

import heapq
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

SLICE = 0.02  #: seconds of waking in one turn of the reactor


class Sleeper(Protocol):
    """Who can be woken."""

    def wake(self, now: float) -> None:
        """The time has come.

        @param now: for comparison with the time that was said; where the clock was set back meanwhile, it is later than now.
        """


class _SetBack:
    """One who went to sleep before the clock was set back, and is told the time as it would have been."""

    def __init__(self, sleeper: Sleeper, seconds: float) -> None:
        self._sleeper = sleeper
        self._seconds = seconds

    def wake(self, now: float) -> None:
        """See L{Sleeper}."""
        self._sleeper.wake(now - self._seconds)


class Alarm:
    """Wakes sleepers at their times."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Sleeper]] = []
        self._count = 0
        self._call: IDelayedCall | None = None
        self._stopped = False

    def at(self, when: float, sleeper: Sleeper) -> None:
        """Wake C{sleeper} at a time (seconds since the epoch), never from within this call."""
        if self._stopped:
            return
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, sleeper))
        if self._heap[0][1] == self._count:
            self._set()

    def stop(self) -> None:
        """Wake nobody any more."""
        self._stopped = True
        self._heap.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this: those whose time it is are woken.  Or back: each sleeps on for as long as it would have."""
        if seconds < 0:
            self._heap = [(when + seconds, number, _SetBack(sleeper, seconds)) for when, number, sleeper in self._heap]
        if self._heap:
            self._set()

    def late(self) -> float:
        """Seconds since somebody should have been woken, 0.0 where nobody waits in vain."""
        return max(0.0, self._clock.seconds() - self._call.getTime()) if self._call is not None else 0.0

    def _set(self) -> None:
        delay = max(0.0, self._heap[0][0] - self._clock.seconds())
        if self._call is None:
            self._call = self._clock.callLater(delay, self._ring)
        else:
            self._call.reset(delay)

    def _ring(self) -> None:
        self._call = None
        seconds = self._clock.seconds
        now = seconds()
        last = self._count  # entries made by those woken now wait for the next turn, so the reactor is never held
        later = []
        try:
            while self._heap and self._heap[0][0] <= now and seconds() - now < SLICE:
                entry = heapq.heappop(self._heap)
                if entry[1] > last:
                    later.append(entry)
                else:
                    entry[2].wake(now)
        finally:
            for entry in later:
                heapq.heappush(self._heap, entry)
            if self._heap:
                self._set()
