"""Where a message's time went: until it was stored, waiting for its turn, in each attempt, and between attempts.

It decides how the times that are recorded anyway become spans that follow each other: when the message came is in the spool, when it was
stored and when attempts ended is in message tracking, what goes on now is in the lanes.  How long an attempt took is recorded where it
failed; where it is not, it is one span with the time before, which its name says.  It never guesses.

Source: Exchange Server, Get-Message -IncludeComponentLatencyInfo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twistedrelay.control.live import Place, RecipientPlace
from twistedrelay.control.models import ComponentLatency
from twistedrelay.control.views import moment
from twistedrelay.observe.tracking import schema
from twistedrelay.observe.tracking.find import Tracked
from twistedrelay.values.envelope import Message, Recipient, RecipientState

#: Recipients that are looked at, events of theirs, and groups of recipients with the same story.
MOST_RECIPIENTS = 1000
MOST_EVENTS = 2000
MOST_STORIES = 50

_ENDS = frozenset({schema.SEND, schema.DELIVER, schema.DEFER, schema.FAIL})

Story = tuple[Tracked, ...]


def components(of: Message, place: Place, events: Sequence[Tracked], now: float, *, whole: bool) -> list[ComponentLatency]:
    """The spans of a message; those of recipients with another story follow each other.

    @param events: the message's own ones, in the order of their times; none where messages are not tracked.
    @param whole: these are all.
    """
    stored = next((event.at / 1e6 for event in events if event.kind in schema.BEGINNINGS), 0.0)
    spans = _Spans(of, place, now, max(stored, of.received_at), whole=whole)
    found = []
    if stored:
        found.append(_span("Commit", of.received_at, stored, "from its last octet until it was on disk"))
    for (story, _, where), recipients in _stories(of, place, events).items():
        found += spans.of(story, recipients, where)
    return found


def _stories(
    of: Message, place: Place, events: Sequence[Tracked]
) -> dict[tuple[Story, RecipientState, RecipientPlace | None], list[Recipient]]:
    """The recipients by what happened to them and where they are."""
    ends: dict[str, list[Tracked]] = {}
    for event in events:
        if event.kind in _ENDS:
            for name, _ in event.recipients:
                ends.setdefault(name, []).append(event)
    found: dict[tuple[Story, RecipientState, RecipientPlace | None], list[Recipient]] = {}
    for recipient in of.recipients[:MOST_RECIPIENTS]:
        key = (tuple(ends.get(recipient.address.text, ())), recipient.state, place.recipients.get(recipient.index))
        if key in found or len(found) < MOST_STORIES:
            found.setdefault(key, []).append(recipient)
    return found


class _Spans:
    """Makes the spans of one story."""

    def __init__(self, of: Message, place: Place, now: float, stored: float, *, whole: bool) -> None:
        self._of = of
        self._status = place.status
        self._now = now
        self._stored = stored
        self._whole = whole

    def of(self, story: Story, recipients: list[Recipient], where: RecipientPlace | None) -> Iterator[ComponentLatency]:
        """In the order of their times."""
        count, waiting, at, hold = len(recipients), "Queue", self._stored, self._of.parameters.hold_until
        if hold > at:
            yield _span("Held", at, min(hold, self._now), "for its sender", recipients=count, pending=hold > self._now)
            if hold > self._now:
                return
            at = hold
        for event in story:
            ended, queue, said = max(at, event.at / 1e6), event.next_hop, _said(event)
            took = schema.seconds_of(event.context)
            if took is not None:
                began = max(at, ended - took)
                yield _span(waiting, at, began, "", queue, count)
                yield _span("Delivery", began, ended, said, queue, count)
            elif event.remote or event.kind in (schema.SEND, schema.DELIVER):
                yield _span(f"{waiting}AndDelivery", at, ended, said, queue, count)
            else:
                yield _span(waiting, at, ended, said, queue, count)
            at, waiting = ended, "Retry"
        if recipients[0].state is RecipientState.READY:
            yield from self._now_on(story, recipients, where, waiting, at)

    def _now_on(
        self, story: Story, recipients: list[Recipient], where: RecipientPlace | None, waiting: str, at: float
    ) -> Iterator[ComponentLatency]:
        """What is not over yet."""
        count, queue = len(recipients), where.queue if where is not None else ""
        detail = "" if self._whole else "not all attempts are known"
        untold = max(recipient.attempts for recipient in recipients) - len(story)
        if self._whole and untold > 0:
            detail = f"with {untold} attempt{'' if untold == 1 else 's'} that nothing is known of"
        if where is not None and where.since > at:
            yield _span(waiting, at, where.since, detail, queue, count)
            yield _span("Delivery", where.since, self._now, where.remote, queue, count, pending=True)
            return
        detail = "; ".join(filter(None, (detail, self._waits_for(recipients[0], where))))
        yield _span(waiting, at, self._now, detail, queue, count, pending=True)

    def _waits_for(self, recipient: Recipient, where: RecipientPlace | None) -> str:
        if self._status in ("Suspended", "PendingSuspend", "Poison"):
            return f"the message is {'suspended' if self._status != 'Poison' else 'set aside as poison'}"
        due = max(recipient.next_attempt, where.next_retry if where is not None else 0.0)
        error = f"{where.last_error}; " if where is not None and where.last_error is not None else ""
        return f"{error}the next attempt is due at {moment(due):%Y-%m-%d %H:%M:%S}" if due > self._now else error.removesuffix("; ")


def _span(
    component: str, began: float, ended: float, detail: str, queue: str = "", recipients: int = 0, *, pending: bool = False
) -> ComponentLatency:
    seconds = round(max(0.0, ended - began), 3)
    return ComponentLatency(
        component=component, queue=queue, recipients=recipients, began=moment(began), seconds=seconds, pending=pending, detail=detail
    )


def _said(event: Tracked) -> str:
    """Who answered what."""
    return ": ".join(filter(None, (event.remote, event.reply)))
