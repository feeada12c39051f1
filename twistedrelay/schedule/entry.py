"""A message that the schedule holds in memory, with what is going on with its recipients."""

from __future__ import annotations

import math
from typing import Protocol

import attrs

from twistedrelay.values.envelope import Message, RecipientState


class EntryOwner(Protocol):
    """Who sends an entry's recipients on their ways."""

    def dispatch(self, entry: Entry) -> None:
        """Route the recipients that are due."""


@attrs.define(slots=True, eq=False)
class Entry:
    """One message in memory.

    @ivar remaining: how many recipients are still READY.
    @ivar busy: the indexes of recipients that are in a lane, with a run, or being recorded.
    @ivar records: how many of its records are on their way to the disk.
    @ivar due: when the first recipient that is not busy may be tried, infinity where there is none.
    @ivar cursor: where in a long recipient list dispatching goes on.
    @ivar pass_due: C{due} as far as this pass through the list has found.
    @ivar removing: whether an administrator removed it: None, or with or without a report.
    """

    message: Message
    owner: EntryOwner
    remaining: int
    busy: set[int] = attrs.field(factory=set)
    records: int = 0
    due: float = 0.0
    cursor: int = 0
    pass_due: float = math.inf
    removing: bool | None = None

    @classmethod
    def of(cls, message: Message, owner: EntryOwner) -> Entry:
        """An entry for a message that comes into memory."""
        recipients = message.recipients
        if len(recipients) == 1:
            return cls(message, owner, int(recipients[0].state is RecipientState.READY))
        return cls(message, owner, sum(recipient.state is RecipientState.READY for recipient in recipients))

    def wait_until(self, when: float) -> None:
        """One of its recipients is due at a time."""
        if when < self.due:
            self.due = when
        if when < self.pass_due:
            self.pass_due = when

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if self.due <= now:
            self.owner.dispatch(self)
