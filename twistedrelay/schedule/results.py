"""What follows from results: each recipient's verdict, and the record, report or warning that it calls for.

It joins L{twistedrelay.schedule.verdict} and L{twistedrelay.schedule.poison}, which decide, with L{twistedrelay.schedule.recorder}, which
makes it durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from twistedrelay.schedule.aside import Aside
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.poison import count_defects
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.schedule.retry import TransportSettings
from twistedrelay.schedule.verdict import deliver, judge
from twistedrelay.schedule.verdict import expired as expired_reply
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

UNPROVEN = frozenset({"5.7.10", "5.7.30"})  #: what is said where a next hop is not fit for REQUIRETLS (RFC 8689 section 4.2.1)
DELIVERED = OutcomeKind.DELIVERED
CONGESTED = Reply(451, "4.4.5", "Too many messages wait for this next hop")


class Results:
    """See the module."""

    def __init__(
        self,
        seconds: Callable[[], float],
        settings: TransportSettings,
        entries: Mapping[int, Entry],
        recorder: Recorder,
        aside: Aside,
    ) -> None:
        self._seconds = seconds
        self._settings = settings
        self._entries = entries
        self._recorder = recorder
        self._aside = aside

    def judge(
        self, entry: Entry, outcomes: Sequence[Outcome], retry_at: float, route: Route, *, attempted: bool = True, announce: bool = True
    ) -> None:
        """Outcomes of one attempt, or (C{attempted} is False) our own reasons."""
        first = outcomes[0]
        if len(outcomes) == 1 and first.kind is DELIVERED and not (first.action or first.uncertain or first.defect):
            deliver(first)  # as all that follows would have it
            self._recorder.settle(entry, outcomes, route, announce=announce)
            return
        self._recorder.doubt(entry.message, outcomes, route)
        poison = count_defects(entry.message, outcomes, self._settings.poison_threshold)
        verdict = judge(entry.message, outcomes, self._seconds(), self._settings, retry_at, attempted=attempted)
        if verdict.settled:
            self._recorder.settle(entry, verdict.settled, route, announce=announce)
        if verdict.succeeded:
            self._recorder.succeed(entry, verdict.succeeded, route)
        if verdict.failed:
            self._recorder.fail(entry, verdict.failed, route)
        if verdict.delayed:
            self._recorder.delay(entry, verdict.delayed, route)
        if poison:
            self._aside.withdraw(entry)

    def given_up(self, route: Route, jobs: Sequence[Job], reply: Reply) -> None:
        """The next hop of these can never be reached."""
        for job in jobs:
            message, kind = job.message, OutcomeKind.FAILED
            if route.require_tls and message.sender.is_null and reply.enhanced in UNPROVEN:
                # No report is lost for want of REQUIRETLS (RFC 8689 section 5): from now on it goes the usual way.
                message.parameters, kind = attrs.evolve(message.parameters, require_tls=False), OutcomeKind.DEFERRED
            outcomes = [Outcome(recipient, kind, reply) for recipient in job.recipients]
            self.judge(self._entries[message.id], outcomes, self._seconds(), route)

    def overdue(self, route: Route, error: Reply | None, expired: Sequence[Job], delayed: Sequence[Job]) -> None:
        """Jobs that waited too long: the first are given up, the senders of the others told."""
        reason = error or CONGESTED
        for job in expired:
            self.given_up(route, [job], expired_reply(job.message, reason, self._seconds()))
        for job in delayed:
            for recipient in job.recipients:
                recipient.last_reply = reason
            outcomes = [Outcome(recipient, OutcomeKind.DEFERRED, reason) for recipient in job.recipients]
            self._recorder.delay(self._entries[job.message.id], outcomes, route, held=True)
