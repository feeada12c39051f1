"""Messages that wait get their ways decided anew: those of a queue (Retry-Queue -Resubmit), or those that are redirected.

What waits in a lane is given back at once, in pieces; what is parked for it or waits for its own next attempt follows from the disk, page
by page.  What is being sent ends as it began.  Suspended and poison messages stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.parking import Parking
from twistedrelay.schedule.redirects import UNREACHABLE, Redirects
from twistedrelay.schedule.turns import Turns
from twistedrelay.values.envelope import Job, Message, MessageStatus, Recipient, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import RouteKey

PIECE = 100  #: messages in one turn of the reactor
PAGE = 500  #: messages taken from disk at once


def next_hop_of(name: str) -> str:
    """The queue of a lane by the name that stands for it on disk."""
    try:
        return str(json.loads(name)[1])
    except (ValueError, LookupError, TypeError):
        return ""


class ResubmissionOwner(Protocol):
    """Whose messages they are."""

    def seconds(self) -> float:
        """Now."""

    def dispatch(self, entry: Entry) -> None:
        """Route the recipients that are due."""


class Resubmission:
    """See the module."""

    def __init__(
        self,
        spool: ISpool,
        alarm: Alarm,
        events: IEventSink,
        redirects: Redirects,
        entries: Mapping[int, Entry],
        lanes: Mapping[RouteKey, Lane],
        backlog: Backlog,
        owner: ResubmissionOwner,
        parking: Parking,
    ) -> None:
        self._spool = spool
        self._alarm = alarm
        self._events = events
        self._redirects = redirects
        self._entries = entries
        self._lanes = lanes
        self._backlog = backlog
        self._owner = owner
        self._parking = parking
        self._under_way: set[str] = set()

    def queue(self, identity: str) -> None:
        """The messages of a queue: those of its lanes, and those that wait for their own next attempt."""
        self.lanes([lane for lane in self._lanes.values() if lane.route.next_hop == identity])
        self._in_turns(self._free(identity))
        if identity not in self._under_way:
            self._under_way.add(identity)
            work = Deferred.fromCoroutine(self._from_disk(identity)).addErrback(self._trouble, identity)
            work.addBoth(lambda _: self._under_way.discard(identity))

    def lanes(self, lanes: Iterable[Lane]) -> None:
        """What waits in memory for some lanes."""
        jobs: list[Job] = []
        for lane in lanes:
            jobs += lane.waiting.drain()
            if not lane.next_retry:
                lane.go_on()
        self._again(jobs_of(jobs))

    async def redirect(self, ids: Sequence[int], to: str) -> int:
        """Chosen messages go to another server, or (C{""}) their own ways again; how many there were.  Fails with L{SpoolError}."""
        self._parking.flush()  # what is parked behind this would wait for its former next hop
        found = await self._spool.redirect(ids, to)
        for number in ids:
            self._backlog.gone(number)  # a read under way has it as it was
            entry = self._entries.get(number)
            if entry is not None and entry.message.status is not MessageStatus.POISON:
                entry.message.redirect = to
        wanted = frozenset([number for number in ids if (entry := self._entries.get(number)) is not None and entry.busy])
        taken = jobs_of(job for lane in (self._lanes.values() if wanted else ()) for job in lane.remove(wanted))
        self._again(taken)
        self._in_turns(self._due_now([entry for entry in map(self._entries.get, ids) if entry is not None], ""))
        self._backlog.expect(self._owner.seconds())
        return found

    # inside

    def _again(self, taken: Mapping[int, Collection[int]]) -> None:
        """Recipients that were taken out of lanes look for their way."""
        entries = [self._entries[number] for number in taken if number in self._entries]
        for entry in entries:
            entry.busy.difference_update(taken[entry.message.id])
        self._in_turns(self._dispatch(entries))

    def _dispatch(self, entries: Sequence[Entry]) -> Generator[None, None, None]:
        for place, entry in enumerate(entries, 1):
            if self._entries.get(entry.message.id) is entry:
                self._owner.dispatch(entry)
            if not place % PIECE:
                yield

    def _free(self, identity: str) -> Generator[None, None, None]:
        """Messages in memory that wait for their own next attempt."""
        entries = [entry for entry in self._entries.values() if len(entry.busy) < entry.remaining]
        yield from self._due_now(entries, identity)

    def _due_now(self, entries: Sequence[Entry], identity: str) -> Generator[None, None, None]:
        done = 0
        for entry in entries:
            now, found = self._owner.seconds(), False
            done += 1
            for recipient in entry.message.recipients:
                if recipient.state is RecipientState.READY and recipient.index not in entry.busy and recipient.next_attempt > now:
                    done += 1
                    if not identity or self._is_for(entry.message, recipient, identity):
                        recipient.next_attempt = min(recipient.next_attempt, entry.message.parameters.hold_until)
                        entry.wait_until(recipient.next_attempt)
                        found = True
            if found and self._entries.get(entry.message.id) is entry:
                self._owner.dispatch(entry)
            if done >= PIECE:
                done = 0
                yield

    def _is_for(self, message: Message, recipient: Recipient, identity: str) -> bool:
        """Whether a recipient's mail belongs to a queue, or would without a redirect."""
        ways = (self._redirects.route(message, recipient), self._redirects.router.route(message, recipient))
        return any((UNREACHABLE if isinstance(way, Reply) else way.next_hop) == identity for way in ways)

    async def _from_disk(self, identity: str) -> None:
        self._parking.flush()
        await self._spool.park((), "", 0.0)  # what was on its way there before has arrived then
        for name, count in await self._spool.parked_lanes():
            if next_hop_of(name) != identity:
                continue
            for _ in range(0, count, PAGE):  # some may be parked again meanwhile: they have had their turn
                found = await self._spool.parked({name: PAGE})
                await self._spool.park(found[name], "", 0.0)
                self._backlog.expect(self._owner.seconds())
                self._parking.recount()
        after: int | None = None
        while True:
            page = await self._spool.browse(PAGE, after)
            ids = [message.id for message in page.messages if self._waits(message, identity)]
            if ids:
                await self._spool.set_status(ids, MessageStatus.NORMAL, None, MessageStatus.NORMAL)
                self._backlog.expect(self._owner.seconds())
            if page.position is None:
                return
            after = page.position

    def _waits(self, message: Message, identity: str) -> bool:
        """Whether a message is on disk only and waits for a time of its own."""
        if message.id in self._entries or message.status is not MessageStatus.NORMAL:
            return False
        now = self._owner.seconds()
        return any(
            recipient.state is RecipientState.READY and recipient.next_attempt > now and self._is_for(message, recipient, identity)
            for recipient in message.recipients
        )

    def _in_turns(self, work: Generator[None, None, None]) -> None:
        Turns(work, self._alarm, self._owner.seconds).done.addErrback(self._trouble, "in memory")

    def _trouble(self, failure: Failure, where: str) -> None:
        self._events.emit(ServiceEvent("error", f"waiting messages could not be routed again ({where}): {failure.getErrorMessage()}"))


def jobs_of(jobs: Iterable[Job]) -> dict[int, set[int]]:
    """The indexes of recipients by message."""
    found: dict[int, set[int]] = {}
    for job in jobs:
        found.setdefault(job.message.id, set()).update(recipient.index for recipient in job.recipients)
    return found
