"""A reactor on whose clock a busy machine costs no time.

Sockets, threads and files are the real reactor's.  Time goes on by a millisecond for each turn of it that a millisecond or more has
passed in, however much more it was: a process that was not let run for a second has lost a millisecond, and looked for what its sockets
have before it loses the next.  So a time-out of a few hundredths of a second ends what really says nothing, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

TICK = 0.001


class PacedReactor:
    """The real reactor with such a clock, from L{start} until L{stop}."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._clock = Clock()
        self._clock.rightNow = float(reactor.seconds())
        self._turn: IDelayedCall | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        """The time of this clock."""
        return float(self._clock.seconds())

    def callLater(self, delay: float, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> IDelayedCall:
        """As the real one."""
        later: IDelayedCall = self._clock.callLater(delay, call, *arguments, **keywords)
        return later

    def getDelayedCalls(self) -> list[Any]:
        """Those of this clock."""
        return list(self._clock.getDelayedCalls())

    def start(self) -> None:
        """Let time pass."""
        self._turn = self._reactor.callLater(TICK, self._tick)

    def stop(self) -> None:
        """Let it stand, and forget what waits for it."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _tick(self) -> None:
        self._turn = self._reactor.callLater(TICK, self._tick)
        self._clock.advance(TICK)
