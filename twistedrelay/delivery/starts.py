"""How fast connections are begun.

To begin one takes a good part of a millisecond (targets, TLS policy, sockets), and what follows from it as much again.  After a start, or
when the disk is well again, a thousand lanes want theirs at the same moment: so they are begun some at a time, in the order in which they
were asked for, and the reactor has its turn in between.  Where fewer are wanted nobody waits.
"""

from __future__ import annotations

import math

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

GRAIN = 0.01  #: seconds
TOGETHER = 20  #: begun within them


class Starts:
    """See the module."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._since = -math.inf
        self._left = 0
        self._line: dict[Deferred[None], None] = {}
        self._call: IDelayedCall | None = None

    def may_go(self) -> bool:
        """Whether one may begin now, which is counted then; else it waits for L{turn}."""
        if self._line:
            return False
        now = self._clock.seconds()
        if not 0.0 <= now - self._since < GRAIN:
            self._since, self._left = now, TOGETHER
        self._left -= 1
        return self._left >= 0

    def turn(self) -> Deferred[None]:
        """Fires when one more may begin; who gives it up cancels it."""
        waiting: Deferred[None] = Deferred(lambda given_up: self._line.pop(given_up, None))
        self._line[waiting] = None
        if self._call is None:
            self._call = self._clock.callLater(GRAIN, self._next)
        return waiting

    def _next(self) -> None:
        self._call = None
        self._since, self._left = self._clock.seconds(), TOGETHER
        for waiting in list(self._line)[:TOGETHER]:
            self._left -= 1
            if self._line.pop(waiting, waiting) is None:  # it was not given up by what another has just done
                waiting.callback(None)
        if self._line:
            self._call = self._clock.callLater(GRAIN, self._next)
