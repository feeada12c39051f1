"""What waits when the ways change: each message goes where the router sends it now.

Jobs that wait in a lane which is no longer theirs come back and are routed anew, likewise those that a run gives back; messages that wait
on disk, for a lane or for their time, are looked at, and come into memory where their way is another one now.  What had no way at all and
has one now is due at once; what waits for its time for any other reason goes on waiting.

All of it happens in pieces, between which the reactor has its turn, and what is read from disk only as fast as memory has room.  A further
change begins anew.  Never decides what becomes of a recipient.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, IRouter, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.parking import Parking
from twistedrelay.schedule.retry import RetrySettings, expires_at
from twistedrelay.schedule.turns import Moment, Turns
from twistedrelay.values.envelope import Job, Message, MessageStatus, Recipient, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, RouteKey

PIECE = 200  #: recipients or messages looked at in one
POLL = 0.5  #: seconds between two looks whether memory has room
REMEMBERED = 8  #: routers of changes that follow each other faster than the disk is read


class RerouteOwner(Protocol):
    """Who routes, and whose memory it is."""

    window: int

    @property
    def settings(self) -> RetrySettings:
        """The retry timeline."""

    def seconds(self) -> float:
        """Now."""

    def room(self) -> int:
        """How many messages more may be in memory."""

    def adopt(self, message: Message) -> None:
        """A message from disk comes into memory."""

    def dispatch(self, entry: Entry) -> None:
        """Send its recipients on their ways."""

    def lane_of(self, route: Route) -> Lane:
        """The lane of a route, which has this route from now on."""

    def broken(self, failure: Failure) -> None:
        """A defect to log."""


class Rerouting:
    """See the module.

    @ivar under_way: whether something is still to be looked at.
    """

    def __init__(
        self,
        router: IRouter,
        ways: IRouter,
        spool: ISpool,
        alarm: Alarm,
        events: IEventSink,
        entries: Mapping[int, Entry],
        lanes: Mapping[RouteKey, Lane],
        backlog: Backlog,
        owner: RerouteOwner,
        parking: Parking,
    ) -> None:
        """
        @param router: the one whose ways change.
        @param ways: what is gone really: its ways, and redirects.
        """
        self.under_way = False
        self._router = router
        self._ways = ways
        self._spool = spool
        self._alarm = alarm
        self._events = events
        self._entries = entries
        self._lanes = lanes
        self._backlog = backlog
        self._owner = owner
        self._parking = parking
        self._former: list[IRouter] = []  # since when all that waits was looked at
        self._round = 0

    def begin(self, router: IRouter) -> None:
        """The ways are these from now on."""
        self._former = [*self._former, self._router][-REMEMBERED:]
        self._router = router
        self._round += 1
        self.under_way = True
        for lane in self._lanes.values():
            lane.doubtful = True
        done = Turns(self._in_memory(self._round), self._alarm, self._owner.seconds).done
        done.addCallback(lambda _: Deferred.fromCoroutine(self._on_disk(self._round)))
        done.addErrback(self._trouble)

    def comes_back(self, lane: Lane, job: Job) -> bool:
        """Whether a job that a run gave back to its lane goes elsewhere now; then it does."""
        entry = self._entries.get(job.message.id)
        if entry is None or not self._leaves(lane, job):
            return False
        self._free(entry, job)
        self._alarm.at(self._owner.seconds(), entry)
        return True

    def stop(self) -> None:
        """Look at nothing more."""
        self._round += 1

    # in memory

    def _in_memory(self, this: int) -> Generator[None, None, None]:
        for lane in list(self._lanes.values()):
            yield from self._sort_out(lane, this)
        looked_at = 0
        for entry in list(self._entries.values()):
            if this != self._round:
                return
            self._hurry(entry)
            looked_at += len(entry.message.recipients)
            if looked_at >= PIECE:
                looked_at = 0
                yield

    def _sort_out(self, lane: Lane, this: int) -> Generator[None, None, None]:
        """Jobs that wait in a lane and go elsewhere now."""
        jobs, left = list(lane.waiting), 0
        for start in range(0, len(jobs), PIECE):
            if this != self._round:
                return
            leaving = {id(job) for job in jobs[start : start + PIECE] if self._leaves(lane, job)}
            left += len(leaving)
            if leaving:
                self._send_on(lane, leaving)
            yield
        if jobs and left == len(jobs):
            lane.dismiss()

    def _send_on(self, lane: Lane, leaving: set[int]) -> None:
        """Route the jobs anew that are still there."""
        for job in lane.waiting.extract(lambda job: id(job) in leaving):
            entry = self._entries[job.message.id]
            self._free(entry, job)
            self._owner.dispatch(entry)

    def _leaves(self, lane: Lane, job: Job) -> bool:
        """Whether a job's recipients do not all go this way any more.  Where they do, the lane has the way as it is now."""
        for recipient in job.recipients:
            way = self._ways.route(job.message, recipient)
            if isinstance(way, Reply) or way.key != lane.route.key:
                return True
            if way is not lane.route:
                self._owner.lane_of(way)
        return False

    def _free(self, entry: Entry, job: Job) -> None:
        entry.busy.difference_update(recipient.index for recipient in job.recipients)
        entry.wait_until(self._owner.seconds())

    def _hurry(self, entry: Entry) -> None:
        """What had no way and has one now is due."""
        if entry.message.status is MessageStatus.NORMAL and self._entries.get(entry.message.id) is entry:
            found = self._with_a_way_now(entry.message)
            free = [recipient for recipient in found if recipient.index not in entry.busy]
            if free:
                for recipient in free:
                    recipient.next_attempt = 0.0
                entry.wait_until(self._owner.seconds())
                self._owner.dispatch(entry)

    def _with_a_way_now(self, message: Message) -> list[Recipient]:
        """The recipients that wait for their time and had no way, but have one now."""
        now = self._owner.seconds()
        if message.parameters.hold_until > now:
            return []
        waiting = [each for each in message.recipients if each.state is RecipientState.READY and each.next_attempt > now]
        router = self._router
        return [each for each in waiting if self._had_none(message, each) and isinstance(router.route(message, each), Route)]

    def _had_none(self, message: Message, recipient: Recipient) -> bool:
        return any(isinstance(router.route(message, recipient), Reply) for router in self._former)

    # on disk

    async def _on_disk(self, this: int) -> None:
        if this != self._round:
            return
        self._parking.flush()
        await self._spool.park((), "", 0.0)  # what was on its way there before has arrived then
        position = (-math.inf, 0)
        while this == self._round:
            if self._owner.room() <= min(PIECE, self._owner.window // 4) or self._backlog.paused:
                await Moment(self._alarm, self._owner.seconds() + POLL).done
                continue
            rows = await self._spool.waiting(position, min(PIECE, self._owner.window // 4))
            if not rows:
                self.under_way, self._former = False, []
                return
            if await self._look_at(rows, this):
                position = rows[-1][:2]

    async def _look_at(self, rows: Iterable[tuple[float, int, str]], this: int) -> bool:
        """False where it was no time to look."""
        now = self._owner.seconds()
        waiting = {id: (when, name) for when, id, name in rows if id not in self._entries and (name or when > now)}
        elsewhere, pauses = [], self._backlog.pauses
        for message in await self._backlog.load(list(waiting)):
            when, name = waiting[message.id]
            if this != self._round or pauses != self._backlog.pauses:  # a sick disk shows what was refused
                return False
            if message.status is not MessageStatus.NORMAL:
                continue
            if name:
                if self._is_misplaced(message, tuple(json.loads(name))) or expires_at(message, self._owner.settings) < when:
                    elsewhere.append(message.id)
            elif found := self._with_a_way_now(message):
                for recipient in found:
                    recipient.next_attempt = 0.0
                self._owner.adopt(message)
        if elsewhere:
            await self._backlog.bring(elsewhere)
        return True

    def _is_misplaced(self, message: Message, key: tuple[object, ...]) -> bool:
        """Whether a message that waits for a lane goes elsewhere now."""
        for recipient in message.recipients:
            if recipient.state is RecipientState.READY:
                way = self._ways.route(message, recipient)
                if isinstance(way, Reply) or way.key != key:
                    return True
        return False

    def _trouble(self, failure: Failure) -> None:
        """What was not looked at is routed when its time comes."""
        self.under_way = False
        self._events.emit(ServiceEvent("error", f"waiting messages could not be routed anew: {failure.getErrorMessage()}"))
