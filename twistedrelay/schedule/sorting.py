"""Which way each recipient of a message goes now: those that are due, by their routes, and those that have none.

A router that raises is a defect of ours: the recipient waits, and that is counted (L{twistedrelay.schedule.poison}).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from twistedrelay.interfaces import IEventSink, IRouter
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.retry import returns_at
from twistedrelay.schedule.verdict import expired
from twistedrelay.values.envelope import Outcome, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.values.route import Route

#: A context in which our own code works on the inside of a message, given its id.
AtWork = Callable[[int], AbstractContextManager[Any]]


class Sorter:
    """Asks the router."""

    def __init__(self, router: IRouter, events: IEventSink, at_work: AtWork) -> None:
        self._router = router
        self._events = events
        self._at_work = at_work

    def sort(self, entry: Entry, recipients: Sequence[Recipient], now: float) -> tuple[dict[Route, list[Recipient]], list[Outcome]]:
        """Recipients that are due become busy; what is not yet due goes into C{entry.pass_due}."""
        with self._at_work(entry.message.id):
            return self._sort(entry, recipients, now)

    def _sort(self, entry: Entry, recipients: Sequence[Recipient], now: float) -> tuple[dict[Route, list[Recipient]], list[Outcome]]:
        message, busy, route = entry.message, entry.busy, self._router.route
        too_late = message.parameters.deliver_by is not None and returns_at(message) <= now
        ways: dict[Route, list[Recipient]] = {}
        refused: list[Outcome] = []
        for recipient in recipients:
            if recipient.state is not RecipientState.READY or recipient.index in busy:
                continue
            if recipient.next_attempt > now:
                if recipient.next_attempt < entry.pass_due:
                    entry.pass_due = recipient.next_attempt
                continue
            busy.add(recipient.index)
            if too_late:
                refused.append(Outcome(recipient, OutcomeKind.FAILED, expired(message, recipient.last_reply, now)))
                continue
            try:
                way = route(message, recipient)
            except Exception as error:
                self._events.emit(ServiceEvent("error", f"a defect in routing message {message.id}: {error!r}"))
                refused.append(Outcome(recipient, OutcomeKind.DEFERRED, LOCAL_ERROR, defect=True))
                continue
            if isinstance(way, Reply):
                refused.append(Outcome(recipient, OutcomeKind.FAILED if way.is_permanent else OutcomeKind.DEFERRED, way))
            elif way in ways:
                ways[way].append(recipient)
            else:
                ways[way] = [recipient]
        return ways, refused
