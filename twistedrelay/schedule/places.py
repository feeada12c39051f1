"""Where a message is now: the queue of each of its recipients, and what is being done to it, in Exchange's words.

It only looks.  Which queue is what the router says now, so it holds for messages that wait on disk, too; what is being sent is known
from the lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from twistedrelay.interfaces import IRouter
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.redirects import UNREACHABLE
from twistedrelay.values.envelope import Job, Message, MessageStatus, Recipient, RecipientState
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import RouteKey

POISON = "Poison"
MOST = 100  #: recipients of a message that are looked at, unless all are asked for


@attrs.frozen(slots=True)
class RecipientPlace:
    """Where one recipient's mail waits.

    @ivar queue: its queue, or C{""} where it is done.
    @ivar since: since when it is being sent, seconds since the epoch, or 0.0.
    @ivar remote: to whom, or C{""} while that is not known.
    @ivar next_retry: when its next hop is tried again, or 0.0.
    @ivar last_error: why it is not tried now, or None.
    """

    queue: str
    since: float = 0.0
    remote: str = ""
    next_retry: float = 0.0
    last_error: Reply | None = None


@attrs.frozen(slots=True)
class Place:
    """Where a message is.

    @ivar status: C{Active}, C{PendingRemove}, C{PendingSuspend}, C{Poison}, C{Ready}, C{Retry} or C{Suspended}.
    @ivar recipients: by their index.
    """

    status: str
    recipients: dict[int, RecipientPlace]

    @property
    def queues(self) -> list[str]:
        """Each once, in their order."""
        return list(dict.fromkeys(place.queue for place in self.recipients.values() if place.queue))

    @property
    def since(self) -> float:
        """Since when it is being sent, or 0.0."""
        return min((place.since for place in self.recipients.values() if place.since), default=0.0)

    @property
    def remote(self) -> str:
        """To whom, or C{""}."""
        return next((place.remote for place in self.recipients.values() if place.remote), "")


class Places:
    """See the module."""

    def __init__(self, entries: Mapping[int, Entry], lanes: Mapping[RouteKey, Lane], router: IRouter) -> None:
        self._entries = entries
        self._lanes = lanes
        self._router = router

    def of(self, messages: Sequence[Message], most: int = MOST, start: int = 0) -> list[Place]:
        """Where each of these is.

        @param most: recipients that are looked at of each, from C{start} on.
        """
        wanted = {message.id for message in messages if (entry := self._entries.get(message.id)) is not None and entry.busy}
        running: dict[int, dict[int, Job]] = {}
        for lane in self._lanes.values() if wanted else ():  # of those that wait on disk nothing runs
            for job in lane.running:
                if job.message.id in wanted:
                    running.setdefault(job.message.id, {}).update((recipient.index, job) for recipient in job.recipients)
        return [self._of(message, running.get(message.id, {}), slice(start, start + most)) for message in messages]

    def _of(self, message: Message, running: Mapping[int, Job], part: slice) -> Place:
        shown = self._recipients(message, running, message.recipients[part])
        entry = self._entries.get(message.id)
        status = message.status if entry is None else entry.message.status
        if entry is not None and entry.removing is not None:
            return Place("PendingRemove", shown)
        if status is MessageStatus.POISON:
            return Place("Poison", shown)
        if status is MessageStatus.SUSPENDED:
            return Place("PendingSuspend" if running else "Suspended", shown)
        if running:
            return Place("Active", shown)
        waits = any(of.attempts and of.state is RecipientState.READY for of in message.recipients)
        return Place("Retry" if waits or any(place.next_retry for place in shown.values()) else "Ready", shown)

    def _recipients(self, message: Message, running: Mapping[int, Job], recipients: Iterable[Recipient]) -> dict[int, RecipientPlace]:
        shown: dict[int, RecipientPlace] = {}
        for recipient in recipients:
            if recipient.state is not RecipientState.READY:
                shown[recipient.index] = RecipientPlace("")
                continue
            queue, next_retry, error = self._queue(message, recipient)
            job = running.get(recipient.index)
            if job is not None:
                shown[recipient.index] = RecipientPlace(queue, job.since, job.remote)
            else:
                shown[recipient.index] = RecipientPlace(queue, next_retry=next_retry, last_error=error)
        return shown

    def _queue(self, message: Message, recipient: Recipient) -> tuple[str, float, Reply | None]:
        if message.status is MessageStatus.POISON:
            return POISON, 0.0, None
        try:
            way = self._router.route(message, recipient)
        except Exception:  # a defect of ours, which is told where it keeps mail waiting
            return UNREACHABLE, 0.0, None
        if isinstance(way, Reply):
            return UNREACHABLE, 0.0, way
        lane = self._lanes.get(way.key)
        if lane is None or not lane.next_retry:
            return way.next_hop, 0.0, None
        return way.next_hop, lane.next_retry, lane.last_error
