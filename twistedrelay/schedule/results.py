"""What follows from results: each recipient's verdict, and the record, report or warning that it calls for.

It joins L{twistedrelay.schedule.verdict} and L{twistedrelay.schedule.poison}, which decide, with L{twistedrelay.schedule.recorder}, which
makes it durable.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

import attrs
from twisted.python.failure import Failure

from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.aside import Aside
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.poison import count_defects
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.schedule.retry import Jitter, TransportSettings, is_mailbox
from twistedrelay.schedule.turns import Turns
from twistedrelay.schedule.verdict import deliver, judge
from twistedrelay.schedule.verdict import expired as expired_reply
from twistedrelay.values.envelope import Job, MessageStatus, Outcome, OutcomeKind
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

UNPROVEN = frozenset({"5.7.10", "5.7.30"})  #: what is said where a next hop is not fit for REQUIRETLS (RFC 8689 section 4.2.1)
JOBS_PER_TURN = 200  #: given up before the reactor gets its turn
DELIVERED = OutcomeKind.DELIVERED
CONGESTED = Reply(451, "4.4.5", "Too many messages wait for this next hop")
CONGESTED_WAIT = 5.0  #: seconds until a message comes again that could not be parked, for something was to be told of it


class Results:
    """See the module.

    @ivar settings: the retry timeline.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        settings: TransportSettings,
        entries: Mapping[int, Entry],
        recorder: Recorder,
        aside: Aside,
        alarm: Alarm,
        broken: Callable[[Failure], None],
    ) -> None:
        self._seconds = seconds
        self.settings = settings
        self._entries = entries
        self._recorder = recorder
        self._aside = aside
        self._alarm = alarm
        self._broken = broken

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
        poison = count_defects(entry.message, outcomes, self.settings.poison_threshold)
        verdict = judge(entry.message, outcomes, self._seconds(), self.settings, retry_at, attempted=attempted)
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

    def done(self, route: Route, job: Job, outcomes: Sequence[Outcome], jitter: Jitter) -> None:
        """What became of a job that a run had taken."""
        retry_at = 0.0
        if len(outcomes) > 1 or outcomes[0].kind is not DELIVERED:
            wait = self.settings.mailbox_delivery_queue_retry_interval if is_mailbox(route) else self.settings.message_retry_interval
            retry_at = self._seconds() + (wait if outcomes[0].kind is DELIVERED else jitter(wait))
            outcomes = [outcome if outcome.kind is DELIVERED else attrs.evolve(outcome, began=job.since) for outcome in outcomes]
        self.judge(self._entries[job.message.id], outcomes, retry_at, route)

    def given_back(self, job: Job) -> bool:
        """A job comes back to its lane.  False: it was removed or suspended meanwhile."""
        entry = self._entries[job.message.id]
        if entry.removing is not None:
            self._recorder.remove(entry, job.recipients, with_ndr=entry.removing)
        elif job.message.status is MessageStatus.NORMAL:
            return True
        else:
            entry.busy.difference_update(recipient.index for recipient in job.recipients)
            self._aside.settle(entry)
        return False

    def given_up(self, route: Route, jobs: Sequence[Job], reply: Reply) -> None:
        """The next hop of these can never be reached."""
        self._give_up(route, ((job, reply) for job in jobs))

    def overdue(self, route: Route, error: Reply | None, expired: Sequence[Job], delayed: Sequence[Job]) -> None:
        """Jobs that waited too long: the first are given up, the senders of the others told."""
        reason = error or CONGESTED
        if expired:
            self._give_up(route, ((job, expired_reply(job.message, reason, self._seconds())) for job in expired))
        for job in delayed:
            for recipient in job.recipients:
                recipient.last_reply = reason
            outcomes = [Outcome(recipient, OutcomeKind.DEFERRED, reason) for recipient in job.recipients]
            self._recorder.delay(self._entries[job.message.id], outcomes, route, held=True)

    def _give_up(self, route: Route, jobs: Iterable[tuple[Job, Reply]]) -> None:
        """Jobs that no lane has any more."""
        Turns(self._giving_up(route, jobs), self._alarm, self._seconds).done.addErrback(self._broken)

    def _giving_up(self, route: Route, jobs: Iterable[tuple[Job, Reply]]) -> Generator[None, None, None]:
        for place, (job, reply) in enumerate(jobs, 1):
            message, kind = job.message, OutcomeKind.FAILED
            if route.require_tls and message.sender.is_null and reply.enhanced in UNPROVEN:
                # No report is lost for want of REQUIRETLS (RFC 8689 section 5): from now on it goes the usual way.
                message.parameters, kind = attrs.evolve(message.parameters, require_tls=False), OutcomeKind.DEFERRED
            outcomes = [Outcome(recipient, kind, reply) for recipient in job.recipients]
            self.judge(self._entries[message.id], outcomes, self._seconds(), route)
            if place % JOBS_PER_TURN == 0:
                yield
