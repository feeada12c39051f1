"""Which messages are in memory, where there are more than it may hold: the rest waits on disk, each for its lane.

A lane that moves may hold as many messages as are still free for all others, so a flood for one next hop leaves room for every other one.
A lane that backs off or is suspended gets a page of what memory has to spare, and gives back when others need it.  What does not fit is
parked: put on disk once, under the lane's name, and not looked at again before the lane has room for it, or its sender is to be told of
the delay, or it expires.  Urgent messages and senders with little in memory are let in past a flood.

After a start there are no lanes: one page for each that messages are parked for brings it back, and it pulls the rest.  A name that no
message goes by any more (another configuration) is pulled empty.

Never decides what becomes of a recipient.  A message in memory is never parked on disk: it is taken out of there first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.backlog import TROUBLE_POLL, Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import MOST, Lane
from twistedrelay.schedule.memory import Memory
from twistedrelay.schedule.retry import RetrySettings, delayed_at, expires_at
from twistedrelay.values.envelope import Job, Message, RecipientState
from twistedrelay.values.events import ServiceEvent

GATHER = 0.02  #: seconds in which messages gather that are parked together
ROUND = 10.0  #: parked messages come back in loads, not one by one
SWEEP = 15.0  #: seconds between two looks for names whose lane is gone
COUNT = 300.0  #: seconds between two counts of what is parked
RELIEF = 1.0  #: seconds between two attempts to get messages of dead next hops out of memory

_STILL = frozenset({"Retry", "Suspended"})


def waits_until(entry: Entry, settings: RetrySettings) -> float:
    """When something has to be done about a message that nobody sends."""
    message = entry.message
    until = expires_at(message, settings)
    for recipient in message.recipients:
        if recipient.state is RecipientState.READY and not recipient.delay_notified:
            return min(until, delayed_at(message, settings))
    return until


class ParkingOwner(Protocol):
    """Whose memory it is."""

    window: int

    def room(self) -> int:
        """How many messages more may be in memory."""

    def adopt(self, message: Message) -> None:
        """A message from disk comes into memory."""

    def rests(self, entry: Entry) -> None:
        """A message waits on disk now: it leaves memory."""


class Parking:
    """See the module.

    @ivar settings: the retry timeline.
    @param lanes: by name.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        spool: ISpool,
        alarm: Alarm,
        events: IEventSink,
        settings: RetrySettings,
        backlog: Backlog,
        entries: Memory,
        lanes: Mapping[str, Lane],
        owner: ParkingOwner,
        page: int,
    ) -> None:
        self._seconds = seconds
        self._spool = spool
        self._alarm = alarm
        self._events = events
        self.settings = settings
        self._backlog = backlog
        self._entries = entries
        self._lanes = lanes
        self._owner = owner
        self._page = page
        self._names: Counter[str] = Counter()  # what is parked for, with how often something was parked there
        self._counts: dict[str, int] = {}  # how many messages, as far as is known
        self._counted_at = -math.inf
        self._pulling: set[str] = set()
        self._gathered: dict[tuple[str, float], list[Entry]] = {}
        self._gathering = 0
        self._flush_at = math.inf
        self._sweep_at = math.inf
        self._sweeping = False
        self._relieved_at = -math.inf
        self._stopped = False

    # memory

    def goes_first(self, message: Message) -> bool:
        """Whether a message is let in past others: it is urgent, or its sender has little in memory."""
        if (message.parameters.priority or 0) > 0:
            return True
        return self._entries.of_sender(message) <= self._owner.window // 256

    def space(self, lane: Lane) -> int:
        """How many messages more a lane may have in memory."""
        window, free, held = self._owner.window, self._owner.room(), len(lane)
        if lane.status in _STILL:
            return min(lane.room(), self._page - held, free - window // 2)
        return max(min(lane.room(), (free - held) // 2), 0 if held or lane.active else 1)

    def takes(self, lane: Lane, message: Message) -> bool:
        """Whether a message may wait for a lane in memory."""
        window, held = self._owner.window, lane.waiting.size
        if held < MOST and window - len(self._entries) - held > 1 and not lane.condition.next_retry and lane.suspension is None:
            return True  # as space says it for a lane that moves
        if self.space(lane) > 0:
            return True
        return lane.status not in _STILL and self._owner.room() * 8 > self._owner.window and self.goes_first(message)

    def count(self, lane: Lane) -> int:
        """How many messages wait for a lane on disk, roughly."""
        return self._counts.get(lane.name, 0)

    def park(self, entry: Entry, lane: Lane) -> bool:
        """Put a message on disk whose READY recipients are all busy for this lane; False: its time there would be over."""
        now = self._seconds()
        until = waits_until(entry, self.settings)
        if until <= now:
            return False
        if until - now > 60 * ROUND:
            until = math.ceil(until / ROUND) * ROUND
        self._gathered.setdefault((lane.name, until), []).append(entry)
        self._gathering += 1
        if self._gathering >= self._page:
            self._flush()
        elif self._flush_at == math.inf:
            self._flush_at = now + GATHER
            self._alarm.at(self._flush_at, self)
        return True

    def wants(self, lane: Lane) -> None:
        """See L{twistedrelay.schedule.lanes.LaneOwner}."""
        if lane.name not in self._names or lane.status in _STILL or (self._backlog.blocked and len(lane)):
            return
        if self.space(lane) >= min(len(lane), self._page):
            self._pull(lane.name)

    def relieve(self) -> None:
        """Where memory gets short: what waits for next hops that are not tried now goes to disk, until half is free."""
        if len(self._entries) * 4 <= self._owner.window * 3:
            return
        now = self._seconds()
        self._sweep_in(SWEEP)  # later there may be more of them
        if now - self._relieved_at < RELIEF:
            return
        self._relieved_at = now
        excess = self._owner.window // 2 - self._owner.room()
        for lane in [lane for lane in self._lanes.values() if lane.status in _STILL]:
            excess -= self._relieve(lane)
            if excess <= 0:
                break

    def _relieve(self, lane: Lane) -> int:
        entries = self._entries

        def movable(job: Job) -> bool:
            entry = entries[job.message.id]
            return entry.remaining == len(job.recipients) and not entry.records and entry.removing is None

        moved = 0
        for job in lane.waiting.extract(movable):
            if self.park(entries[job.message.id], lane):
                moved += 1
            else:
                lane.add([job])
        return moved

    # the disk

    def start(self) -> None:
        """Find out which lanes messages are parked for, and bring those lanes back."""
        self._sweeping = True
        Deferred.fromCoroutine(self._sweep()).addErrback(self._trouble, SWEEP).addBoth(self._swept)

    def stop(self) -> None:
        """Touch the disk no more."""
        self._stopped = True

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if self._flush_at <= now:
            self._flush()
        if self._sweep_at <= now and not self._sweeping:
            self._sweep_at = math.inf
            self._sweeping = True
            Deferred.fromCoroutine(self._sweep()).addErrback(self._trouble, SWEEP).addBoth(self._swept)

    def _flush(self) -> None:
        self._flush_at = math.inf
        gathered, self._gathered = self._gathered, {}
        self._gathering = 0
        for (name, until), entries in gathered.items():
            parking = self._spool.park([entry.message.id for entry in entries], name, until)
            parking.addCallbacks(self._parked, self._unparked, (name, until, entries), errbackArgs=(entries,))

    def _parked(self, _: None, name: str, until: float, entries: Sequence[Entry]) -> None:
        self._names[name] += 1
        self._counts[name] = self._counts.get(name, 0) + len(entries)
        self._sweep_in(SWEEP)
        for entry in entries:
            self._owner.rests(entry)
        self._backlog.expect(until)

    def _unparked(self, failure: Failure, entries: Sequence[Entry]) -> None:
        self._trouble(failure)  # they are on disk as they were, and come again from there
        for entry in entries:
            self._owner.rests(entry)

    def _pull(self, name: str) -> None:
        if name not in self._pulling and not self._stopped and not self._backlog.paused:
            self._pulling.add(name)
            pulling = Deferred.fromCoroutine(self._take(name, self._page)).addErrback(self._trouble)
            pulling.addBoth(lambda _: self._pulling.discard(name))

    async def _take(self, name: str, most: int) -> bool:
        """One load of messages for a lane; whether there may be more, and place for it."""
        before = self._names[name]
        lane = self._lanes.get(name)
        limit = min(most, self._owner.room(), self._page if lane is None else self.space(lane))
        if limit <= 0:
            return False
        found = await self._spool.parked(name, limit)
        if len(found) < limit and self._names[name] == before:
            del self._names[name]
            self._counts.pop(name, None)
        ids = [number for number in found if number not in self._entries]
        if ids and not self._stopped:
            await self._backlog.bring(ids)
        self._counts[name] = max(self._counts.get(name, 0) - len(ids), 0)
        return name in self._names and bool(ids)

    async def _look(self) -> None:
        """Find out what is parked."""
        self._counts = dict(await self._spool.parked_lanes())
        self._counted_at = self._seconds()
        for name in self._counts:
            self._names[name] += 1

    async def _sweep(self) -> None:
        """Bring lanes back that messages are parked for, as far as memory allows; wake those that have nothing to do."""
        if self._seconds() - self._counted_at >= COUNT:
            await self._look()
        self.relieve()
        if self._backlog.blocked:
            self._backlog.read()
        lost = []
        for name in list(self._names):
            lane = self._lanes.get(name)
            if lane is None:
                lost.append(name)
            elif not lane.waiting and not lane.active:
                self.wants(lane)
        share = max(1, min(self._page, self._owner.window // 2 // max(1, len(lost))))
        for name in lost:
            if self._stopped or self._backlog.paused or self._owner.room() * 4 < self._owner.window:
                return
            if name in self._pulling:
                continue
            self._pulling.add(name)
            try:
                more = await self._take(name, share)
                while more and self._lanes.get(name) is None and not self._stopped and self._owner.room() > self._page:
                    more = await self._take(name, self._page)
            finally:
                self._pulling.discard(name)

    def _swept(self, _: None) -> None:
        self._sweeping = False
        if self._names or self._backlog.blocked:
            self._sweep_in(SWEEP)

    def _sweep_in(self, seconds: float) -> None:
        if self._sweep_at == math.inf and not self._sweeping:
            self._sweep_at = self._seconds() + seconds
            self._alarm.at(self._sweep_at, self)

    def _trouble(self, failure: Failure, retry_in: float = TROUBLE_POLL) -> None:
        self._events.emit(ServiceEvent("error", f"waiting messages could not be parked or read: {failure.getErrorMessage()}"))
        self._backlog.expect(self._seconds() + retry_in)
