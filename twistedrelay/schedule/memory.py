"""The messages in memory, by id, and how many of them each sender has.

A sender is who submitted a message: a user, or the address of a client that did not log in.
"""

from __future__ import annotations

from twistedrelay.schedule.entry import Entry
from twistedrelay.values.envelope import Message


class Memory(dict[int, Entry]):
    """See the module.  Entries come by C{memory[id] = entry} and go by C{del memory[id]}."""

    def __init__(self) -> None:
        super().__init__()
        self._flows: dict[str, int] = {}

    def __setitem__(self, message_id: int, entry: Entry) -> None:
        flows, origin = self._flows, entry.message.origin
        flow = origin.user or origin.client
        flows[flow] = flows.get(flow, 0) + 1
        dict.__setitem__(self, message_id, entry)

    def __delitem__(self, message_id: int) -> None:
        flows, origin = self._flows, self.pop(message_id).message.origin
        flow = origin.user or origin.client
        left = flows[flow] = flows[flow] - 1
        if not left:
            del flows[flow]

    def of_sender(self, message: Message) -> int:
        """How many there are of the sender of a message."""
        return self._flows.get(message.origin.user or message.origin.client, 0)
