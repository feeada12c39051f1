"""The messages in memory, by id, and how many of them each sender has.

A sender is who submitted a message: a user, or the address of a client that did not log in.
"""

from __future__ import annotations

from twistedrelay.schedule.entry import Entry
from twistedrelay.values.envelope import Message


def flow_of(message: Message) -> str:
    """Who submitted a message."""
    return message.origin.user or message.origin.client


class Memory(dict[int, Entry]):
    """See the module.  Entries come by C{memory[id] = entry} and go by C{del memory[id]}."""

    def __init__(self) -> None:
        super().__init__()
        self._flows: dict[str, int] = {}

    def __setitem__(self, message_id: int, entry: Entry) -> None:
        flow = flow_of(entry.message)
        self._flows[flow] = self._flows.get(flow, 0) + 1
        super().__setitem__(message_id, entry)

    def __delitem__(self, message_id: int) -> None:
        flow = flow_of(self[message_id].message)
        left = self._flows[flow] - 1
        if left:
            self._flows[flow] = left
        else:
            del self._flows[flow]
        super().__delitem__(message_id)

    def of_sender(self, message: Message) -> int:
        """How many there are of the sender of a message."""
        return self._flows.get(flow_of(message), 0)
