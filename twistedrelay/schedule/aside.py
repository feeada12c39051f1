"""Messages that do not take part: suspended by an administrator (Suspend-Message), or poison.

What nobody works on leaves memory at once, what waits in a lane is taken out of it, and what is being sent goes when its transaction has
ended (PendingSuspend); results are recorded as always.  A message that takes part again is due at once.

Source: Exchange Server, "Queues and messages in queues" (Suspend-Message, Resume-Message, the poison message queue).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.memory import Memory
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import Poisoned, ServiceEvent


class AsideOwner(Protocol):
    """Whose memory it is."""

    def seconds(self) -> float:
        """Now."""

    def rests(self, entry: Entry) -> None:
        """A message waits on disk now: it leaves memory."""

    def dispatch(self, entry: Entry) -> None:
        """Send its recipients on their ways."""


class Aside:
    """See the module.

    @ivar poison: how many messages are poison, as far as is known.
    """

    def __init__(
        self, spool: ISpool, events: IEventSink, entries: Memory, lanes: Mapping[str, Lane], backlog: Backlog, owner: AsideOwner
    ) -> None:
        self.poison = 0
        self._spool = spool
        self._events = events
        self._entries = entries
        self._lanes = lanes
        self._backlog = backlog
        self._owner = owner
        self._one_by_one = DeferredLock()  # what one says of a message, the next finds

    def suspend(self, message_id: int) -> Deferred[bool]:
        """Let a message take part no more; False where there is none."""
        return self._one_by_one.run(Deferred.fromCoroutine, self._one(message_id, True))

    def suspend_all(self, ids: Sequence[int]) -> Deferred[int]:
        """Let messages take part no more; how many of them did."""
        return self._one_by_one.run(Deferred.fromCoroutine, self._suspend(ids))

    async def _one(self, message_id: int, suspended: bool) -> bool:
        entry = self._entries.get(message_id)
        kept = await self._spool.load([message_id]) if entry is None else [entry.message]
        if not kept or (kept[0].status is not MessageStatus.NORMAL) is suspended:
            return bool(kept)
        return bool(await (self._suspend if suspended else self._resume)([message_id]))

    async def _suspend(self, ids: Sequence[int]) -> int:
        held = [entry for entry in map(self._entries.get, ids) if entry is not None and entry.message.status is MessageStatus.NORMAL]
        for entry in held:  # nothing new begins from here on; they stay in memory until the disk has it
            entry.message.status = MessageStatus.SUSPENDED
            entry.records += 1
        self._take_out(held)
        try:
            found = await self._spool.set_status(ids, MessageStatus.SUSPENDED, None, MessageStatus.NORMAL)
        except Exception:
            for entry in held:
                self._take_back(entry)
            self._backlog.expect(self._owner.seconds())  # one may have left memory meanwhile
            raise
        for entry in held:
            entry.records -= 1
        entries = []
        for number in ids:
            self._backlog.gone(number)  # a read under way has it as it was
            now_there = self._entries.get(number)
            if now_there is not None and now_there.message.status is not MessageStatus.POISON:
                now_there.message.status = MessageStatus.SUSPENDED
                entries.append(now_there)
        self._take_out(entries)
        for entry in entries:
            self.settle(entry)
        return found

    def _take_back(self, entry: Entry) -> None:
        """The disk did not take it."""
        entry.records -= 1
        entry.message.status = MessageStatus.NORMAL
        if entry.remaining:
            self._owner.dispatch(entry)
        else:  # it was delivered meanwhile
            self.settle(entry)

    async def blame(self, suspects: Sequence[int], threshold: int) -> None:
        """The last process died at work on these: count it."""
        for message in await self._spool.load(suspects):
            message.failures += 1
            poison = message.failures >= threshold
            if poison and message.status is not MessageStatus.POISON:
                message.status = MessageStatus.POISON
                self._events.emit(Poisoned(message, message.failures))
            await self._spool.set_status([message.id], message.status, message.failures)

    def resume(self, message_id: int) -> Deferred[bool]:
        """Let a message take part again; False where there is none."""
        return self._one_by_one.run(Deferred.fromCoroutine, self._one(message_id, False))

    def resume_all(self, ids: Sequence[int]) -> Deferred[int]:
        """Let messages take part again; how many of them did not."""
        return self._one_by_one.run(Deferred.fromCoroutine, self._resume(ids))

    async def _resume(self, ids: Sequence[int]) -> int:
        found = await self._spool.set_status(ids, MessageStatus.NORMAL, 0, MessageStatus.SUSPENDED)
        found += await self._spool.set_status(ids, MessageStatus.NORMAL, 0, MessageStatus.POISON)
        for number in ids:
            self._backlog.gone(number)
            entry = self._entries.get(number)
            if entry is not None and entry.message.status is not MessageStatus.NORMAL:  # its last transaction has not ended yet
                entry.message.status, entry.message.failures = MessageStatus.NORMAL, 0
                self._owner.dispatch(entry)
        self._backlog.expect(self._owner.seconds())
        self.recount()
        return found

    def withdraw(self, entry: Entry) -> None:
        """Take a message out of its lanes, and out of memory where nothing is under way."""
        self._take_out([entry])
        self.settle(entry)

    def _take_out(self, entries: Sequence[Entry]) -> None:
        found = {entry.message.id: entry for entry in entries}
        for lane in self._lanes.values() if found else ():
            for job in lane.remove(found):
                found[job.message.id].busy.difference_update(recipient.index for recipient in job.recipients)

    def settle(self, entry: Entry) -> None:
        """Something has ended for a message that does not take part."""
        if entry.busy or entry.records or self._entries.get(entry.message.id) is not entry:
            return
        if entry.message.status is MessageStatus.POISON:
            self._events.emit(Poisoned(entry.message, entry.message.failures))
            self.recount()
        self._owner.rests(entry)

    def recount(self) -> None:
        """Ask the disk how many are poison."""

        def told(counts: Mapping[MessageStatus, int]) -> None:
            self.poison = counts.get(MessageStatus.POISON, 0)

        self._spool.statuses().addCallbacks(told, self._untold)

    def _untold(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", f"the poison queue could not be counted: {failure.getErrorMessage()}"))
