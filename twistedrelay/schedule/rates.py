"""How many messages a queue gets and sends, per second over the last minute, as Get-Queue shows it (IncomingRate, OutgoingRate, Velocity).

Nothing is done per message but counting; samples are taken in intervals, for all queues by one entry in the alarm.
"""

from __future__ import annotations

from collections import deque

INTERVAL = 15.0  #: seconds between two samples
SAMPLES = 5  #: a minute, from the oldest to the latest


class Meter:
    """The counts of one queue at several times."""

    __slots__ = ("_samples",)

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)], SAMPLES)

    def sample(self, now: float, came: int, went: int) -> None:
        """Keep the counts of now."""
        self._samples.append((now, came, went))

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back."""
        self._samples = deque(((then + seconds, came, went) for then, came, went in self._samples), SAMPLES)

    def rates(self, now: float, came: int, went: int) -> tuple[float, float]:
        """What came and what went, per second."""
        then, came_then, went_then = self._samples[0]
        seconds = max(now - then, 1.0)
        return (came - came_then) / seconds, (went - went_then) / seconds
