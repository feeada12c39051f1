"""A lane: the messages for one next hop, how many delivery runs work on them, and when the next hop is tried again.

The number of runs follows feedback: up from 5 by 1/N for each delivered message, down when a connection fails.  A run takes one job after
another and pipelines the next behind the dot, so few busy connections beat many idle ones: another run is opened only when more waits than
those in progress will soon take, or when nothing was taken for a moment.  When no connection can be had at all, the whole lane backs off;
it goes on accepting jobs without trying.

A lane never decides what becomes of a recipient; it hands outcomes to its owner.

Source: Exchange queue states (Active, Connecting, Ready, Retry); the concurrency feedback is Postfix's idea (SCHEDULER_README).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Literal, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IAttempt, ILane
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.jobs import JobQueue
from twistedrelay.schedule.retry import RetrySettings, delayed_at, expires_at, is_mailbox, lane_interval, returns_at
from twistedrelay.schedule.slots import Slots
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.values.route import Route

INITIAL_WINDOW = 5.0
PATIENCE = 0.02  #: seconds without a job taken before another run is opened
SICK_POLL = 1.0  #: seconds between looks whether the spool is well again
FRUITLESS_RUNS = 3  #: connections in a row that ended before any transaction, before the lane backs off
MOST = 10_000  #: jobs in memory
MOST_IN_RETRY = 2_500  #: likewise, while the next hop cannot be reached
LOW = 250  #: jobs in memory, below which more are wanted
MAX_IDLE = 180.0  #: Exchange's QueueMaxIdleTime

DROPPED = Reply(421, "4.4.2", "Connection dropped by the next hop before a message could be sent")

LaneStatus = Literal["Active", "Connecting", "Ready", "Retry"]


class LaneOwner(Protocol):
    """What a lane needs of the schedule."""

    attempt: IAttempt
    slots: Slots
    alarm: Alarm

    @property
    def settings(self) -> RetrySettings:
        """The retry timeline."""

    @property
    def may_run(self) -> bool:
        """False while delivery is paused or ending."""

    def seconds(self) -> float:
        """Now."""

    def done(self, lane: Lane, job: Job, outcomes: Sequence[Outcome]) -> None:
        """What became of a job that a run had taken."""

    def given_back(self, job: Job) -> bool:
        """A run did not try a job.  False: it was removed meanwhile, drop it."""

    def given_up(self, lane: Lane, jobs: Sequence[Job], reply: Reply) -> None:
        """The next hop can never be reached."""

    def overdue(self, lane: Lane, expired: Sequence[Job], delayed: Sequence[Job]) -> None:
        """Jobs that waited too long for their next hop: the first are given up, the senders of the others told."""

    def wants(self, lane: Lane) -> None:
        """There is room again for messages that wait for this lane on disk."""

    def idle(self, lane: Lane) -> None:
        """Nothing happened here for a while."""

    def broken(self, failure: Failure) -> None:
        """Delivery raised: a defect to log."""


@implementer(ILane)
class Lane:
    """See the module.

    @ivar route: of all its jobs.
    @ivar name: what messages that wait for it on disk are kept under; the same after a restart.
    @ivar active: how many jobs runs hold now.
    @ivar next_retry: when the next hop is tried again, 0.0 unless it backs off.
    @ivar last_error: why it backed off last, or None.
    @ivar failures: how many times in a row it backed off.
    """

    def __init__(self, route: Route, owner: LaneOwner) -> None:
        self.route = route
        self.name = json.dumps(route.key)
        self.active = 0
        self.next_retry = 0.0
        self.last_error: Reply | None = None
        self.failures = 0
        self._owner = owner
        self._jobs = JobQueue()
        self._runs = 0
        self._window = min(INITIAL_WINDOW, route.max_connections)
        self._held = False  # a connection failed while others work: none more until one of them shows life
        self._taken = 0
        self._done = 0
        self._returned = 0
        self._fruitless = 0
        self._look_at = 0.0  # when to see whether another run is needed, 0.0: not set
        self._look_mark = 0
        self._idle_at = 0.0
        self._idle_mark = 0
        self._notice_at = math.inf  # when the first waiting message expires or is late, as far as anybody has looked

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def waiting(self) -> JobQueue:
        """The jobs that no run has taken yet."""
        return self._jobs

    @property
    def status(self) -> LaneStatus:
        """As Exchange's queue viewer says it."""
        if self.next_retry:
            return "Retry"
        if self.active:
            return "Active"
        return "Connecting" if self._runs else "Ready"

    # for the schedule

    def add(self, jobs: list[Job]) -> None:
        """Jobs of one message."""
        self._jobs.append(jobs)
        if self.next_retry or jobs[0].message.parameters.deliver_by is not None:
            self._watch(jobs[0])
        if self.next_retry:
            return
        if not self._runs:
            self._open()
        else:
            self._consider()

    def room(self) -> int:
        """How many jobs more it takes into memory."""
        return (MOST_IN_RETRY if self.next_retry else MOST) - len(self._jobs)

    def remove(self, message_id: int) -> list[Job]:
        """Take a message out; jobs that a run holds stay."""
        return self._jobs.extract(lambda job: job.message.id == message_id)

    def retry(self) -> None:
        """Try the next hop now (Retry-Queue)."""
        if self.next_retry:
            self.next_retry = 0.0
            self._go_on()

    def resume(self) -> None:
        """Delivery may go on after a pause."""
        if not self.next_retry:
            self._go_on()

    def slot_free(self) -> None:
        """See L{twistedrelay.schedule.slots.Waiting}."""
        if self._jobs and not self.next_retry:
            self._open()

    # for delivery runs

    def take(self) -> Job | None:
        """See L{ILane.take}."""
        owner = self._owner
        if self.next_retry or not owner.may_run:
            return None
        if owner.slots.contended and not owner.slots.spend(self):
            return None
        job = self._jobs.pop()
        while job is not None and job.message.parameters.deliver_by is not None and returns_at(job.message) <= owner.seconds():
            owner.overdue(self, [job], [])  # whoever wakes us for it has not had its turn yet
            job = self._jobs.pop()
        if job is not None:
            self.active += 1
            self._taken += 1
        if len(self._jobs) < LOW:
            owner.wants(self)
        return job

    def done(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """See L{ILane.done}."""
        self.active -= 1
        self._done += 1
        self._held = False
        self._fruitless = 0
        if self.failures:
            self.failures = 0
            self.last_error = None
            self._window = max(self._window, min(INITIAL_WINDOW, self.route.max_connections))
        if outcomes and outcomes[0].kind is OutcomeKind.DELIVERED and self._window < self.route.max_connections:
            self._window += 1.0 / self._window
        self._owner.done(self, job, outcomes)
        if self._jobs and self._runs:
            self._consider()

    def give_back(self, job: Job) -> None:
        """See L{ILane.give_back}."""
        self.active -= 1
        self._returned += 1
        if self._owner.given_back(job):
            self._jobs.put_back(job)

    # inside

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if self._look_at and self._look_at <= now:
            self._look_at = 0.0
            self._look()
        if self.next_retry and self.next_retry <= now:
            self.next_retry = 0.0
            self._go_on()
        elif self._notice_at <= now:
            self._sweep(now)
        if self._idle_at and self._idle_at <= now:
            self._idle_at = 0.0
            if self._taken == self._idle_mark and not (self._jobs or self._runs or self.next_retry):
                self._owner.idle(self)
            else:
                self._rest()

    def _go_on(self) -> None:
        if not self._jobs:
            self._owner.wants(self)
            self._rest()
        elif not self._runs:
            self._open()
        else:
            self._consider()

    def _consider(self) -> None:
        """Open another run if too much waits for those in progress."""
        if len(self._jobs) > 2 * self._runs and self._runs < int(self._window) and not self._held:
            self._open()
        elif not self._look_at and self._runs < int(self._window) and not self._held:
            self._look_in(PATIENCE)

    def _look_in(self, seconds: float) -> None:
        self._look_mark = self._taken
        self._look_at = self._owner.seconds() + seconds
        self._owner.alarm.at(self._look_at, self)

    def _look(self) -> None:
        if not self._jobs or self.next_retry:
            return
        if not self._runs:
            self._open()
        elif self._runs < int(self._window) and not self._held and (self._taken != self._look_mark or self._open()):
            self._look_in(PATIENCE)  # it moves, or may need yet another

    def _open(self) -> bool:
        """Start a run if that is allowed now."""
        owner = self._owner
        if not owner.may_run:
            if not self._look_at:
                self._look_in(SICK_POLL)
            return False
        if not owner.slots.take(self, wait=not self._runs):
            return False
        self._runs += 1
        run: Deferred[Reply | None] = owner.attempt.run(self)
        run.addBoth(self._ended, self._done, self._returned)
        return True

    def _ended(self, result: Reply | Failure | None, done: int, returned: int) -> None:
        self._runs -= 1
        if not self._runs:
            self._held = False
        if isinstance(result, Failure):
            self._owner.broken(result)
            result = LOCAL_ERROR
        if result is None and self._returned != returned and self._done == done:
            self._fruitless += 1
            if self._fruitless >= FRUITLESS_RUNS:
                result = DROPPED
        if result is not None:
            self._failed(result)
        self._owner.slots.release()
        if self.next_retry:
            return
        self._go_on()

    def _failed(self, reply: Reply) -> None:
        if self._runs:  # others have a connection: this many the next hop can bear for now
            self._window = float(self._runs)
            self._held = True
            return
        self._window = 1.0
        self._fruitless = 0
        if reply.is_permanent:
            self._owner.given_up(self, self._jobs.drain(), reply)
            return
        owner = self._owner
        now = owner.seconds()
        self.failures += 1
        self.last_error = reply
        self.next_retry = now + lane_interval(self.failures, owner.settings, mailbox=is_mailbox(self.route))
        owner.slots.forget(self)
        owner.alarm.at(self.next_retry, self)
        self._sweep(now)

    def _watch(self, job: Job) -> None:
        notice = self._notice_time(job)
        if notice < self._notice_at:
            self._notice_at = notice
            self._owner.alarm.at(notice, self)

    def _notice_time(self, job: Job) -> float:
        settings = self._owner.settings
        expiry = expires_at(job.message, settings)
        if all(recipient.delay_notified for recipient in job.recipients):
            return expiry
        return min(expiry, delayed_at(job.message, settings))

    def _sweep(self, now: float) -> None:
        """Look at all that wait: for a next hop that does not answer, or that does not take them in time."""
        settings = self._owner.settings
        expired = self._jobs.extract(lambda job: expires_at(job.message, settings) <= now)
        delayed = [job for job in self._jobs if self._notice_time(job) <= now]
        for job in delayed:
            for recipient in job.recipients:
                recipient.delay_notified = True
        self._notice_at = min((self._notice_time(job) for job in self._jobs), default=math.inf)
        if self._notice_at < math.inf:
            self._owner.alarm.at(self._notice_at, self)
        if expired or delayed:
            self._owner.overdue(self, expired, delayed)

    def _rest(self) -> None:
        """Nothing to do: see later whether the lane is needed at all."""
        if not self._idle_at:
            self._idle_mark = self._taken
            self._idle_at = self._owner.seconds() + MAX_IDLE
            self._owner.alarm.at(self._idle_at, self)
