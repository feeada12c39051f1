"""The queues as an administrator sees and handles them: views, retry, suspension.

A queue's identity is its next hop; where several lanes have the same one (another login, REQUIRETLS), what is done to it is done to all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, IRouter
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.aside import Aside
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.lengths import Length, lengths
from twistedrelay.schedule.parking import Parking
from twistedrelay.schedule.rates import INTERVAL
from twistedrelay.schedule.redirects import UNREACHABLE, Redirect, Redirects
from twistedrelay.schedule.resubmission import Resubmission
from twistedrelay.schedule.retry import RetrySettings, same_pauses, set_right
from twistedrelay.schedule.suspension import Suspensions
from twistedrelay.schedule.turns import Turns
from twistedrelay.schedule.views import LaneDetail, LaneView, lane_views
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.route import RouteKey

PIECE = 500  #: queues looked at in one turn of the reactor


def exists(views: Iterable[LaneView], identity: str) -> bool:
    """Whether a queue is among these.  Unreachable and Poison are no queues that anything is sent from."""
    return any(view.identity == identity and view.next_hop_domain == identity for view in views)


class Queues:
    """See the module.

    @ivar router: the one that decides now.
    """

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
        redirects: Redirects,
        resubmission: Resubmission,
    ) -> None:
        self._suspensions = suspensions
        self._redirects = redirects
        self._resubmission = resubmission
        suspensions.also.append(self._remembered)
        self._seconds = seconds
        self._lanes = lanes
        self._entries = entries
        self._router = router
        self._parking = parking
        self._aside = aside
        self._alarm = alarm
        self._events = events
        self._looking: list[Deferred[list[LaneView]]] = []

    def start(self) -> None:
        """Read which are suspended; measure what flows."""
        self._suspensions.load()
        self.wake(self._seconds())

    def hurry(self, before: RetrySettings, now: RetrySettings) -> None:
        """Other pauses between two tries of a next hop: those that are left alone wait for the shorter one."""
        if not same_pauses(before, now):
            Turns(self._hurried(list(self._lanes.values())), self._alarm, self._seconds)

    @staticmethod
    def _hurried(lanes: Sequence[Lane]) -> Generator[None, None, None]:
        for number, lane in enumerate(lanes, 1):
            lane.hurry()
            if number % PIECE == 0:
                yield

    def views(self) -> list[LaneView]:
        """All of them, at once: with many messages that takes long."""
        looking = self._look()
        while True:
            try:
                next(looking)
            except StopIteration as end:
                found: list[LaneView] = end.value
                return found

    def look(self) -> Deferred[list[LaneView]]:
        """All of them, found in many turns of the reactor; once for all who ask meanwhile."""
        waiting: Deferred[list[LaneView]] = Deferred()
        self._looking.append(waiting)
        if len(self._looking) == 1:
            looking = self._parking.counted().addCallback(lambda _: Turns(self._look(), self._alarm, self._seconds).done)
            looking.addBoth(self._looked)
        return waiting

    def _look(self) -> Generator[None, None, list[LaneView]]:
        entries = [entry for entry in self._entries.values() if entry.message.status is MessageStatus.NORMAL]
        lanes = self._lanes.values()
        special = self._suspensions.kept, self._redirects.queues
        shown = yield from lane_views(lanes, entries, self._router, *special, self._parking.count, self._seconds())
        if self._aside.poison:
            shown.append(LaneView("Poison", "Poison Message", "Undefined", "Ready", self._aside.poison))
        return shown

    def _looked(self, result: list[LaneView] | Failure) -> None:
        waiting, self._looking = self._looking, []
        for each in waiting:
            each.callback(result)

    @property
    def in_memory(self) -> int:
        """Messages that are in memory."""
        return len(self._entries)

    def lengths(self) -> Deferred[list[Length]]:
        """How long each lane is, without a look at its messages: for the metrics; found in many turns of the reactor."""
        return Turns(lengths(self._lanes.values(), self._parking.count), self._alarm, self._seconds).done

    def retry(self, identity: str) -> bool:
        """Try a next hop that backs off now (Retry-Queue); False: there is no lane, so nothing backs off."""
        lanes = self._of(identity)
        for lane in lanes:
            lane.retry()
        return bool(lanes)

    def details(self, identity: str) -> list[LaneDetail]:
        """The lanes of a queue."""
        return [LaneDetail.of(lane, self._parking.count(lane)) for lane in self._of(identity)]

    def resubmit(self, identity: str) -> Deferred[bool]:
        """Let all messages of a queue look for their ways anew, at once (Retry-Queue -Resubmit); False: there is no such queue."""
        return self._there(identity, UNREACHABLE).addCallback(lambda there: self._resubmit(identity) if there else False)

    def _resubmit(self, identity: str) -> bool:
        self.retry(identity)
        self._resubmission.queue(identity)
        return True

    def redirect(self, identity: str, to: str, by: str = "") -> Deferred[bool]:
        """Send what is in a queue, and what comes, to another server (Redirect-Message); False: there is no such queue.

        Fails with L{SpoolError} where it would not last.

        @param to: as L{twistedrelay.values.route.Hop} writes it.
        """
        return self._there(identity, UNREACHABLE).addCallback(lambda there: self._redirect(identity, to, by) if there else False)

    def _redirect(self, identity: str, to: str, by: str) -> Deferred[bool]:
        before = self._redirects.queues.get(identity)
        redirecting = self._redirects.set(identity, Redirect(to, by))
        moving = {identity, before.to if before is not None else identity}
        return self._move(redirecting, moving, {*moving, to}, f"the queue {identity} is redirected to {to}")

    def cancel_redirect(self, identity: str) -> Deferred[bool]:
        """Let a queue go its own way again; False: it is not redirected."""
        redirect = self._redirects.queues.get(identity)
        if redirect is None:
            return succeed(False)
        moving = {redirect.to, identity}
        cancelling, text = self._redirects.cancel(identity), f"the queue {identity} is no longer redirected to {redirect.to}"
        return self._move(cancelling, moving, moving, text)

    def _move(self, keeping: Deferred[None], queues: Iterable[str], back: Iterable[str], text: str) -> Deferred[bool]:
        """What waits in some queues goes other ways, and (C{back}) others again, where these could not be kept."""

        def not_kept(failure: Failure) -> Failure:
            for each in back:
                self._resubmission.queue(each)
            return failure

        for each in queues:
            self._resubmission.queue(each)
        return keeping.addCallbacks(lambda _: self._done(ServiceEvent("info", text)), not_kept)

    def _there(self, identity: str, *more: str) -> Deferred[bool]:
        """Whether there is a queue that messages leave by themselves."""
        if self._of(identity) or identity in self._suspensions.kept or identity in self._redirects.queues or identity in more:
            return succeed(True)
        return self.look().addCallback(lambda views: exists(views, identity))

    def _remembered(self, texts: dict[str, str]) -> None:
        for identity in self._redirects.load(texts):
            to = self._redirects.queues[identity].to
            self._events.emit(ServiceEvent("warn", f"the queue {identity} is still redirected to {to}"))
            self._resubmission.lanes(self._of(identity))

    def suspend(self, identity: str, reason: str = "", until: float = 0.0, by: str = "") -> Deferred[bool]:
        """Begin nothing new there (Suspend-Queue); False: there is no such queue.  Fails with L{SpoolError} where it would not last.

        @param until: when it ends by itself, seconds since the epoch; 0.0: never.
        """
        return self._there(identity).addCallback(lambda there: self._suspend(identity, reason, until, by) if there else False)

    def _suspend(self, identity: str, reason: str, until: float, by: str) -> Deferred[bool]:
        told = ServiceEvent("info", f"the queue {identity} is suspended: {reason or 'no reason given'}", "queue_suspended")
        return self._suspensions.suspend(identity, reason, until, by).addCallback(lambda _: self._done(told))

    def resume(self, identity: str) -> Deferred[bool]:
        """Let it go on (Resume-Queue); False: it is not suspended."""
        if self._suspensions.of(identity) is None:
            return succeed(False)
        told = ServiceEvent("info", f"the queue {identity} goes on", "queue_resumed")
        return self._suspensions.resume(identity).addCallback(lambda _: self._done(told))

    def _done(self, told: ServiceEvent) -> bool:
        self._events.emit(told)
        return True

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back: what waits in memory for so many seconds waits for as many."""
        for lane in self._lanes.values():
            lane.meter.wait_on(seconds)
        now = self._seconds()
        for entry in self._entries.values():
            set_right(entry.message, now, seconds)
        self._parking.wait_on(seconds)
        self._alarm.wait_on(seconds)
        self._suspensions.wait_on(seconds)

    def wake(self, now: float) -> None:
        """Take samples of what flows; see L{twistedrelay.schedule.alarm.Sleeper}."""
        now = self._seconds()
        for lane in self._lanes.values():
            lane.meter.sample(now, lane.came, lane.condition.delivered)
        self._alarm.at(now + INTERVAL, self)

    # inside

    def _of(self, identity: str) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane.route.next_hop == identity]
