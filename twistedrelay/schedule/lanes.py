"""A lane: the messages for one next hop, from the moment they may go until a run has them, and when the next hop is tried again.

Which job goes next is L{twistedrelay.schedule.jobs}' business, how many runs there are L{twistedrelay.schedule.runs}', and what the
answers of the next hop mean L{twistedrelay.schedule.condition}'s.  When no connection can be had at all, the whole lane backs off; it goes
on accepting jobs without trying.  A lane never decides what becomes of a recipient; it hands outcomes to its owner.

Source: Exchange queue states (Active, Connecting, Ready, Retry, Suspended).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Literal

from zope.interface import implementer

from twistedrelay.interfaces import ILane
from twistedrelay.schedule.condition import Condition, Heard
from twistedrelay.schedule.feedback import slows_down
from twistedrelay.schedule.jobs import MANY, JobQueue
from twistedrelay.schedule.lane_owner import LaneOwner
from twistedrelay.schedule.lateness import Lateness
from twistedrelay.schedule.limits import Limit
from twistedrelay.schedule.rates import Meter
from twistedrelay.schedule.retry import is_mailbox, lane_interval, returns_at, slow_down_interval
from twistedrelay.schedule.runs import Runs
from twistedrelay.schedule.suspension import Suspension
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

MOST = 10_000  #: jobs in memory
HEAD = 1_000  #: likewise, while none may go
LOW = 250  #: jobs in memory at which more are wanted
LONG = 500  #: jobs above which somebody may wait for hours

DELIVERED, ABOUT_MESSAGE, STAYS = OutcomeKind.DELIVERED, Heard.ABOUT_MESSAGE, Heard.STAYS

LaneStatus = Literal["Active", "Connecting", "Ready", "Retry", "Suspended"]


@implementer(ILane)
class Lane:
    """See the module.

    @ivar name: a text that stands for it on disk.
    @ivar route: of all its jobs.
    @ivar waiting: the jobs that no run has taken yet.
    @ivar condition: how its next hop is.
    @ivar suspension: by an administrator, or None.
    @ivar limit: what it shares with other lanes, or None.
    @ivar doubtful: the ways have changed since it began: a job that comes back may go elsewhere.
    @ivar running: the jobs that runs hold now.
    @ivar active: how many these are.
    @ivar many: how many of these are of mail to many.
    @ivar came: how many jobs it got.
    @ivar taken: how many were taken by runs.
    @ivar tried: how many of these ended or came back.
    """

    def __init__(self, route: Route, owner: LaneOwner) -> None:
        self.name = json.dumps(route.key)
        self.route = route
        self.waiting = JobQueue()
        self.condition = Condition(route.max_connections)
        self.suspension: Suspension | None = owner.suspensions.of(route.next_hop)
        self.limit: Limit | None = owner.limits.join(route)
        self.meter = Meter(owner.seconds())
        self.doubtful = False
        self.active = self.many = self.came = self.taken = self.tried = 0
        self.running: set[Job] = set()
        self._owner = owner
        self._runs = Runs(self, owner)
        self._late = Lateness(self.waiting, owner, self, lambda expired, delayed: owner.overdue(self, expired, delayed))
        self._retry_at = 0.0  # when to ask for a turn to try the next hop again
        self._idle_at = 0.0
        self._idle_mark = 0

    def __len__(self) -> int:
        return self.waiting.size

    @property
    def next_retry(self) -> float:
        """When the next hop is tried again, 0.0 unless the lane backs off."""
        return self.condition.next_retry

    @property
    def last_error(self) -> Reply | None:
        """Why it backed off, or None."""
        return self.condition.last_error

    @property
    def status(self) -> LaneStatus:
        """As Exchange's queue viewer says it."""
        if self.suspension is not None:
            return "Suspended"
        if self.condition.next_retry:
            return "Retry"
        if self.active:
            return "Active"
        return "Connecting" if self._runs.count else "Ready"

    @property
    def connections(self) -> int:
        """How many runs work on it."""
        return self._runs.count

    # for the schedule

    def add(self, jobs: list[Job]) -> None:
        """Jobs of one message."""
        waiting, message = self.waiting, jobs[0].message
        waiting.append(jobs)
        self.came += len(jobs)
        waits = self.condition.next_retry or self.suspension is not None
        long = (self.limit is not None or waiting.size > LONG) and message.received_at < self._late.since
        if waits or long or message.parameters.deliver_by is not None:
            self._late.watch(jobs[0])
        if not waits:
            self._runs.consider()

    def room(self) -> int:
        """How many jobs more it takes into memory."""
        return (HEAD if self.condition.next_retry or self.suspension is not None else MOST) - self.waiting.size

    def remove(self, ids: Collection[int]) -> list[Job]:
        """Take messages out; jobs that a run holds stay."""
        return self.waiting.extract(lambda job: job.message.id in ids) if self.waiting.size else []

    def retry(self) -> None:
        """Try the next hop now (Retry-Queue)."""
        if self.condition.next_retry:
            self.condition.next_retry = 0.0
            self.go_on()

    def resume(self) -> None:
        """Delivery may go on after a pause."""
        if not self.condition.next_retry:
            self.go_on()

    def suspend(self, suspension: Suspension | None) -> None:
        """Begin nothing new (Suspend-Queue); None: go on (Resume-Queue)."""
        before, self.suspension = self.suspension, suspension
        if suspension is not None:
            self._stand_back()
        elif before is not None and not self.condition.next_retry:
            self._owner.wants(self)
            self.go_on()

    def change(self, route: Route) -> None:
        """The same way, as the configuration has it now."""
        old, self.route = self.route, route
        self.condition.window.change(route.max_connections)
        limit, self.limit = self.limit, self._owner.limits.join(route)
        if limit is not None:
            self._owner.limits.leave(old, limit)

    def hurry(self) -> None:
        """Where the pauses are shorter than they were when this one began, it is as short."""
        condition = self.condition
        if self._retry_at and condition.last_error is not None and condition.sooner(self._pause(condition.last_error)):
            self._retry_at = condition.next_retry
            self._owner.alarm.at(self._retry_at, self)

    def dismiss(self) -> None:
        """All that waited here goes elsewhere: where nothing is under way, the lane is needed no more."""
        if not (self.waiting or self._runs.count):
            self.condition.next_retry = self._idle_at = 0.0
            self._owner.slots.forget(self)
            self._go()

    def _go(self) -> None:
        limit, self.limit = self.limit, None
        if limit is not None:
            limit.forget(self)
            self._owner.limits.leave(self.route, limit)
        self._owner.idle(self)

    def slot_free(self) -> None:
        """See L{twistedrelay.schedule.slots.Waiting}."""
        if self.waiting.size and not self.condition.next_retry:
            self._runs.consider()

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        condition = self.condition
        if self._retry_at and self._retry_at <= now:
            self._retry_at, condition.next_retry = 0.0, min(condition.next_retry, self._owner.seconds())
            self._owner.probes.ask(self)
        if self._late.next <= now:
            self._late.sweep(self._owner.seconds())
        if self._idle_at and self._idle_at <= now:
            self._idle_at = 0.0
            if self.taken == self._idle_mark and not (self.waiting or self._runs.count or condition.next_retry):
                self._go()
            else:
                self._rest()

    def probe(self, now: float) -> None:
        """See L{twistedrelay.schedule.probes.Probe}."""
        condition = self.condition
        if condition.next_retry and condition.next_retry <= now:
            condition.next_retry = 0.0
            self.go_on()

    # for delivery runs

    def take(self) -> Job | None:
        """See L{ILane.take}."""
        owner, limit, waiting = self._owner, self.limit, self.waiting
        if self.condition.next_retry or self.suspension is not None or not owner.may_run:
            return None
        if limit is not None and not (waiting.size and limit.open(self) and (not limit.slots.contended or limit.slots.spend(self))):
            return None
        if owner.slots.contended and not owner.slots.spend(self):
            return None
        few = waiting.many > 0 and self.many >= self.condition.window.for_many
        job = waiting.pop(few=few)
        while job is not None and job.message.parameters.deliver_by is not None and returns_at(job.message) <= owner.seconds():
            owner.overdue(self, [job], [])  # whoever wakes us for it has not had its turn yet
            job = waiting.pop(few=few)
        if job is not None:
            self.active += 1
            job.since = owner.seconds()
            self.running.add(job)
            self.many += len(job.recipients) > MANY
            self.taken += 1
            if limit is not None:
                limit.count()
        left = waiting.size
        if not left or left == LOW:
            owner.wants(self)
        return job

    def done(self, job: Job, outcomes: Sequence[Outcome], more: bool = False) -> None:
        """See L{ILane.done}."""
        if more:
            self._partly(job, outcomes)
            return
        self.active -= 1
        self.running.discard(job)
        self.many -= len(job.recipients) > MANY
        self.tried += 1
        if outcomes and outcomes[0].kind is DELIVERED:
            if self.condition.success():
                self._alive()
        elif self._heard(job, outcomes):
            return
        self._owner.done(self, job, outcomes)
        if self.waiting.size and self._runs.count:
            self._runs.consider()

    def give_back(self, job: Job) -> None:
        """See L{ILane.give_back}."""
        self.active -= 1
        self.running.discard(job)
        job.since, job.remote = 0.0, ""
        self.many -= len(job.recipients) > MANY
        self.tried += 1
        if self.limit is not None:
            self.limit.uncount()
        if self._owner.given_back(self, job):
            self.waiting.put_back(job)

    # for runs

    @property
    def ready(self) -> int:
        """How many jobs a run could take."""
        waiting = self.waiting
        if waiting.many and self.many >= self.condition.window.for_many:
            return waiting.size - waiting.many
        return waiting.size

    def go_on(self) -> None:
        """Work on what waits, if anything does."""
        if self.waiting.size:
            self._runs.consider()
        else:
            self._owner.wants(self)
            self._rest()

    def failed(self, reply: Reply) -> None:
        """A run had no connection, or too many had one in vain."""
        condition = self.condition
        if self._runs.count:  # others have a connection: this many the next hop can bear for now
            condition.window.cap(self._runs.count)
            condition.held = True
        elif reply.is_permanent:
            condition.window.cap(1)
            self._owner.given_up(self, self.waiting.drain(), reply)
        elif not condition.next_retry:
            self._back_off(reply)

    # inside

    def _partly(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Some recipients of a job were reached, while a run still has the others."""
        reached, before = {outcome.recipient.index for outcome in outcomes}, len(job.recipients)
        job.recipients = [recipient for recipient in job.recipients if recipient.index not in reached]
        self.many -= before > MANY >= len(job.recipients)
        if self.condition.success():
            self._alive()
        self._owner.done(self, job, outcomes)

    def _heard(self, job: Job, outcomes: Sequence[Outcome]) -> bool:
        """A job ended without a delivery.  True: it stays here."""
        condition = self.condition
        failing = condition.failures
        heard = condition.heard(job, outcomes)
        if heard is STAYS and self._owner.given_back(self, job):
            self.waiting.append([job])  # behind the others
        if heard is ABOUT_MESSAGE:
            if failing and not condition.failures:
                self._alive()
        elif condition.must_pause(self._runs.count):
            self._back_off(outcomes[0].reply)
        return heard is STAYS

    def _alive(self) -> None:
        """A next hop that had failed is back."""
        self._owner.probes.alive()
        self._owner.wants(self)

    def _back_off(self, reply: Reply) -> None:
        owner, condition = self._owner, self.condition
        condition.fail(reply)
        condition.wait(owner.seconds(), self._pause(reply))
        self._retry_at = condition.next_retry
        owner.alarm.at(self._retry_at, self)
        self._stand_back()

    def _pause(self, reply: Reply) -> float:
        interval = slow_down_interval if slows_down(reply) else lane_interval
        return self._owner.jitter(interval(self.condition.failures, self._owner.settings, mailbox=is_mailbox(self.route)))

    def _stand_back(self) -> None:
        """Nothing is wanted now; those that wait may become late."""
        self._owner.slots.forget(self)
        if self.limit is not None:
            self.limit.forget(self)
        self._late.sweep(self._owner.seconds())

    def _rest(self) -> None:
        """Nothing to do: see later whether the lane is needed at all."""
        if not self._idle_at:
            self._idle_mark = self.taken
            self._idle_at = self._owner.seconds() + self._owner.settings.queue_max_idle_time
            self._owner.alarm.at(self._idle_at, self)
