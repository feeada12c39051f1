"""The queues as an administrator sees and handles them: views, retry, suspension.

A queue's identity is its next hop; where several lanes have the same one (another login, REQUIRETLS), what is done to it is done to all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, succeed

from twistedrelay.interfaces import IEventSink, IRouter
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.aside import Aside
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.parking import Parking
from twistedrelay.schedule.rates import INTERVAL
from twistedrelay.schedule.suspension import Suspensions
from twistedrelay.schedule.views import LaneView, lane_views
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.route import RouteKey


class Queues:
    """See the module."""

    def __init__(
        self,
        seconds: Callable[[], float],
        lanes: Mapping[RouteKey, Lane],
        entries: Mapping[int, Entry],
        router: IRouter,
        suspensions: Suspensions,
        parking: Parking,
        aside: Aside,
        alarm: Alarm,
        events: IEventSink,
    ) -> None:
        self._suspensions = suspensions
        self._seconds = seconds
        self._lanes = lanes
        self._entries = entries
        self._router = router
        self._parking = parking
        self._aside = aside
        self._alarm = alarm
        self._events = events

    def start(self) -> None:
        """Read which are suspended; measure what flows."""
        self._suspensions.load()
        self.wake(self._seconds())

    def views(self) -> list[LaneView]:
        """All of them."""
        entries = (entry for entry in self._entries.values() if entry.message.status is MessageStatus.NORMAL)
        shown = lane_views(self._lanes.values(), entries, self._router, self._suspensions.kept, self._parking.count, self._seconds())
        if self._aside.poison:
            shown.append(LaneView("Poison", "Poison Message", "Undefined", "Ready", self._aside.poison))
        return shown

    def retry(self, identity: str) -> bool:
        """Try a next hop that backs off now (Retry-Queue); False: there is no such queue."""
        lanes = self._of(identity)
        for lane in lanes:
            lane.retry()
        return bool(lanes) or self._exists(identity)

    def suspend(self, identity: str, reason: str = "", until: float = 0.0) -> Deferred[bool]:
        """Begin nothing new there (Suspend-Queue); False: there is no such queue.  Fails with L{SpoolError} where it would not last.

        @param until: when it ends by itself, seconds since the epoch; 0.0: never.
        """
        if not self._exists(identity):
            return succeed(False)
        self._events.emit(ServiceEvent("info", f"the queue {identity} is suspended: {reason or 'no reason given'}"))
        return self._suspensions.suspend(identity, reason, until).addCallback(lambda _: True)

    def resume(self, identity: str) -> Deferred[bool]:
        """Let it go on (Resume-Queue); False: it is not suspended."""
        if self._suspensions.of(identity) is None:
            return succeed(False)
        self._events.emit(ServiceEvent("info", f"the queue {identity} goes on"))
        return self._suspensions.resume(identity).addCallback(lambda _: True)

    def wake(self, now: float) -> None:
        """Take samples of what flows; see L{twistedrelay.schedule.alarm.Sleeper}."""
        for lane in self._lanes.values():
            lane.meter.sample(now, lane.came, lane.condition.delivered)
        self._alarm.at(now + INTERVAL, self)

    # inside

    def _of(self, identity: str) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane.route.next_hop == identity]

    def _exists(self, identity: str) -> bool:
        """Unreachable and Poison are no queues that anything is sent from."""
        return any(view.identity == identity and view.next_hop_domain == identity for view in self.views())
