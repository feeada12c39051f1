"""Deadlines of many connections, by one timer.

Decides only that a deadline has passed; it is noticed up to a second late.  Setting a deadline is storing a number, sooner or later
than the one before (a C{DelayedCall} reset to sooner costs a search through all timers).

Where the clock was set, deadlines move by as much: nobody is late for that, and nobody has years.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

SWEEP = 1.0


class HasDeadline(Protocol):
    """What can be late."""

    deadline: float

    def wait_on(self, seconds: float) -> None:
        """Each of its times is so much later (or sooner, below 0): the clock was set by this."""

    def deadline_passed(self) -> None:
        """Called once C{deadline} (seconds of the reactor's clock) has passed; again in the next sweep unless it is set anew."""


class Deadlines:
    """Those who have a deadline.  The timer runs only while there are any; a defect of one keeps no other from its deadline."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._members: set[HasDeadline] = set()
        self._timer: IDelayedCall | None = None

    def add(self, member: HasDeadline) -> None:
        """Watch somebody."""
        self._members.add(member)
        if self._timer is None:
            self._timer = self._clock.callLater(SWEEP, self._sweep)

    def remove(self, member: HasDeadline) -> None:
        """Watch no longer."""
        self._members.discard(member)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back."""
        for member in self._members:
            member.wait_on(seconds)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for member in [one for one in self._members if one.deadline <= now]:
            try:
                member.deadline_passed()
            except Exception:
                self._log.failure("what is late could not be ended")
        if self._members and self._timer is None:
            self._timer = self._clock.callLater(SWEEP, self._sweep)
