"""Messages that an administrator takes out of the queue (Remove-Message).

Recipients that nobody works on go at once, those in a lane are taken out of it, and those that are being sent go when their transaction has
ended without a delivery (PendingRemove).  A message stays where its sender is to be told and cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from twisted.internet.defer import Deferred, succeed

from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry, EntryOwner
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.values.envelope import RecipientState
from twistedrelay.values.reply import LOCAL_ERROR
from twistedrelay.values.route import RouteKey


def _surely(removed: bool) -> bool:
    if not removed:
        raise SpoolError("the message stays in the queue: its removal could not be reported or recorded", LOCAL_ERROR)
    return True


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

    def remove(self, message_id: int, with_ndr: bool) -> Deferred[bool]:
        """See L{twistedrelay.schedule.due.Scheduler.remove}."""
        entry = self._entries.get(message_id)
        if entry is not None:
            return self._remove(entry, with_ndr)
        return Deferred.fromCoroutine(self._remove_on_disk(message_id, with_ndr))

    def remove_free(self, entry: Entry) -> Deferred[bool]:
        """Take out the recipients that nobody works on; for the others it is pending."""
        free = [each for each in entry.message.recipients if each.state is RecipientState.READY and each.index not in entry.busy]
        if not free:
            return succeed(True)
        entry.busy.update(recipient.index for recipient in free)
        return self._recorder.remove(entry, free, with_ndr=bool(entry.removing))

    def _remove(self, entry: Entry, with_ndr: bool) -> Deferred[bool]:
        entry.removing = with_ndr
        for lane in self._lanes.values():
            for job in lane.remove(entry.message.id):
                entry.busy.difference_update(recipient.index for recipient in job.recipients)
        return self.remove_free(entry).addCallback(_surely)

    async def _remove_on_disk(self, message_id: int, with_ndr: bool) -> bool:
        for message in await self._backlog.load([message_id]):
            self._entries[message_id] = Entry.of(message, self._owner)
        entry = self._entries.get(message_id)
        return entry is not None and await self._remove(entry, with_ndr)
