"""How many delivery runs there may be at once, over all lanes, and whose turn it is when there are no more.

A lane without a run that asks in vain stands in line; the slot of a run that ends goes to the first in line.  While lanes wait, a lane that
has had its share of jobs is told to let its run end (L{Slots.spend}), so that one busy lane does not keep the others out for ever.
"""

from __future__ import annotations

from typing import Protocol


class Waiting(Protocol):
    """Who asks for slots."""

    def slot_free(self) -> None:
        """A slot may be free now: ask again if one is still needed."""


class Slots:
    """The slots.

    @ivar used: how many are taken.
    """

    SHARE = 100  #: jobs per slot while others wait

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._line: dict[Waiting, None] = {}  # in order of asking
        self._spent: dict[Waiting, int] = {}
        self.used = 0

    @property
    def contended(self) -> bool:
        """Whether someone waits for a slot."""
        return bool(self._line)

    def take(self, lane: Waiting, *, wait: bool = True) -> bool:
        """A slot for C{lane}.  False: there is none; with C{wait} it stands in line now."""
        if self._limit is None or self.used < self._limit:
            self.used += 1
            return True
        if wait:
            self._line.setdefault(lane)
        return False

    def spend(self, lane: Waiting) -> bool:
        """Count a job of C{lane} while others wait; False: it has had its share, its run ends."""
        spent = self._spent.get(lane, 0)
        if spent >= self.SHARE:
            del self._spent[lane]
            return False
        self._spent[lane] = spent + 1
        return True

    def release(self) -> None:
        """A run has ended; the first in line may ask."""
        self.used -= 1
        while self._line and (self._limit is None or self.used < self._limit):
            lane = next(iter(self._line))
            del self._line[lane]
            lane.slot_free()
        if not self._line:
            self._spent.clear()

    def forget(self, lane: Waiting) -> None:
        """A lane needs no slot any more."""
        self._line.pop(lane, None)
        self._spent.pop(lane, None)
