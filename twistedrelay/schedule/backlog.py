"""Reads back what waits on disk only: after a start, when memory has room again, and when its time comes.

Messages beyond the memory window stay in the spool alone, and so do those that wait long.  What is remembered here is a single time: when
something on disk may be due.  A message that leaves memory while a read is under way is not taken from that read, which may show
it as it was before; the next read finds it as it is.  Nor is anything taken from a read while the spool is sick: a message whose
store was refused may still be seen then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.turns import Moment
from twistedrelay.values.envelope import Message
from twistedrelay.values.events import ServiceEvent

PAGE = 500  #: messages loaded at once
PIECE = 100  #: of them that come into memory in one turn of the reactor: each may begin a lane
READ_AHEAD = 10_000  #: ids asked for at once, beyond those already in memory
FOREVER = 1e12  #: later than any due time
TROUBLE_POLL = 10.0  #: seconds until the next try when the spool could not be read


class BacklogOwner(Protocol):
    """Whose memory is filled."""

    def room(self) -> int:
        """How many messages more may be in memory."""

    def cramped(self) -> None:
        """There is less room than is needed."""

    def adopt(self, message: Message) -> None:
        """A message from disk comes into memory."""


class Backlog:
    """See the module.

    @ivar blocked: something is due on disk, but there was no room for it.
    @ivar paused: the spool is sick, and nothing is taken from it.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        spool: ISpool,
        alarm: Alarm,
        events: IEventSink,
        known: Collection[int],
        owner: BacklogOwner,
        page: int = PAGE,
    ) -> None:
        self.blocked = False
        self._page = page
        self._seconds = seconds
        self._spool = spool
        self._alarm = alarm
        self._events = events
        self._known = known
        self._owner = owner
        self._due = math.inf
        self._reading = False
        self._reads: dict[object, set[int]] = {}  # what has left memory since each began
        self._stopped = False
        self.paused = False
        self.pauses = 0

    def stop(self) -> None:
        """Read nothing any more."""
        self._stopped = True

    def pause(self) -> None:
        """The spool is sick: take nothing from it."""
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        """The spool is well: read what is due."""
        self.paused = False
        self._due = min(self._due, self._seconds())
        self.read()

    def expect(self, when: float) -> None:
        """A message that is on disk only is due at a time."""
        if when < self._due:
            self._due = when
            if not self._reading:
                self._alarm.at(when, self)

    def gone(self, message_id: int) -> None:
        """A message has left memory."""
        for gone in self._reads.values():
            gone.add(message_id)

    @contextmanager
    def _noting(self) -> Iterator[set[int]]:
        """What leaves memory from now on."""
        read = object()
        gone = self._reads[read] = set()
        try:
            yield gone
        finally:
            del self._reads[read]

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if self._due <= now:
            self.read()

    def read(self) -> None:
        """Read what is due, as far as there is room."""
        if self._reading or self._stopped or self.paused:
            return
        self.blocked = self._owner.room() < self._page
        if self.blocked:
            self._owner.cramped()
            return
        self._reading = True
        Deferred.fromCoroutine(self._read()).addErrback(self._trouble).addBoth(self._finished)

    async def load(self, ids: Sequence[int]) -> list[Message]:
        """Messages that are on disk only, as they are there now."""
        return (await self.look_for(ids))[0]

    async def look_for(self, ids: Sequence[int]) -> tuple[list[Message], list[int]]:
        """The same, and those that were in memory meanwhile, which only another look shows as they are."""
        with self._noting() as gone:
            found = await self._spool.load(ids)
        on_disk = [message for message in found if message.id not in self._known]
        return [message for message in on_disk if message.id not in gone], [message.id for message in on_disk if message.id in gone]

    async def bring(self, ids: Sequence[int]) -> None:
        """Messages that were parked come into memory: from now on they are due at once."""
        pauses = self.pauses
        await self._spool.park(ids, "", 0.0)
        try:
            await self._adopt(ids, pauses)
        finally:
            missing = any(number not in self._known for number in ids)
            if missing:  # delivered already, or not taken: whoever reads next finds out
                self.expect(self._seconds())

    async def _adopt(self, ids: Sequence[int], pauses: int) -> bool:
        """Messages come into memory, a piece in each turn of the reactor; False where it was no time for all of them.

        @param pauses: how many there had been when it was asked for.
        """
        with self._noting() as gone:
            messages = await self.load(ids)
            for start in range(0, len(messages), PIECE):
                if start:
                    await Moment(self._alarm, self._seconds()).done
                if self.pauses != pauses or self._stopped:
                    return False
                for message in messages[start : start + PIECE]:
                    if message.id not in self._known and message.id not in gone:
                        self._owner.adopt(message)
            return True

    async def _read(self) -> None:
        self._due = math.inf
        pauses = self.pauses
        limit = len(self._known) + min(READ_AHEAD, self._owner.room())
        rows = await self._spool.due(FOREVER, limit)
        now = self._seconds()
        ids: dict[int, None] = {}
        for when, message_id in rows:
            if message_id in self._known:
                continue
            if when > now:
                self.expect(when)
                break
            ids.setdefault(message_id)
        else:
            if len(rows) == limit:
                self.expect(now)  # there is more behind
        waiting = list(ids)
        for start in range(0, len(waiting), self._page):
            if self._stopped:
                return
            if self._owner.room() <= 0:
                self.expect(now)
                return
            if not await self._adopt(waiting[start : start + self._page], pauses):
                self.expect(now)
                return

    def _trouble(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", f"the spool could not be read: {failure.getErrorMessage()}"))
        self._due = min(self._due, self._seconds() + TROUBLE_POLL)

    def _finished(self, _: None) -> None:
        self._reading = False
        if self._due < math.inf and not self._stopped:
            self._alarm.at(self._due, self)
