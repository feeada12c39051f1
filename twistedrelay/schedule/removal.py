"""Messages that an administrator takes out of the queue (Remove-Message).

Recipients that nobody works on go at once, those in a lane are taken out of it, and those that are being sent go when their transaction has
ended without a delivery (PendingRemove).  A message stays where its sender is to be told and cannot be.

What pends is kept by the spool under C{remove:<id>} as long as the message is in memory: after a crash nothing of it is sent again, and the
next start takes it out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool, SpoolError
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry, EntryOwner
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.orders import Orders
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.values.envelope import Recipient, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import LOCAL_ERROR
from twistedrelay.values.route import RouteKey

PREFIX = "remove:"
REPORTED, SILENT = "reported", "silent"  #: what is kept of one that pends: whether its sender is to be told
PAGE = 25  #: messages read from disk, or reported and recorded, at once


class Remover:
    """See the module.

    @ivar pending: the messages that the spool keeps as removed, and whether their senders are to be told.
    @param owner: of the entries.
    """

    def __init__(
        self,
        spool: ISpool,
        events: IEventSink,
        entries: MutableMapping[int, Entry],
        lanes: Mapping[RouteKey, Lane],
        backlog: Backlog,
        recorder: Recorder,
        owner: EntryOwner,
    ) -> None:
        self.pending: dict[int, bool] = {}
        self._orders: Orders[int, bool] = Orders(self._put, self._remember)
        self._spool = spool
        self._events = events
        self._entries = entries
        self._lanes = lanes
        self._backlog = backlog
        self._recorder = recorder
        self._owner = owner

    def remove(self, ids: Sequence[int], with_ndr: bool) -> Deferred[int]:
        """How many there were.  Fails with L{SpoolError} where one stays, and the others are gone."""
        return Deferred.fromCoroutine(self._remove(ids, with_ndr))

    def remove_free(self, entry: Entry) -> Deferred[bool]:
        """Take out the recipients that nobody works on; for the others it is pending."""
        free = _taken(entry)
        return self._recorder.remove(entry, free, with_ndr=bool(entry.removing)) if free else succeed(True)

    def load(self, texts: Mapping[str, str]) -> None:
        """Go on with what was kept over a restart."""
        for key, text in texts.items():
            if key.startswith(PREFIX) and key[len(PREFIX) :].isdigit():
                self._orders.put(int(key[len(PREFIX) :]), text == REPORTED)
        for with_ndr in (True, False):
            ids = [number for number, told in self.pending.items() if told is with_ndr]
            if ids:
                self.remove(ids, with_ndr).addCallbacks(self._gone, self._left, callbackArgs=(ids,))

    def go_on(self, entry: Entry) -> None:
        """A message of L{pending} came into memory."""
        entry.removing = self.pending[entry.message.id]
        self.remove_free(entry)

    def over(self, message_id: int) -> None:
        """A message of L{pending} has left memory: it is gone, or it stays after all."""
        del self.pending[message_id]
        self._orders.drop(message_id)
        self._remember(message_id, None).addErrback(lambda _: None)  # then the next start finds it gone

    def _put(self, message_id: int, with_ndr: bool | None) -> None:
        if with_ndr is None:
            del self.pending[message_id]
        else:
            self.pending[message_id] = with_ndr
        entry = self._entries.get(message_id)
        if entry is not None:
            entry.removing = with_ndr

    def _remember(self, message_id: int, with_ndr: bool | None) -> Deferred[None]:
        return self._spool.remember(f"{PREFIX}{message_id}", None if with_ndr is None else REPORTED if with_ndr else SILENT)

    def _gone(self, _: int, ids: Sequence[int]) -> None:
        for number in ids:
            if number in self.pending and number not in self._entries:
                self.over(number)

    def _left(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", f"messages that were removed could not be taken out: {failure.getErrorMessage()}"))

    async def _remove(self, ids: Sequence[int], with_ndr: bool) -> int:
        absent = [number for number in ids if number not in self._entries]
        count, stay = await self._take_out([number for number in ids if number in self._entries], with_ndr)
        for start in range(0, len(absent), PAGE):
            page = wanted = absent[start : start + PAGE]
            while wanted:
                messages, wanted = await self._backlog.look_for(wanted)
                for message in messages:
                    self._entries[message.id] = Entry.of(message, self._owner)
            more, left = await self._take_out([number for number in page if number in self._entries], with_ndr)
            count, stay = count + more, stay + left
        if stay:
            which = "the message stays" if count == 1 else f"{stay} of {count} messages stay"
            raise SpoolError(f"{which} in the queue: the removal could not be reported or recorded", LOCAL_ERROR)
        return count

    async def _take_out(self, ids: Collection[int], with_ndr: bool) -> tuple[int, int]:
        """Messages in memory; how many they were, and how many of them stay."""
        begun = self._begin(ids, with_ndr)
        keeping = [self._keep(entry, with_ndr) for entry, free in begun if len(entry.busy) > len(free)]
        stay = await self._record(begun, with_ndr)
        return len(begun), stay + [await kept for kept in keeping].count(False)

    def _begin(self, ids: Collection[int], with_ndr: bool) -> list[tuple[Entry, list[Recipient]]]:
        """Of messages in memory: from here on nothing new begins for them.  With the recipients that nobody works on."""
        entries = [self._entries[number] for number in ids]
        for entry in entries:
            entry.removing = with_ndr
        wanted = frozenset([entry.message.id for entry in entries if entry.busy])
        if wanted:  # else none is in a lane, and there may be very many of those
            for lane in self._lanes.values():
                for job in lane.remove(wanted):
                    self._entries[job.message.id].busy.difference_update(recipient.index for recipient in job.recipients)
        return [(entry, _taken(entry)) for entry in entries]

    def _keep(self, entry: Entry, with_ndr: bool) -> Deferred[bool]:
        """What is being sent is to be gone after a crash, too; fires with False where that cannot be kept: then it is not removed."""
        number = entry.message.id
        keeping = self._orders.give(number, with_ndr)
        return keeping.addCallbacks(lambda _: True, lambda _: self._entries.get(number) is not entry)  # else it is over

    async def _record(self, begun: Sequence[tuple[Entry, list[Recipient]]], with_ndr: bool) -> int:
        """Report and record them, a page at a time: each takes about as long as a message that comes.  How many stay."""
        stay = 0
        for start in range(0, len(begun), PAGE):
            page = begun[start : start + PAGE]
            removing = [self._recorder.remove(entry, free, with_ndr=with_ndr) for entry, free in page if free]
            stay += [await removed for removed in removing].count(False)
        return stay


def _taken(entry: Entry) -> list[Recipient]:
    """The recipients of a message that nobody works on; from now on somebody does."""
    free = [each for each in entry.message.recipients if each.state is RecipientState.READY and each.index not in entry.busy]
    entry.busy.update(recipient.index for recipient in free)
    return free
