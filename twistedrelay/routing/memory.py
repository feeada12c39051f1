"""Dictionaries that cannot grow without end: what routing remembers of strangers' domains.

Decides what is forgotten when there is no room, and when an answer is too old; never what is worth keeping.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(OrderedDict[K, V]):
    """A dictionary of at most C{limit} entries; beyond, what came first goes.  Reading costs what a dictionary costs."""

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def keep(self, key: K, value: V) -> V:
        """Remember it; the value."""
        if len(self) >= self._limit and key not in self:
            self.popitem(last=False)  # of a plain dict the first is slow to find, where many before it have gone
        self[key] = value
        return value


class Expiring(Generic[K, V]):
    """At most C{limit} entries, each good until its own time; beyond, what was used least lately goes.

    @param clock: IReactorTime.
    """

    __slots__ = ("_clock", "_entries", "_limit")

    def __init__(self, clock: Any, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """What is known and still good, or None."""
        entry = self._entries.pop(key, None)
        if entry is None or entry[0] <= self._clock.seconds():
            return None
        self._entries[key] = entry  # behind all others: it was used last
        return entry[1]

    def put(self, key: K, value: V, until: float) -> None:
        """Remember it until a time; what is over already is not kept."""
        self._entries.pop(key, None)
        if until <= self._clock.seconds():
            return
        if len(self._entries) >= self._limit:
            self._entries.popitem(last=False)
        self._entries[key] = (until, value)

    def forget(self, key: K) -> None:
        """It is no longer true."""
        self._entries.pop(key, None)
