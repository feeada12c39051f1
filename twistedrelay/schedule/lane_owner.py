"""What a lane needs of the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from twisted.python.failure import Failure

from twistedrelay.interfaces import IAttempt
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.limits import Limits
from twistedrelay.schedule.retry import Jitter, RetrySettings
from twistedrelay.schedule.slots import Slots
from twistedrelay.schedule.suspension import Suspensions
from twistedrelay.values.envelope import Job, Outcome
from twistedrelay.values.reply import Reply

if TYPE_CHECKING:
    from twistedrelay.schedule.lanes import Lane


class LaneOwner(Protocol):
    """See the module."""

    attempt: IAttempt
    slots: Slots
    limits: Limits
    alarm: Alarm
    suspensions: Suspensions
    jitter: Jitter

    @property
    def settings(self) -> RetrySettings:
        """The retry timeline."""

    @property
    def may_run(self) -> bool:
        """False while delivery is paused or ending."""

    def seconds(self) -> float:
        """Now."""

    def wants(self, lane: Lane) -> None:
        """There is room again for messages that wait for this lane on disk.  Cheap where there are none."""

    def done(self, lane: Lane, job: Job, outcomes: Sequence[Outcome]) -> None:
        """What became of a job that a run had taken."""

    def given_back(self, lane: Lane, job: Job) -> bool:
        """A job comes back to its lane.  False: it was removed or suspended meanwhile, or goes elsewhere now; drop it."""

    def given_up(self, lane: Lane, jobs: Sequence[Job], reply: Reply) -> None:
        """The next hop can never be reached."""

    def overdue(self, lane: Lane, expired: Sequence[Job], delayed: Sequence[Job]) -> None:
        """Jobs that waited too long for their next hop: the first are given up, the senders of the others told."""

    def idle(self, lane: Lane) -> None:
        """Nothing happened here for a while."""

    def broken(self, failure: Failure) -> None:
        """Delivery raised: a defect to log."""
