"""Reads back what is parked: lanes that ask at about the same time share the reads, and the commit, that each of them would need.

After a start thousands of lanes come back like this.  How much a lane may have is asked when its turn has come, and only so much is read
that the reactor is not held for long.  A name without a lane is read on until there is nothing more.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import ISpool
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.lanes import Lane

LANES = 50  #: in one load at most: each of them may begin a connection at once
LEAST = 16  #: messages asked for where nobody knows that there are so many


class PullsOwner(Protocol):
    """Whose memory is filled."""

    window: int

    def room(self) -> int:
        """How many messages more may be in memory."""


class Pulls:
    """See the module.

    @ivar names: what is parked for, with how often something was parked there.
    @ivar counts: how many messages, as far as is known.
    @param lanes: by name.
    @param space: how many messages more a lane may have in memory.
    @param trouble: is told why the disk could not be read or written.
    """

    def __init__(
        self,
        spool: ISpool,
        backlog: Backlog,
        known: Container[int],
        lanes: Mapping[str, Lane],
        owner: PullsOwner,
        page: int,
        space: Callable[[Lane], int],
        trouble: Callable[[Failure], None],
    ) -> None:
        self.names: Counter[str] = Counter()
        self.counts: dict[str, int] = {}
        self._spool = spool
        self._backlog = backlog
        self._known = known
        self._lanes = lanes
        self._owner = owner
        self._page = page
        self._space = space
        self._trouble = trouble
        self._line: OrderedDict[str, int] = OrderedDict()  # who asked, and for how many at most
        self._working = False
        self._stopped = False

    def stop(self) -> None:
        """Touch the disk no more."""
        self._stopped = True

    def pull(self, name: str, most: int) -> None:
        """Messages are wanted that are parked under a name."""
        if not self._goes:
            return
        self._line.setdefault(name, most)
        if not self._working:
            self._working = True
            Deferred.fromCoroutine(self._work()).addErrback(self._trouble).addBoth(self._worked)

    @property
    def _goes(self) -> bool:
        return not (self._stopped or self._backlog.paused)

    async def _work(self) -> None:
        while self._line and self._goes:
            asked = self._next()
            if asked:
                await self._load(asked)

    def _worked(self, _: None) -> None:
        self._working = False
        self._line.clear()  # after trouble; they ask again, or are found by the next sweep

    def _next(self) -> dict[str, int]:
        """The first in line, with what they may have."""
        asked: dict[str, int] = {}
        window, room, expected = self._owner.window, self._owner.room(), 0
        while self._line and len(asked) < LANES and expected < self._page:
            name, most = self._line.popitem(last=False)
            lane, count = self._lanes.get(name), self.counts.get(name, 0)
            space = self._space(lane) if lane is not None else room if room * 4 >= window else 0
            limit = min(most, room, space, max(2 * count, LEAST))
            if limit > 0 and name in self.names:
                asked[name] = limit
                room -= limit
                expected += min(limit, count)
        return asked

    async def _load(self, asked: dict[str, int]) -> None:
        before = {name: self.names[name] for name in asked}
        found = await self._spool.parked(asked)
        for name, ids in found.items():
            if len(ids) < asked[name] and self.names[name] == before[name]:
                del self.names[name]
                self.counts.pop(name, None)
        new = {name: [number for number in ids if number not in self._known] for name, ids in found.items()}
        wanted = [number for ids in new.values() for number in ids]
        if wanted and not self._stopped:
            await self._backlog.bring(wanted)
        for name, ids in new.items():
            if name in self.names:
                self.counts[name] = max(self.counts.get(name, 0) - len(ids), 0)
                if ids and name not in self._lanes:
                    self._line.setdefault(name, self._page)
