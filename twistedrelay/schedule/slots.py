"""How many delivery runs there may be at once, and whose turn it is when there are no more: over all lanes, or over those of one login.

A lane without a run that asks in vain stands in line; the slot of a run that ends goes to the first in line.  While lanes wait, a lane that
holds more slots than an equal share, or whose share of jobs is done, is told to let its run end (L{Slots.spend}); so neither one busy lane
nor many keep the others out.  Lanes that failed last time get half of the slots at most: next hops that never answer must not hold all.
They stand in a line of their own, however many they are: nobody walks past them, and nobody makes room for them while their half is taken.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol


class Waiting(Protocol):
    """Who asks for slots."""

    def slot_free(self) -> None:
        """A slot may be free now: ask again if one is still needed."""


class Slots:
    """The slots.

    @ivar limit: how many there are, or None: as many as are wanted.
    @ivar used: how many are taken.
    @ivar line: who waits for one, in order of asking.
    """

    SHARE = 100  #: jobs per turn while others wait

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._line: OrderedDict[Waiting, int] = OrderedDict()  # by when they asked; a plain dict is slow to give its first
        self._probes: OrderedDict[Waiting, int] = OrderedDict()  # likewise, those that failed last time
        self._asked = 0
        self._spent: dict[Waiting, int] = {}
        self._holders: dict[Waiting, int] = {}
        self.used = 0
        self.probing = 0

    @property
    def contended(self) -> bool:
        """Whether someone waits for a slot that another lane could leave to him."""
        return bool(self._line) or (bool(self._probes) and self._may_probe)

    @property
    def scarce(self) -> bool:
        """Whether more than half of them are taken."""
        return self.limit is not None and self.used * 2 > self.limit

    def take(self, lane: Waiting, *, wait: bool = True, probe: bool = False) -> bool:
        """A slot for C{lane}.  False: there is none; with C{wait} it stands in line now.

        @param probe: its next hop failed last time.
        """
        if self.limit is None or (self.used < self.limit and (self._may_probe or not probe)):
            self.used += 1
            self.probing += probe
            self._holders[lane] = self._holders.get(lane, 0) + 1
            return True
        if wait:
            line, other = (self._probes, self._line) if probe else (self._line, self._probes)
            self._asked += 1
            line.setdefault(lane, other.pop(lane, self._asked))
        return False

    def spend(self, lane: Waiting) -> bool:
        """Count a job of C{lane} while others wait; False: it has had its share, its run ends."""
        held = self._holders.get(lane, 0)
        if self.limit is not None and held > 1 and held * (len(self._holders) + len(self._line) + len(self._probes)) > self.limit:
            return False
        spent = self._spent.get(lane, 0)
        if spent >= self.SHARE:
            del self._spent[lane]
            return False
        self._spent[lane] = spent + 1
        return True

    def release(self, lane: Waiting, *, probe: bool = False) -> None:
        """A run of C{lane} has ended; the first in line may ask."""
        self.used -= 1
        self.probing -= probe
        held = self._holders.pop(lane)
        if held > 1:
            self._holders[lane] = held - 1
        self._offer()

    def change(self, limit: int | None) -> None:
        """More or fewer; runs that are too many end by themselves."""
        self.limit = limit
        self._offer()

    def _offer(self) -> None:
        """Let those ask who wait, while there are free slots."""
        asked = len(self._line) + len(self._probes)
        while asked and self.contended and (self.limit is None or self.used < self.limit):
            asked -= 1
            self._first_line().popitem(last=False)[0].slot_free()
        if not self.contended:
            self._spent.clear()

    def forget(self, lane: Waiting) -> None:
        """A lane needs no slot any more."""
        self._line.pop(lane, None)
        self._probes.pop(lane, None)
        self._spent.pop(lane, None)

    def _first_line(self) -> OrderedDict[Waiting, int]:
        """The line whose first has waited longest, of those that may go."""
        line, probes = self._line, self._probes
        if not line or (probes and self._may_probe and next(iter(probes.values())) < next(iter(line.values()))):
            return probes
        return line

    @property
    def _may_probe(self) -> bool:
        return self.limit is None or self.probing * 2 < self.limit
