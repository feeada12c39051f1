"""How often something took how long: counts in fixed buckets, cheap enough to be kept all the time.

It decides only into which bucket a value falls.  One thread adds; any thread may look, and then sees each number as it was at some moment.

Source: the Prometheus exposition format (histograms: cumulative buckets by their upper bound, a sum and a count).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

#: Upper bounds for what takes from a tenth of a millisecond to some seconds: the disk, a handshake, a transaction.
SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Upper bounds for what may take days: a message that waits.
LONG = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 172800.0),
)

#: Upper bounds for numbers of things taken together.
MANY = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Histogram:
    """See the module.

    @ivar bounds: the upper bounds, rising.
    @ivar counts: how many values fell into each bucket, not cumulative; the last one is for those above all bounds.
    @ivar sum: all values together.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SHORT) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Add a value; one below 0 (a clock was set back) counts as 0."""
        if value < 0.0:
            value = 0.0
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus wants them: upper bound and how many are at most that."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), list(self.counts), strict=True):
            total += count
            found.append((bound, float(total)))
        return found
