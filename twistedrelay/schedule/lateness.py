"""Jobs that wait in a lane for too long: those whose time is over are given up, the senders of others are told that it takes long.

One entry in the alarm stands for the first of them; a look goes through all that wait, at most once a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from twistedrelay.schedule.alarm import Alarm, Sleeper
from twistedrelay.schedule.jobs import JobQueue
from twistedrelay.schedule.retry import RetrySettings, delayed_at, expires_at
from twistedrelay.values.envelope import Job

GRAIN = 1.0  #: seconds between two looks


class LatenessOwner(Protocol):
    """Whose alarm and timeline these are."""

    alarm: Alarm

    @property
    def settings(self) -> RetrySettings:
        """The retry timeline."""


class Lateness:
    """Watches the jobs of one lane.

    @ivar next: when the first of them is late, as far as anybody has looked.
    @ivar since: how old the oldest is that was watched since the last look (when it was received).
    @param sleeper: who is woken for it, to call L{sweep}.
    @param overdue: is told of those that are to be given up, and of those whose senders are to be told.
    """

    __slots__ = ("_jobs", "_overdue", "_owner", "_sleeper", "next", "since")

    def __init__(
        self, jobs: JobQueue, owner: LatenessOwner, sleeper: Sleeper, overdue: Callable[[Sequence[Job], Sequence[Job]], None]
    ) -> None:
        self.next = self.since = math.inf
        self._jobs = jobs
        self._owner = owner
        self._sleeper = sleeper
        self._overdue = overdue

    def watch(self, job: Job) -> None:
        """One more waits."""
        self.since = min(self.since, job.message.received_at)
        notice = self._notice_time(job, expires_at(job.message, self._owner.settings))
        if notice < self.next:
            self.next = notice
            self._owner.alarm.at(notice, self._sleeper)

    def sweep(self, now: float) -> None:
        """Look at all that wait."""
        settings = self._owner.settings
        over: set[int] = set()
        delayed, first = [], math.inf
        for job in self._jobs:
            expiry = expires_at(job.message, settings)
            if expiry <= now:
                over.add(id(job))
                continue
            notice = self._notice_time(job, expiry)
            if notice <= now:
                delayed.append(job)
                for recipient in job.recipients:
                    recipient.delay_notified = True
                notice = expiry
            if notice < first:
                first = notice
        expired = self._jobs.extract(lambda job: id(job) in over) if over else []
        self.next, self.since = first, math.inf
        if first < math.inf:
            self.next = max(first, now + GRAIN)
            self._owner.alarm.at(self.next, self._sleeper)
        if expired or delayed:
            self._overdue(expired, delayed)

    def _notice_time(self, job: Job, expiry: float) -> float:
        for recipient in job.recipients:
            if not recipient.delay_notified:
                return min(expiry, delayed_at(job.message, self._owner.settings))
        return expiry
