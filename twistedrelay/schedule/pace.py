"""Pieces of work of which only few are under way at once, the others wait in their order.

A domain that turns out not to exist, or an hour that was the last one for many, means a report for each of thousands of messages.  Made
all together they would hold the reactor for seconds and fill the memory; like this each goes when an earlier one is on the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")

TOGETHER = 20  #: a commit's worth: more would not be faster


class Pace(Generic[T]):
    """See the module."""

    def __init__(self, together: int = TOGETHER) -> None:
        self._together = together
        self._under_way = 0
        self._waiting: deque[tuple[Callable[[], Deferred[T]], Deferred[T]]] = deque()
        self._beginning = False

    def run(self, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Begin C{work} when it is its turn, which may be now; fires with what it does."""
        done: Deferred[T] = Deferred()
        self._waiting.append((work, done))
        self._begin()
        return done

    def drop(self) -> int:
        """Forget what was not begun; how many that were.  Their Deferreds never fire."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def _begin(self) -> None:
        if self._beginning:  # work that ends at once must not begin the next one inside of itself
            return
        self._beginning = True
        try:
            while self._waiting and self._under_way < self._together:
                work, done = self._waiting.popleft()
                self._under_way += 1
                work().addBoth(self._ended).chainDeferred(done)
        finally:
            self._beginning = False

    def _ended(self, result: T) -> T:
        self._under_way -= 1
        self._begin()
        return result
