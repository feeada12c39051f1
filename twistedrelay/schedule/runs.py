"""The delivery runs of one lane: when another one is worth its connection.

A run takes one job after another and pipelines the next behind the dot, so few busy connections beat many idle ones: another is opened
only when more waits than those in progress will soon take, or when nothing was taken for a moment; never more than the next hop can bear,
and where slots are scarce only one until it is known to answer at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.schedule.limits import Limit
from twistedrelay.values.reply import LOCAL_ERROR, Reply

if TYPE_CHECKING:
    from twistedrelay.schedule.lane_owner import LaneOwner
    from twistedrelay.schedule.lanes import Lane

PATIENCE = 0.02  #: seconds without a job taken before another run is opened
SICK_POLL = 1.0  #: seconds between looks whether the spool is well again


class Runs:
    """See the module.

    @ivar count: how many there are.
    """

    __slots__ = ("_condition", "_lane", "_look_at", "_look_mark", "_owner", "count")

    def __init__(self, lane: Lane, owner: LaneOwner) -> None:
        self.count = 0
        self._lane = lane
        self._owner = owner
        self._condition = lane.condition
        self._look_at = 0.0  # when to see whether another run is needed, 0.0: not set
        self._look_mark = 0

    def consider(self) -> None:
        """Jobs wait: open a run, or another one if too much waits for those in progress."""
        count, waiting = self.count, self._lane.waiting
        ready = self._lane.ready if waiting.many else waiting.size
        if not count or not ready:
            if ready and self._open() and ready > 2 and not self._look_at:
                self._look_in(PATIENCE)
            return
        condition = self._condition
        if count >= condition.window.size or condition.held:
            return
        if ready > 2 * count:
            self._open()
        elif not self._look_at:
            self._look_in(PATIENCE)

    def wake(self, now: float) -> None:
        """It is time to look."""
        if not self._look_at or self._look_at > now:
            return
        self._look_at = 0.0
        condition = self._condition
        if not self._lane.ready or condition.next_retry:
            return
        if not self.count:
            self._open()
        elif self.count < condition.window.size and not condition.held and (self._lane.taken != self._look_mark or self._open()):
            self._look_in(PATIENCE)  # it moves, or may need yet another

    def _look_in(self, seconds: float) -> None:
        self._look_mark = self._lane.taken
        self._look_at = self._owner.seconds() + seconds
        self._owner.alarm.at(self._look_at, self)

    def _open(self) -> bool:
        """Start a run if that is allowed now."""
        lane, owner, condition, first = self._lane, self._owner, self._condition, not self.count
        if lane.suspension is not None:
            return False
        if not owner.may_run:
            if not self._look_at:
                self._look_in(SICK_POLL)
            return False
        if not first and not condition.delivered and owner.slots.scarce:
            return False
        limit = lane.limit
        if limit is not None and not (limit.open(lane) and limit.slots.take(lane, wait=first)):
            return False
        probe = condition.failures > 0
        if not owner.slots.take(lane, wait=first, probe=probe):
            if limit is not None:
                limit.slots.release(lane)
            return False
        self.count += 1
        run: Deferred[Reply | None] = owner.attempt.run(lane)
        run.addBoth(self._ended, limit, probe, lane.tried, condition.words)
        return True

    def _ended(self, result: Reply | Failure | None, limit: Limit | None, probe: bool, tried: int, words: int) -> None:
        lane, condition = self._lane, self._condition
        self.count -= 1
        if not self.count:
            condition.held = False
        if isinstance(result, Failure):
            self._owner.broken(result)
            result = LOCAL_ERROR
        if result is None and lane.tried != tried and condition.words == words:
            result = condition.fruitless()
        if result is not None:
            lane.failed(result)
        if limit is not None:
            limit.slots.release(lane)
        self._owner.slots.release(lane, probe=probe)
        if not condition.next_retry:
            lane.go_on()
