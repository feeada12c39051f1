"""Messages that an administrator takes out of the flow for a while (Suspend-Message), and lets go on (Resume-Message).

What waits in a lane is taken out of it; what is being sent ends first (PendingSuspend).  A suspended message is on disk only, and so is
one that was set aside as poison; both go on by the same word, from the beginning and at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twistedrelay.interfaces import ISpool
from twistedrelay.schedule.backlog import Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.values.envelope import Message, MessageStatus
from twistedrelay.values.route import RouteKey


class WithdrawalOwner(Protocol):
    """Whose messages they are."""

    def dispatch(self, entry: Entry) -> None:
        """Send the recipients of an entry on their ways."""

    def adopt(self, message: Message) -> None:
        """A message from disk comes into memory."""

    def put_aside(self, entry: Entry) -> None:
        """Forget a suspended message, if nothing is under way with it."""


class Withdrawal:
    """See the module."""

    def __init__(
        self, entries: Mapping[int, Entry], lanes: Mapping[RouteKey, Lane], backlog: Backlog, spool: ISpool, owner: WithdrawalOwner
    ) -> None:
        self._entries = entries
        self._lanes = lanes
        self._backlog = backlog
        self._spool = spool
        self._owner = owner

    async def suspend(self, message_id: int) -> bool:
        """Do not try a message any more; False: there is none.  Raises L{SpoolError}: it goes on."""
        entry = self._entries.get(message_id)
        if entry is not None:
            entry.message.status = MessageStatus.SUSPENDED
            for lane in self._lanes.values():
                for job in lane.remove(message_id):
                    entry.busy.difference_update(recipient.index for recipient in job.recipients)
        try:
            found = await self._spool.set_status([message_id], MessageStatus.SUSPENDED)
        except Exception:
            if entry is not None:
                self._go_on(entry)
            raise
        if entry is not None and self._entries.get(message_id) is entry:
            self._owner.put_aside(entry)
        return bool(found)

    async def resume(self, message_id: int) -> bool:
        """Let a message go on; False: there is none.  Raises L{SpoolError}."""
        found = await self._spool.set_status([message_id], MessageStatus.NORMAL, 0)
        entry = self._entries.get(message_id)
        if entry is not None:
            self._go_on(entry)
        else:
            for message in await self._backlog.load([message_id]):
                self._owner.adopt(message)
        return bool(found)

    def _go_on(self, entry: Entry) -> None:
        entry.message.status = MessageStatus.NORMAL
        if self._entries.get(entry.message.id) is entry:
            self._owner.dispatch(entry)
