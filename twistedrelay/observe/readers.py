"""Questions that threads answer: so many at a time, for they share the threads with everything else.

A question that nobody waits for any more keeps its place until its thread is done with it, which nothing can stop; one that had no place
yet is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.python.failure import Failure

T = TypeVar("T")


class Readers:
    """See the module."""

    def __init__(self, most: int) -> None:
        """@param most: questions at a time."""
        self._places = DeferredSemaphore(most)

    def ask(self, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """What C{work} gives, when there is a place for it.  Who waits for it may cancel."""
        answered: Deferred[T] = Deferred()

        def begin() -> Deferred[T | None]:
            return succeed(None) if answered.called else work()  # type: ignore[return-value]

        def end(found: T | Failure | None) -> None:
            if not answered.called:
                answered.callback(found)  # type: ignore[arg-type]

        self._places.run(begin).addBoth(end)
        return answered
