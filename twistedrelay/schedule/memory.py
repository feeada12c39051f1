"""The messages in memory, by id, what they weigh, and how many of them each sender has.

A message weighs as much as the transactions that it takes at least: one to 100,000 recipients needs as much memory as hundreds to one.
A sender is who submitted a message: a user, or the address of a client that did not log in.
"""

from __future__ import annotations

from twistedrelay.schedule.entry import Entry
from twistedrelay.values.envelope import Message

RECIPIENTS = 100  #: that weigh as much as a message


def weight_of(message: Message) -> int:
    """How many messages one counts as."""
    return 1 + len(message.recipients) // RECIPIENTS


class Memory(dict[int, Entry]):
    """See the module.  Entries come by C{memory[id] = entry} and go by C{del memory[id]}.

    @ivar weight: of all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = 0
        self._flows: dict[str, int] = {}

    def __setitem__(self, message_id: int, entry: Entry) -> None:
        flows, message = self._flows, entry.message
        flow = message.origin.user or message.origin.client
        flows[flow] = flows.get(flow, 0) + 1
        self.weight += weight_of(message)
        dict.__setitem__(self, message_id, entry)

    def __delitem__(self, message_id: int) -> None:
        flows, message = self._flows, self.pop(message_id).message
        self.weight -= weight_of(message)
        flow = message.origin.user or message.origin.client
        left = flows[flow] = flows[flow] - 1
        if not left:
            del flows[flow]

    def of_sender(self, message: Message) -> int:
        """How many there are of the sender of a message."""
        return self._flows.get(message.origin.user or message.origin.client, 0)
