"""The schedule: takes messages from the moment they are durable until every recipient is delivered, returned or removed.

It routes recipients that are due, puts them into lanes, and after each attempt lets L{twistedrelay.schedule.recorder} make the result
durable before anything else happens to the recipient.  Memory holds a bounded window of messages; the rest is on disk only and read back in
time (L{twistedrelay.schedule.backlog}).  There is one timer for everything.

A message is in memory at most once, a recipient in at most one lane, and a recipient that was delivered is never tried again.

Sources: Exchange Server, "Message retry, resubmit, and expiration intervals" and "Queues"; RFC 5321 section 4.5.4.1.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IAttempt, IEventSink, IReporter, IRouter, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.aside import Aside
from twistedrelay.schedule.backlog import PAGE, Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.foresight import Foresight
from twistedrelay.schedule.handling import Handling
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.lanetable import LaneTable
from twistedrelay.schedule.limits import Limits
from twistedrelay.schedule.memory import Memory
from twistedrelay.schedule.parking import Parking
from twistedrelay.schedule.places import Places
from twistedrelay.schedule.probes import Probes
from twistedrelay.schedule.queues import Queues
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.schedule.redirects import Redirects
from twistedrelay.schedule.removal import Remover
from twistedrelay.schedule.reroute import Rerouting
from twistedrelay.schedule.resubmission import Resubmission
from twistedrelay.schedule.results import CONGESTED, CONGESTED_WAIT, Results
from twistedrelay.schedule.retry import Jitter, TransportSettings, set_right
from twistedrelay.schedule.slots import Slots
from twistedrelay.schedule.sorting import AtWork, Sorter
from twistedrelay.schedule.suspension import Suspensions
from twistedrelay.schedule.turns import Turns, each
from twistedrelay.values.envelope import Job, Message, MessageStatus, Outcome, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import UNREACHABLE, Route

WINDOW = 20_000  #: messages in memory; one to many counts as several
RECIPIENTS_PER_JOB = 100  #: the least that every server must take in one transaction (RFC 5321 section 4.5.3.1.8)
RECIPIENTS_PER_TURN = 1000  #: routed before the reactor gets its turn


class Scheduler:
    """See the module.

    @ivar window: what may be in memory, as L{Memory} weighs it.
    @ivar redirects: what routes, round the router that knows the ways.
    @ivar queues: the queues as an administrator sees and handles them; C{messages} likewise.  C{fqdn}: for EHLO on redirected ways.
    @param at_work: a context in which our own code works on the inside of a message.
    @param chance: random numbers from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        clock: Any,
        spool: ISpool,
        router: IRouter,
        attempt: IAttempt,
        reporter: IReporter,
        events: IEventSink,
        transport: TransportSettings,
        window: int = WINDOW,
        *,
        fqdn: str = "localhost",
        at_work: AtWork = nullcontext,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.attempt, self.settings = attempt, transport
        self.slots = Slots(transport.max_outbound_connections)
        self.alarm = Alarm(clock)
        self.limits = Limits(self)
        self.probes = Probes(clock.seconds, self.alarm)
        self.jitter = Jitter(chance)
        self.window, self.seconds = max(window, 8), clock.seconds
        self._clock, self._spool, self._events = clock, spool, events
        self.redirects = ways = Redirects(router, spool, fqdn)
        self._sorter = Sorter(ways, events, at_work)
        self._entries = Memory()
        self._table = LaneTable(self)
        self._lanes, self._by_route = self._table.by_key, self._table.by_route
        self._page = max(1, min(PAGE, self.window // 4))
        self._recorder = Recorder(clock.seconds, spool, reporter, events, transport, self, at_work)
        self._backlog = Backlog(clock.seconds, spool, self.alarm, events, self._entries.keys(), self, self._page)
        self._parking = Parking(
            clock.seconds, spool, self.alarm, events, transport, self._backlog, self._entries, self._table.by_name, self, self._page
        )
        self._aside = Aside(spool, events, self._entries, self._table.by_name, self._backlog, self)
        self._results = Results(clock.seconds, transport, self._entries, self._recorder, self._aside, self.alarm, self.broken)
        self._remover = Remover(spool, events, self._entries, self._lanes, self._backlog, self._recorder, self)
        self.suspensions = Suspensions(clock.seconds, spool, self.alarm, events, self._lanes)
        self.suspensions.also.append(self._remover.load)
        waiting = (self._entries, self._lanes, self._backlog, self, self._parking)
        self._resubmission = Resubmission(spool, self.alarm, events, ways, *waiting)
        parts = (self.suspensions, self._parking, self._aside, self.alarm, events, ways, self._resubmission)
        self.queues = Queues(clock.seconds, self._lanes, self._entries, ways, *parts)
        self.lanes, self.look = self.queues.views, self.queues.look
        self._rerouting = Rerouting(router, ways, spool, self.alarm, events, *waiting)
        self.suspend_message, self.resume_message = self._aside.suspend, self._aside.resume
        places = Places(self._entries, self._lanes, ways)
        self.messages = Handling(self._aside, self._remover, self._resubmission, places, self._parking.recount)
        self._foresight = Foresight(spool, self.alarm, events, self._backlog, self._entries.keys(), self)
        self._paused = self._stopping = False

    # for the service

    def start(self, suspects: Sequence[int] = ()) -> None:
        """Read what is due from the spool and begin.

        @param suspects: messages that the last process died of, as it seems.
        """
        if suspects:
            blaming = Deferred.fromCoroutine(self._aside.blame(suspects, self.settings.poison_threshold))
            blaming.addErrback(self.broken).addCallback(lambda _: self.start())
            return
        self.queues.start()
        self._backlog.expect(self.seconds())
        self._parking.start()
        self._aside.recount()
        self._foresight.start()

    def stop(self, seconds: float) -> Deferred[None]:
        """Begin nothing more; fires when running transactions have ended (or C{seconds} are over) and their results are durable."""
        self._stopping = True
        self._backlog.stop()
        self._parking.stop()
        self._rerouting.stop()
        self.alarm.stop()
        stopped = self.attempt.stop(seconds)
        stopped.addErrback(self.broken)
        return stopped.addCallback(lambda _: self._recorder.when_idle().addTimeout(seconds, self._clock).addErrback(self._unrecorded))

    def pause(self) -> None:
        """No new transactions (a sick spool)."""
        self._paused = True
        self._backlog.pause()

    def resume(self) -> None:
        """Go on after L{pause}."""
        self._paused = False
        Turns(each(self._lanes.values(), Lane.resume), self.alarm, self.seconds).done.addErrback(self.broken)
        self._backlog.resume()

    def change(self, router: IRouter, transport: TransportSettings, reporter: IReporter) -> None:
        """Another configuration: where the ways are others, what waits goes them, too."""
        before, self.settings = self.settings, transport
        self._recorder.settings = self._results.settings = self._parking.settings = transport
        self.queues.hurry(before, transport)
        self._recorder.reporter = reporter
        self.slots.change(transport.max_outbound_connections)
        if router is not self.redirects.router:
            self.redirects.router = router
            self._rerouting.begin(router)

    def submit(self, message: Message) -> None:
        """A message was committed to the spool: send it."""
        if self._stopping or message.id in self._entries:
            return
        if self.room() <= 0 or (self._backlog.blocked and not self._parking.goes_first(message)):
            self._backlog.expect(self.seconds())  # behind those that wait on disk
            self._parking.relieve()
            return
        self.adopt(message)

    @property
    def uncertain(self) -> int:
        """How many recipients may have been sent a message twice."""
        return self._recorder.uncertain

    def remove(self, id: int, with_ndr: bool) -> Deferred[bool]:
        """Take a message out of the queue; a transaction in progress ends first (PendingRemove).

        Fires with False if there is none; fails with L{SpoolError} where it stays, since its sender could not be told.
        """
        return self.messages.remove([id], with_ndr).addCallback(bool)

    # for the backlog

    def room(self) -> int:
        """See L{twistedrelay.schedule.backlog.BacklogOwner}."""
        return self.window - self._entries.weight

    def cramped(self) -> None:
        """See L{twistedrelay.schedule.backlog.BacklogOwner}."""
        self._parking.relieve()

    def adopt(self, message: Message) -> None:
        """See L{twistedrelay.schedule.backlog.BacklogOwner}."""
        entry = Entry.of(set_right(message, self.seconds()), self)
        if entry.remaining and message.status is MessageStatus.NORMAL:
            self._entries[message.id] = entry
            self._parking.relieve()
            if message.id in self._remover.pending:
                self._remover.go_on(entry)
            else:
                self.dispatch(entry)

    # for entries

    def dispatch(self, entry: Entry) -> None:
        """See L{twistedrelay.schedule.entry.EntryOwner}."""
        message = entry.message
        if self._stopping or self._entries.get(message.id) is not entry or message.status is not MessageStatus.NORMAL:
            return
        now = self.seconds()
        recipients: Sequence[Recipient] = message.recipients
        if len(recipients) > RECIPIENTS_PER_TURN:
            start = entry.cursor
            entry.cursor = start + RECIPIENTS_PER_TURN
            recipients = recipients[start : entry.cursor]
            if entry.cursor >= len(message.recipients):
                entry.cursor = 0
        ways, refused = self._sorter.sort(entry, recipients, now)
        if entry.cursor:
            entry.due = now
            self.alarm.at(now, entry)
        else:
            entry.due, entry.pass_due = entry.pass_due, math.inf
            if entry.due < math.inf:
                self._wait(entry)
        for route, together in ways.items():
            self._enqueue(entry, route, together)
        if refused:
            self._results.judge(entry, refused, now + self.settings.message_retry_interval, UNREACHABLE, attempted=False)

    def _enqueue(self, entry: Entry, route: Route, recipients: list[Recipient]) -> None:
        lane = self._by_route.get(route) or self.lane_of(route)
        if not self._parking.takes(lane, entry.message):
            whole = len(recipients) == entry.remaining and not entry.records and not entry.cursor
            if whole and self._parking.park(entry, lane):
                return
            wait = CONGESTED_WAIT if whole else self.settings.message_retry_interval
            outcomes = [Outcome(recipient, OutcomeKind.DEFERRED, lane.last_error or CONGESTED) for recipient in recipients]
            self._results.judge(entry, outcomes, self.seconds() + wait, route, attempted=False, announce=False)
        elif len(recipients) <= RECIPIENTS_PER_JOB:
            lane.add([Job(entry.message, recipients)])
        else:
            starts = range(0, len(recipients), RECIPIENTS_PER_JOB)
            lane.add([Job(entry.message, recipients[start : start + RECIPIENTS_PER_JOB]) for start in starts])

    def lane_of(self, route: Route) -> Lane:
        """See L{twistedrelay.schedule.reroute.RerouteOwner}."""
        return self._table.lane_of(route)

    # for lanes

    @property
    def may_run(self) -> bool:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        return not (self._paused or self._stopping) and self._spool.healthy and self.suspensions.known

    def done(self, lane: Lane, job: Job, outcomes: Sequence[Outcome]) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._results.done(lane.route, job, outcomes, self.jitter)

    def given_back(self, lane: Lane, job: Job) -> bool:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        return self._results.given_back(job) and not (lane.doubtful and self._rerouting.comes_back(lane, job))

    def given_up(self, lane: Lane, jobs: Sequence[Job], reply: Reply) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._results.given_up(lane.route, jobs, reply)

    def overdue(self, lane: Lane, expired: Sequence[Job], delayed: Sequence[Job]) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._results.overdue(lane.route, lane.last_error, expired, delayed)

    def wants(self, lane: Lane) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._parking.wants(lane)

    def idle(self, lane: Lane) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._table.drop(lane)

    def broken(self, failure: Failure) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._events.emit(ServiceEvent("error", f"a defect: {failure.getTraceback(detail='brief')}"))

    # for parking

    def rests(self, entry: Entry) -> None:
        """See L{twistedrelay.schedule.parking.ParkingOwner}."""
        entry.busy.clear()
        if entry.removing is not None and entry.remaining:
            self._remover.remove_free(entry)
        else:
            self._forget(entry)

    # for the recorder

    def recorded(self, entry: Entry, recipients: Sequence[Recipient]) -> None:
        """See L{twistedrelay.schedule.recorder.RecorderOwner}."""
        for recipient in recipients:
            entry.busy.discard(recipient.index)
            if recipient.state is not RecipientState.READY:
                entry.remaining -= 1
            else:
                entry.wait_until(recipient.next_attempt)
        if entry.remaining:
            if entry.removing is not None and recipients:
                self._remover.remove_free(entry)
            elif entry.message.status is not MessageStatus.NORMAL:
                self._aside.withdraw(entry)
            elif entry.due < math.inf:
                self._wait(entry)
        elif not entry.records:
            self._forget(entry)

    # inside

    def _wait(self, entry: Entry) -> None:
        """Some recipients wait for their time: in memory while there is room, else on disk."""
        if entry.busy or entry.records or self._entries.weight * 2 <= self.window:
            self.alarm.at(entry.due, entry)
        else:
            self._forget(entry)
            self._backlog.expect(entry.due)

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.message.id]
        self._backlog.gone(entry.message.id)
        if entry.message.id in self._remover.pending:
            self._remover.over(entry.message.id)
        if entry.message.status is MessageStatus.POISON:
            self._aside.recount()
        if self._backlog.blocked and self.room() >= 2 * self._page:
            self._backlog.read()

    def _unrecorded(self, failure: Failure) -> None:
        self._recorder.forget()
        self._events.emit(ServiceEvent("error", "results were still on their way to the disk when the time to stop was over"))
