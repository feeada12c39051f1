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
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IAttempt, IEventSink, IReporter, IRouter, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.backlog import PAGE, Backlog
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.limits import Limits
from twistedrelay.schedule.queues import Queues
from twistedrelay.schedule.recorder import Recorder
from twistedrelay.schedule.removal import Remover
from twistedrelay.schedule.retry import Jitter, TransportSettings, is_mailbox, returns_at
from twistedrelay.schedule.slots import Slots
from twistedrelay.schedule.suspension import Suspensions
from twistedrelay.schedule.verdict import expired as expired_reply
from twistedrelay.schedule.verdict import judge
from twistedrelay.schedule.views import LaneView
from twistedrelay.schedule.withdrawal import Withdrawal
from twistedrelay.values.envelope import Job, Message, Outcome, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.values.route import Route, RouteKey

WINDOW = 20_000  #: messages in memory
RECIPIENTS_PER_JOB = 100  #: the least that every server must take in one transaction (RFC 5321 section 4.5.3.1.8)
RECIPIENTS_PER_TURN = 1000  #: routed before the reactor gets its turn

UNPROVEN = frozenset({"5.7.10", "5.7.30"})  #: what is said where a next hop is not fit for REQUIRETLS (RFC 8689 section 4.2.1)
CONGESTED = Reply(451, "4.4.5", "Too many messages wait for this next hop")


class Scheduler:
    """See the module.

    @ivar window: how many messages may be in memory.
    @ivar queues: the queues as an administrator sees and handles them.
    @ivar withdrawal: suspends and resumes messages.
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
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.attempt = attempt
        self.settings = transport
        self.slots = Slots(transport.max_outbound_connections)
        self.alarm = Alarm(clock)
        self.limits = Limits(self)
        self.window = max(window, 8)
        self.seconds = clock.seconds
        self.jitter = Jitter(chance)
        self._clock = clock
        self._spool = spool
        self._router = router
        self._events = events
        self._entries: dict[int, Entry] = {}
        self._lanes: dict[RouteKey, Lane] = {}
        self._by_route: dict[Route, Lane] = {}
        self._page = max(1, min(PAGE, self.window // 4))
        self._recorder = Recorder(clock.seconds, spool, reporter, events, transport, self)
        self._backlog = Backlog(clock.seconds, spool, self.alarm, events, self._entries.keys(), self, self._page)
        self._remover = Remover(self._entries, self._lanes, self._backlog, self._recorder, self)
        self.suspensions = Suspensions(clock.seconds, spool, self.alarm, events, self._lanes)
        self.queues = Queues(clock.seconds, self._lanes, self._entries, router, self.suspensions, self.alarm, events)
        self.withdrawal = Withdrawal(self._entries, self._lanes, self._backlog, spool, self)
        self._paused = False
        self._stopping = False

    # for the service

    def start(self) -> None:
        """Read what is due from the spool and begin."""
        self.queues.start()
        self._backlog.expect(self.seconds())

    def stop(self, seconds: float) -> Deferred[None]:
        """Begin nothing more; fires when running transactions have ended (or C{seconds} are over) and their results are durable."""
        self._stopping = True
        self._backlog.stop()
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
        for lane in list(self._lanes.values()):
            lane.resume()
        self._backlog.resume()

    def submit(self, message: Message) -> None:
        """A message was committed to the spool: send it."""
        if self._stopping or message.id in self._entries:
            return
        if len(self._entries) >= self.window or self._backlog.blocked:  # behind those that wait on disk
            self._backlog.expect(self.seconds())
            return
        self.adopt(message)

    def lanes(self) -> list[LaneView]:
        """The queues, for views."""
        return self.queues.views()

    @property
    def uncertain(self) -> int:
        """How many recipients may have been sent a message twice."""
        return self._recorder.uncertain

    def remove(self, id: int, with_ndr: bool) -> Deferred[bool]:
        """Take a message out of the queue; a transaction in progress ends first (PendingRemove).

        Fires with False if there is none; fails with L{SpoolError} where it stays, since its sender could not be told.
        """
        return self._remover.remove(id, with_ndr)

    # for the backlog

    def room(self) -> int:
        """See L{twistedrelay.schedule.backlog.BacklogOwner}."""
        return self.window - len(self._entries)

    def adopt(self, message: Message) -> None:
        """See L{twistedrelay.schedule.backlog.BacklogOwner}."""
        entry = Entry.of(message, self)
        if entry.remaining and not message.status:
            self._entries[message.id] = entry
            self.dispatch(entry)

    # for entries

    def dispatch(self, entry: Entry) -> None:
        """See L{twistedrelay.schedule.entry.EntryOwner}."""
        if self._stopping or entry.message.status or self._entries.get(entry.message.id) is not entry:
            return
        message, now = entry.message, self.seconds()
        recipients: Sequence[Recipient] = message.recipients
        if len(recipients) > RECIPIENTS_PER_TURN:
            start = entry.cursor
            entry.cursor = start + RECIPIENTS_PER_TURN
            recipients = recipients[start : entry.cursor]
            if entry.cursor >= len(message.recipients):
                entry.cursor = 0
        ways, refused = self._sort(entry, recipients, now)
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
            self._judge(entry, refused, now + self.settings.message_retry_interval, "Unreachable", attempted=False)

    def _sort(self, entry: Entry, recipients: Sequence[Recipient], now: float) -> tuple[dict[Route, list[Recipient]], list[Outcome]]:
        """Those that are due, by their ways out, and those that have none."""
        message, busy, route = entry.message, entry.busy, self._router.route
        too_late = returns_at(message) <= now
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
                refused.append(Outcome(recipient, OutcomeKind.FAILED, expired_reply(message, recipient.last_reply, now)))
                continue
            try:
                way = route(message, recipient)
            except Exception as error:
                self._events.emit(ServiceEvent("error", f"a defect in routing: {error!r}"))
                way = LOCAL_ERROR
            if isinstance(way, Reply):
                refused.append(Outcome(recipient, OutcomeKind.FAILED if way.is_permanent else OutcomeKind.DEFERRED, way))
            elif way in ways:
                ways[way].append(recipient)
            else:
                ways[way] = [recipient]
        return ways, refused

    def _enqueue(self, entry: Entry, route: Route, recipients: list[Recipient]) -> None:
        lane = self._by_route.get(route) or self._lane(route)
        capacity = self.window // (8 if lane.next_retry else 2)  # a dead next hop must not fill the memory
        if len(lane) >= capacity:
            outcomes = [Outcome(recipient, OutcomeKind.DEFERRED, lane.last_error or CONGESTED) for recipient in recipients]
            self._judge(entry, outcomes, lane.turn_away(capacity), route.next_hop, attempted=False, announce=False)
        elif len(recipients) <= RECIPIENTS_PER_JOB:
            lane.add([Job(entry.message, recipients)])
        else:
            starts = range(0, len(recipients), RECIPIENTS_PER_JOB)
            lane.add([Job(entry.message, recipients[start : start + RECIPIENTS_PER_JOB]) for start in starts])

    def _lane(self, route: Route) -> Lane:
        lane = self._lanes.get(route.key)
        if lane is None:
            lane = self._lanes[route.key] = Lane(route, self)
        else:  # the router made a new object for the same way: the newest counts
            self._by_route.pop(lane.route, None)
            lane.change(route)
        self._by_route[route] = lane
        return lane

    # for lanes

    @property
    def may_run(self) -> bool:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        return not (self._paused or self._stopping) and self._spool.healthy and self.suspensions.known

    def wants(self, lane: Lane) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._backlog.expect(self.seconds())

    def done(self, lane: Lane, job: Job, outcomes: Sequence[Outcome]) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        settings = self.settings
        wait = settings.mailbox_delivery_queue_retry_interval if is_mailbox(lane.route) else settings.message_retry_interval
        if outcomes[0].kind is not OutcomeKind.DELIVERED:
            wait = self.jitter(wait)
        self._judge(self._entries[job.message.id], outcomes, self.seconds() + wait, lane.route.next_hop)

    def given_back(self, job: Job) -> bool:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        entry = self._entries[job.message.id]
        if entry.removing is None:
            if not entry.message.status:
                return True
            entry.busy.difference_update(recipient.index for recipient in job.recipients)
            self.put_aside(entry)
            return False
        self._recorder.remove(entry, job.recipients, with_ndr=entry.removing)
        return False

    def given_up(self, lane: Lane, jobs: Sequence[Job], reply: Reply) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        for job in jobs:
            message, kind = job.message, OutcomeKind.FAILED
            if lane.route.require_tls and message.sender.is_null and reply.enhanced in UNPROVEN:
                # No report is lost for want of REQUIRETLS (RFC 8689 section 5): from now on it goes the usual way.
                message.parameters, kind = attrs.evolve(message.parameters, require_tls=False), OutcomeKind.DEFERRED
            outcomes = [Outcome(recipient, kind, reply) for recipient in job.recipients]
            self._judge(self._entries[message.id], outcomes, self.seconds(), lane.route.next_hop)

    def overdue(self, lane: Lane, expired: Sequence[Job], delayed: Sequence[Job]) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        error = lane.last_error or CONGESTED
        for job in expired:
            self.given_up(lane, [job], expired_reply(job.message, error, self.seconds()))
        for job in delayed:
            for recipient in job.recipients:
                recipient.last_reply = error
            outcomes = [Outcome(recipient, OutcomeKind.DEFERRED, error) for recipient in job.recipients]
            self._recorder.delay(self._entries[job.message.id], outcomes, lane.route.next_hop, held=True)

    def idle(self, lane: Lane) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._lanes.pop(lane.route.key, None)
        self._by_route.pop(lane.route, None)

    def broken(self, failure: Failure) -> None:
        """See L{twistedrelay.schedule.lane_owner.LaneOwner}."""
        self._events.emit(ServiceEvent("error", f"a defect: {failure.getTraceback(detail='brief')}"))

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
            elif entry.message.status:
                self.put_aside(entry)
            elif entry.due < math.inf:
                self._wait(entry)
        elif not entry.records:
            self._forget(entry)

    def put_aside(self, entry: Entry) -> None:
        """See L{twistedrelay.schedule.withdrawal.WithdrawalOwner}."""
        if not (entry.busy or entry.records):
            self._forget(entry)

    # inside

    def _judge(
        self, entry: Entry, outcomes: Sequence[Outcome], retry_at: float, next_hop: str, *, attempted: bool = True, announce: bool = True
    ) -> None:
        self._recorder.doubt(entry.message, outcomes, next_hop)
        verdict = judge(entry.message, outcomes, self.seconds(), self.settings, retry_at, attempted=attempted)
        if verdict.settled:
            self._recorder.settle(entry, verdict.settled, next_hop, announce=announce)
        if verdict.succeeded:
            self._recorder.succeed(entry, verdict.succeeded, next_hop)
        if verdict.failed:
            self._recorder.fail(entry, verdict.failed, next_hop)
        if verdict.delayed:
            self._recorder.delay(entry, verdict.delayed, next_hop)

    def _wait(self, entry: Entry) -> None:
        """Some recipients wait for their time: in memory while there is room, else on disk."""
        if entry.busy or entry.records or len(self._entries) * 2 <= self.window:
            self.alarm.at(entry.due, entry)
        else:
            self._forget(entry)
            self._backlog.expect(entry.due)

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.message.id]
        self._backlog.gone(entry.message.id)
        if self._backlog.blocked and self.room() * 2 >= self.window:
            self._backlog.read()

    def _unrecorded(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", "results were still on their way to the disk when the time to stop was over"))
