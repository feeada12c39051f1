"""How many next hops that failed last time are tried again in a second.

An attempt in vain costs time that new mail wants; where thousands of next hops are dead, or our own way to them, they would all be tried
again within seconds of each other.  So they are tried in the order in which their times come, a few at a time; those beyond wait their
turn.  For each next hop that turns out to be alive again two more are tried at once: when it was our own line that had failed, all of them
are soon back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from twistedrelay.schedule.alarm import Alarm

GRAIN = 0.2  #: seconds between two loads
TOGETHER = 5  #: in a load: 1,500 dead next hops may be tried once a minute
MORE = 2  #: for each that is alive


class Probe(Protocol):
    """Who has a next hop to try."""

    def probe(self, now: float) -> None:
        """It is its turn."""


class Probes:
    """See the module."""

    def __init__(self, seconds: Callable[[], float], alarm: Alarm) -> None:
        self._seconds = seconds
        self._alarm = alarm
        self._line: deque[Probe] = deque()
        self._left = 0
        self._more_at = -math.inf
        self._wake_at = math.inf

    def __len__(self) -> int:
        return len(self._line)

    def ask(self, probe: Probe) -> None:
        """The time of C{probe} has come: its turn is now, or later."""
        self._line.append(probe)
        if self._wake_at == math.inf:
            self._go(self._seconds())

    def alive(self) -> None:
        """A next hop that had failed answers: others may be tried."""
        if self._line:
            self._left += MORE
            self._wake(self._seconds())

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back."""
        self._more_at += seconds

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if self._wake_at <= now:
            self._wake_at = math.inf
            self._go(self._seconds())

    def _go(self, now: float) -> None:
        if self._more_at <= now:
            self._left, self._more_at = TOGETHER, now + GRAIN
        while self._left > 0 and self._line:
            self._left -= 1
            self._line.popleft().probe(now)
        if self._line:
            self._wake(self._more_at)

    def _wake(self, when: float) -> None:
        if when < self._wake_at:
            self._wake_at = when
            self._alarm.at(when, self)
