"""Messages that an administrator takes out of the queue (Remove-Message).

Recipients that nobody works on go at once, those in a lane are taken out of it, and those that are being sent go when their transaction has
ended without a delivery (PendingRemove).  A message stays where its sender is to be told and cannot be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence

from twisted.internet.defer import Deferred, succeed

from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry, EntryOwner
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.values.envelope import RecipientState
from twistedrelay.values.reply import LOCAL_ERROR
from twistedrelay.values.route import RouteKey

PAGE = 100  #: messages read from disk at once


class Remover:
    """See the module.

    @param owner: of the entries.
    """

    def __init__(
        self, entries: MutableMapping[int, Entry], lanes: Mapping[RouteKey, Lane], backlog: Backlog, recorder: Recorder, owner: EntryOwner
    ) -> None:
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
        free = [each for each in entry.message.recipients if each.state is RecipientState.READY and each.index not in entry.busy]
        if not free:
            return succeed(True)
        entry.busy.update(recipient.index for recipient in free)
        return self._recorder.remove(entry, free, with_ndr=bool(entry.removing))

    async def _remove(self, ids: Sequence[int], with_ndr: bool) -> int:
        absent = [number for number in ids if number not in self._entries]
        waiting = self._begin([number for number in ids if number in self._entries], with_ndr)
        for start in range(0, len(absent), PAGE):
            page = absent[start : start + PAGE]
            for message in await self._backlog.load(page):
                self._entries[message.id] = Entry.of(message, self._owner)
            waiting += self._begin([number for number in page if number in self._entries], with_ndr)
        stay = len([removed for removed in [await removing for removing in waiting] if not removed])
        if stay:
            which = "the message stays" if len(waiting) == 1 else f"{stay} of {len(waiting)} messages stay"
            raise SpoolError(f"{which} in the queue: the removal could not be reported or recorded", LOCAL_ERROR)
        return len(waiting)

    def _begin(self, ids: Collection[int], with_ndr: bool) -> list[Deferred[bool]]:
        """Of messages in memory."""
        entries = [self._entries[number] for number in ids]
        for entry in entries:
            entry.removing = with_ndr
        wanted = frozenset([entry.message.id for entry in entries if entry.busy])
        if wanted:  # else none is in a lane, and there may be very many of those
            for lane in self._lanes.values():
                for job in lane.remove(wanted):
                    self._entries[job.message.id].busy.difference_update(recipient.index for recipient in job.recipients)
        return [self.remove_free(entry) for entry in entries]
