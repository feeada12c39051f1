"""Makes results durable, with the reports that go with them, and then tells the world.

The order is the promise: the report is made, then outcomes and report are committed together, then events are emitted, the report
goes on its way, and the recipient may be tried again or forgotten.  What was delivered never waits for a report about others.  If a report
cannot be made, the recipient is not given up: it stays READY and is tried again later.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol, cast

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from twistedrelay.interfaces import IContentWriter, IEventSink, IReporter, ISpool, SpoolError
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.pace import Pace
from twistedrelay.schedule.poison import count_defects
from twistedrelay.schedule.retry import TransportSettings, expires_at
from twistedrelay.schedule.sorting import AtWork
from twistedrelay.values.envelope import Message, Outcome, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import Dropped, Removed, ReportSent, Send, ServiceEvent
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

REMOVED = Reply(550, "5.0.0", "The message was removed from the queue by an administrator")


class RecorderOwner(Protocol):
    """Who goes on when results are durable."""

    def recorded(self, entry: Entry, recipients: Sequence[Recipient]) -> None:
        """A record of an entry was committed; these recipients are no longer busy."""

    def submit(self, message: Message) -> None:
        """A report goes on its way."""


class Recorder:
    """See the module.

    @ivar reporter: who writes reports.
    @ivar settings: the retry timeline.
    @ivar uncertain: how many recipients may have been sent a message twice.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        spool: ISpool,
        reporter: IReporter,
        events: IEventSink,
        settings: TransportSettings,
        owner: RecorderOwner,
        at_work: AtWork,
    ) -> None:
        self.uncertain = 0
        self._seconds = seconds
        self._spool = spool
        self.reporter = reporter
        self._events = events
        self.settings = settings
        self._owner = owner
        self._at_work = at_work
        self._open = 0
        self._pace: Pace[bool] = Pace()
        self._idle: list[Deferred[None]] = []

    def when_idle(self) -> Deferred[None]:
        """Fires when everything under way is durable."""
        if not self._open:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def forget(self) -> int:
        """Reports that were not begun will not be: their recipients wait on disk as they were.  How many."""
        dropped = self._pace.drop()
        self._open -= dropped
        return dropped

    def settle(self, entry: Entry, outcomes: Sequence[Outcome], route: Route, *, announce: bool = True) -> None:
        """Results without a report; C{announce}: emit L{Send} events."""
        entry.records += 1
        self._open += 1
        done = self._spool.record(entry.message, outcomes)
        done.addCallbacks(self._settled, self._unsettled, (entry, outcomes, route if announce else None), errbackArgs=(entry, outcomes))

    def succeed(self, entry: Entry, outcomes: Sequence[Outcome], route: Route) -> None:
        """Recipients were reached, and their sender wants to know; all by the same next hop."""
        self._begin(entry)
        self._run(self._succeed(entry, outcomes, route), entry, outcomes)

    def fail(self, entry: Entry, outcomes: Sequence[Outcome], route: Route) -> None:
        """Recipients are given up."""
        self._begin(entry)
        self._pace.run(lambda: self._run(self._fail(entry, outcomes, route), entry, outcomes))

    def delay(self, entry: Entry, outcomes: Sequence[Outcome], route: Route, *, held: bool = False) -> None:
        """Recipients are tried again, and their sender is told that it takes long.

        @param held: they stay in their lane, and nothing was attempted.
        """
        self._begin(entry)
        self._pace.run(lambda: self._run(self._delay(entry, outcomes, None if held else route), entry, () if held else outcomes))

    def remove(self, entry: Entry, recipients: Sequence[Recipient], *, with_ndr: bool) -> Deferred[bool]:
        """Recipients are taken out by an administrator; fires with False where they stay, since no report could be made."""
        self._begin(entry)
        outcomes = [Outcome(recipient, OutcomeKind.FAILED, REMOVED) for recipient in recipients]
        return self._run(self._remove(entry, outcomes, with_ndr), entry, outcomes)

    def doubt(self, message: Message, outcomes: Sequence[Outcome], route: Route) -> None:
        """Say where the next hop may have taken a message without our knowing: before it is recorded, or a crash may swallow the word."""
        for outcome in outcomes:
            if outcome.uncertain:
                self._doubt(message, outcome, f"{route.next_hop} never confirmed it")

    # inside

    def _settled(self, _: None, entry: Entry, outcomes: Sequence[Outcome], route: Route | None) -> None:
        self._announce(entry.message, outcomes, route)
        self._end(entry, outcomes)

    def _unsettled(self, failure: Failure, entry: Entry, outcomes: Sequence[Outcome]) -> None:
        self._unrecorded(entry.message, outcomes, failure.value)
        self._end(entry, outcomes)

    async def _succeed(self, entry: Entry, outcomes: Sequence[Outcome], route: Route) -> bool:
        recipients, action = [outcome.recipient for outcome in outcomes], outcomes[0].action
        report = None
        try:
            with self._at_work(entry.message.id):
                report = await self.reporter.succeeded(entry.message, recipients, action)
        except Exception as error:  # what was taken is taken: it must not be sent again for want of a report
            self._warn(entry, error)
        for recipient in recipients:  # not before: the message may leave the disk with its last recipient
            recipient.state = RecipientState.DELIVERED
        recorded = await self._record(entry, outcomes, report, route)
        if recorded:
            self._follow(entry, report, action)
        return recorded

    async def _fail(self, entry: Entry, outcomes: Sequence[Outcome], route: Route) -> bool:
        recipients = [outcome.recipient for outcome in outcomes]
        try:
            with self._at_work(entry.message.id):
                report = await self.reporter.failed(entry.message, recipients)
        except Exception as error:
            return await self._give_back(entry, outcomes, route, error)
        for recipient in recipients:
            recipient.state = RecipientState.FAILED
        recorded = await self._record(entry, outcomes, report, route)
        if recorded:
            self._follow(entry, report, "failed")
        return recorded

    async def _delay(self, entry: Entry, outcomes: Sequence[Outcome], route: Route | None) -> bool:
        recipients = [outcome.recipient for outcome in outcomes]
        for recipient in recipients:
            recipient.delay_notified = True
        report, trouble = None, None
        try:
            with self._at_work(entry.message.id):
                report = await self.reporter.delayed(entry.message, recipients, expires_at(entry.message, self.settings))
        except Exception as error:
            trouble = error
        true_still = all(recipient.state is RecipientState.READY for recipient in recipients)
        if trouble is not None or not true_still:
            for recipient in recipients:
                recipient.delay_notified = False
        if not true_still:  # only where they were held: some were sent while the notice was written, which may have cost it its content
            if report is not None:
                cast(IContentWriter, report.content).abort()
            return False
        if trouble is not None:
            self._warn(entry, trouble)
        recorded = await self._record(entry, outcomes, report, route)
        if recorded:
            self._follow(entry, report, "delayed")
        return recorded

    async def _remove(self, entry: Entry, outcomes: Sequence[Outcome], with_ndr: bool) -> bool:
        recipients = [outcome.recipient for outcome in outcomes]
        before = [(recipient.last_reply, recipient.last_remote) for recipient in recipients]
        for recipient in recipients:
            recipient.last_reply, recipient.last_remote = REMOVED, ""
        report, recorded = None, False
        try:
            report = await self.reporter.failed(entry.message, recipients) if with_ndr else None
        except Exception as error:
            self._warn(entry, error)
        else:
            for recipient in recipients:
                recipient.state = RecipientState.REMOVED
            recorded = await self._record(entry, outcomes, report, None)
        if not recorded:  # it stays
            entry.removing = None
            for recipient, (reply, remote) in zip(recipients, before, strict=True):
                recipient.last_reply, recipient.last_remote = reply, remote
            return False
        self._events.emit(Removed(entry.message, report is not None, recipients))
        if report is not None:
            self._follow(entry, report, "failed")
        return True

    async def _give_back(self, entry: Entry, outcomes: Sequence[Outcome], route: Route, error: Exception) -> bool:
        """Nobody is given up in silence: without a report, try again later; where it was our own code that failed, not for ever."""
        self._warn(entry, error)
        if not isinstance(error, (SpoolError, OSError)):
            outcomes = [attrs.evolve(outcome, defect=True) for outcome in outcomes]
            count_defects(entry.message, outcomes, self.settings.poison_threshold)
        retry_at = self._seconds() + self.settings.message_retry_interval
        for outcome in outcomes:
            outcome.recipient.next_attempt = retry_at
        return await self._record(entry, [attrs.evolve(outcome, kind=OutcomeKind.DEFERRED) for outcome in outcomes], None, route)

    def _run(self, work: Coroutine[Deferred[None], object, bool], entry: Entry, outcomes: Sequence[Outcome]) -> Deferred[bool]:
        def defect(failure: Failure) -> bool:
            self._events.emit(ServiceEvent("error", f"a defect: {failure.getTraceback(detail='brief')}"))
            return False

        def end(result: bool) -> bool:
            self._end(entry, outcomes)
            return result

        return Deferred.fromCoroutine(work).addErrback(defect).addCallback(end)

    def _begin(self, entry: Entry) -> None:
        entry.records += 1
        self._open += 1

    def _end(self, entry: Entry, outcomes: Sequence[Outcome]) -> None:
        entry.records -= 1
        self._open -= 1
        self._owner.recorded(entry, [outcome.recipient for outcome in outcomes])
        if not self._open and self._idle:
            waiting, self._idle = self._idle, []
            for each in waiting:
                each.callback(None)

    async def _record(self, entry: Entry, outcomes: Sequence[Outcome], report: Message | None, route: Route | None) -> bool:
        try:
            await self._spool.record(entry.message, outcomes, () if report is None else (report,))
        except Exception as error:
            self._unrecorded(entry.message, outcomes, error)
            return False
        self._announce(entry.message, outcomes, route)
        return True

    def _announce(self, message: Message, outcomes: Sequence[Outcome], route: Route | None) -> None:
        if route is None:
            return
        emit = self._events.emit
        for outcome in outcomes:
            emit(Send(message, outcome, route.next_hop, route))

    def _unrecorded(self, message: Message, outcomes: Sequence[Outcome], error: BaseException | None) -> None:
        """Nothing of it is on the disk: those given up are not, and what was sent waits there as if it had not been."""
        self._events.emit(ServiceEvent("error", f"a result of message {message.id} could not be recorded: {error}"))
        retry_at = self._seconds() + self.settings.message_retry_interval
        for outcome in outcomes:
            recipient = outcome.recipient
            if recipient.state is RecipientState.DELIVERED:
                self._doubt(message, outcome, "that could not be recorded")
            if recipient.state in (RecipientState.FAILED, RecipientState.REMOVED):
                recipient.state = RecipientState.READY
                recipient.next_attempt = retry_at

    def _doubt(self, message: Message, outcome: Outcome, why: str) -> None:
        self.uncertain += 1
        text = f"uncertain: message {message.id} may have reached <{outcome.recipient.address}> although {why}: it may be delivered twice"
        self._events.emit(ServiceEvent("warn", text))

    def _warn(self, entry: Entry, error: Exception) -> None:
        self._events.emit(ServiceEvent("error", f"no report about message {entry.message.id} could be made: {error}"))

    def _follow(self, entry: Entry, report: Message | None, kind: str) -> None:
        if report is not None:
            self._events.emit(ReportSent(report, entry.message, kind))
            self._owner.submit(report)
        elif kind == "failed":
            reason = "its return path is null" if entry.message.sender.is_null else "its sender asked for no report, or it is one"
            self._events.emit(Dropped(entry.message, f"given up without a report: {reason}"))
