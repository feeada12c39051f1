"""Which messages are in memory, where there are more than it may hold: the rest waits on disk, each for its lane.

A lane that moves may hold as many messages as are still free for all others, so a flood for one next hop leaves room for every other one.
A lane that backs off or is suspended gets a page of what memory has to spare, and gives back when others need it; one that tries a dead
next hop again needs a single message for that.  What does not fit is parked: put on disk once, under the lane's name, and not looked at
again before the lane has room for it, or its sender is to be told of the delay, or it expires.  Urgent messages and senders with little in
memory are let in past a flood.

After a start there are no lanes: one page for each that messages are parked for brings it back, and it pulls the rest.  A name that no
message goes by any more (another configuration) is pulled empty.

Never decides what becomes of a recipient.  A message in memory is never parked on disk: it is taken out of there first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.backlog import TROUBLE_POLL, Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import MOST, Lane
from twistedrelay.schedule.memory import Memory
from twistedrelay.schedule.pulls import Pulls
from twistedrelay.schedule.retry import RetrySettings, delayed_at, expires_at
from twistedrelay.schedule.turns import Turns
from twistedrelay.values.envelope import Job, Message, RecipientState
from twistedrelay.values.events import ServiceEvent

GATHER = 0.02  #: seconds in which messages gather that are parked together
ROUND = 10.0  #: parked messages come back in loads, not one by one
NAMES = 1000  #: looked at in one turn of the reactor
SWEEP = 15.0  #: seconds between two looks for names whose lane is gone
COUNT = 300.0  #: seconds between two counts of what is parked
MOVED = 250  #: messages that go to disk in one turn of the reactor
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
        self._pulls = Pulls(spool, backlog, entries.keys(), lanes, owner, page, self.space, self._trouble)
        self._counted_at = -math.inf
        self._changed = False
        self._gathered: dict[tuple[str, float], list[Entry]] = {}
        self._gathering = 0
        self._flush_at = math.inf
        self._sweep_at = math.inf
        self._sweeping = False
        self._relieved_at = -math.inf

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
        if lane.condition.failures:  # one message shows whether it is back
            return 0 if held or lane.active else 1
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
        return self._pulls.counts.get(lane.name, 0)

    def counted(self) -> Deferred[None]:
        """Fires when L{count} knows what others have changed; where the disk cannot be read, it stays as it is."""
        return Deferred.fromCoroutine(self._look()).addErrback(lambda _: self.recount()) if self._changed else succeed(None)

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
            self.flush()
        elif self._flush_at == math.inf:
            self._flush_at = now + GATHER
            self._alarm.at(self._flush_at, self)
        return True

    def wants(self, lane: Lane) -> None:
        """See L{twistedrelay.schedule.lanes.LaneOwner}."""
        if lane.name not in self._pulls.names or lane.status in _STILL or (self._backlog.blocked and len(lane)):
            return
        if self.space(lane) >= max(1, min(len(lane), self._page)):
            self._pulls.pull(lane.name, self._page)

    def relieve(self) -> None:
        """Where memory gets short: what waits for next hops that are not tried now goes to disk, until half is free."""
        if len(self._entries) * 4 <= self._owner.window * 3:
            return
        now = self._seconds()
        self._sweep_in(SWEEP)  # later there may be more of them
        if now - self._relieved_at < RELIEF:
            return
        self._relieved_at = math.inf  # until this is over
        excess = self._owner.window // 2 - self._owner.room()
        Turns(self._relieving(excess), self._alarm, self._seconds).done.addErrback(self._trouble).addCallback(self._relieved)

    def _relieved(self, _: None) -> None:
        self._relieved_at = self._seconds()

    def _relieving(self, excess: int) -> Generator[None, None, None]:
        """At least so many messages of next hops that are not tried now go to disk, where there are as many."""
        moved = seen = 0
        for lane in list(self._lanes.values()):
            jobs = list(lane.waiting) if lane.status in _STILL else []
            for start in range(0, len(jobs), MOVED):
                if seen >= MOVED:
                    seen = 0
                    yield
                if lane.status not in _STILL:
                    break
                piece = jobs[start : start + MOVED]
                seen += len(piece)
                moved += self._relieve(lane, frozenset(map(id, piece)))
            if moved >= excess:
                return

    def _relieve(self, lane: Lane, jobs: frozenset[int]) -> int:
        """How many of some jobs were moved: those that still wait there, alone of their messages."""
        entries = self._entries

        def movable(job: Job) -> bool:
            if id(job) not in jobs:
                return False
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
        self._pulls.stop()

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back."""
        self._relieved_at += seconds
        self._counted_at += seconds

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if self._flush_at <= now:
            self.flush()
        if self._sweep_at <= now and not self._sweeping:
            self._sweep_at = math.inf
            self._sweeping = True
            Deferred.fromCoroutine(self._sweep()).addErrback(self._trouble, SWEEP).addBoth(self._swept)

    def flush(self) -> None:
        """Hand over to the disk what gathers: who looks there behind this, or changes something, finds it."""
        self._flush_at = math.inf
        gathered, self._gathered = self._gathered, {}
        self._gathering = 0
        for (name, until), entries in gathered.items():
            parking = self._spool.park([entry.message.id for entry in entries], name, until)
            parking.addCallbacks(self._parked, self._unparked, (name, until, entries), errbackArgs=(entries,))

    def _parked(self, _: None, name: str, until: float, entries: Sequence[Entry]) -> None:
        pulls = self._pulls
        pulls.names[name] += 1
        pulls.counts[name] = pulls.counts.get(name, 0) + len(entries)
        self._sweep_in(SWEEP)
        for entry in entries:
            self._owner.rests(entry)
        self._backlog.expect(until)

    def _unparked(self, failure: Failure, entries: Sequence[Entry]) -> None:
        self._trouble(failure)  # they are on disk as they were, and come again from there
        for entry in entries:
            self._owner.rests(entry)

    def recount(self) -> None:
        """Others have changed what is parked: count it for who asks next, or soon."""
        self._changed = True
        self._count_soon()

    def _count_soon(self) -> None:
        self._counted_at = -math.inf
        self._sweep_in(SWEEP)

    async def _look(self) -> None:
        """Find out what is parked; what changes meanwhile is another count's business."""
        self._changed, self._counted_at = False, self._seconds()
        self._pulls.counts = dict(await self._spool.parked_lanes())
        self._pulls.names.update(self._pulls.counts.keys())

    async def _sweep(self) -> None:
        """Bring lanes back that messages are parked for, as far as memory allows; wake those that have nothing to do."""
        if self._seconds() - self._counted_at >= COUNT:
            await self._look()
        self.relieve()
        if self._backlog.blocked:
            self._backlog.read()
        lost = await Turns(self._seek(), self._alarm, self._seconds).done
        share = max(1, min(self._page, self._owner.window // 2 // max(1, len(lost))))
        for name in lost:
            self._pulls.pull(name, share)

    def _seek(self) -> Generator[None, None, list[str]]:
        """The names whose lane is gone; lanes that have nothing to do are woken."""
        lost = []
        for number, name in enumerate(list(self._pulls.names), 1):
            lane = self._lanes.get(name)
            if lane is None:
                lost.append(name)
            elif not lane.waiting.size and not lane.active:
                self.wants(lane)
            if number % NAMES == 0:
                yield
        return lost

    def _swept(self, _: None) -> None:
        self._sweeping = False
        if self._pulls.names or self._backlog.blocked or self._counted_at == -math.inf:
            self._sweep_in(SWEEP)

    def _sweep_in(self, seconds: float) -> None:
        if self._sweep_at == math.inf and not self._sweeping:
            self._sweep_at = self._seconds() + seconds
            self._alarm.at(self._sweep_at, self)

    def _trouble(self, failure: Failure, retry_in: float = TROUBLE_POLL) -> None:
        self._events.emit(ServiceEvent("error", f"waiting messages could not be parked or read: {failure.getErrorMessage()}"))
        self._backlog.expect(self._seconds() + retry_in)
        self._count_soon()  # nobody knows any more what is parked
