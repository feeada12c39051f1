"""What an administrator wants of queues and messages: in force from the moment that it is said, and kept by the spool.

It decides what is in force where some of it cannot be kept: the latest that was not refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@attrs.define(slots=True, eq=False)
class _Order(Generic[T]):
    """One, of one queue or message.

    @ivar before: the one that it takes the place of; none where there is no way back.
    @ivar refused: it could not be kept.
    """

    what: T | None
    before: _Order[T] | None = None
    refused: bool = False


class Orders(Generic[K, T]):
    """See the module."""

    def __init__(self, put: Callable[[K, T | None], None], keep: Callable[[K, T | None], Deferred[None]]) -> None:
        """
        @param put: puts something into force for a queue or message; None: nothing is.
        @param keep: lets it survive a restart.
        """
        self._put = put
        self._keep = keep
        self._latest: dict[K, _Order[T]] = {}

    def put(self, of: K, what: T | None) -> None:
        """From now on this is in force, and need not be kept."""
        self._latest[of] = _Order(what)
        self._put(of, what)

    def drop(self, of: K) -> None:
        """It is no more; what is still being kept of it changes nothing."""
        self._latest.pop(of, None)

    def give(self, of: K, what: T | None) -> Deferred[None]:
        """From now on this is in force; fires when it is kept, fails where it cannot be, and is not in force then."""
        order = self._latest[of] = _Order(what, self._latest.get(of))

        def kept(_: None) -> None:
            order.before = None

        def refused(failure: Failure) -> Failure:
            order.refused = True
            if self._latest.get(of) is order:  # else somebody has said something else meanwhile
                standing = order.before
                while standing is not None and standing.refused:
                    standing = standing.before
                self._latest[of] = standing or _Order(None)
                self._put(of, self._latest[of].what)
            return failure

        self._put(of, what)
        return self._keep(of, what).addCallbacks(kept, refused)
