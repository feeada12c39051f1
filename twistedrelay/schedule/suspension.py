"""Queues that an administrator suspended: which, why, until when.

A suspended queue takes mail and finishes what is being sent; nothing new begins.  It ends by itself at its time.  A suspension is kept by
the spool under C{queue:<identity>}, so it survives a restart, and holds for a queue that is forgotten meanwhile and comes back.  Until
what the spool remembers was read, nothing may be sent at all.

Source: Exchange Suspend-Queue, Resume-Queue (reason and end time are ours).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.orders import Orders
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.route import Route, RouteKey

PREFIX = "queue:"
TROUBLE_POLL = 10.0  #: seconds until the spool is asked again


@attrs.frozen(slots=True)
class Suspension:
    """One.

    @ivar reason: as the administrator gave it, or C{""}.
    @ivar until: when it ends, seconds since the epoch; 0.0: never by itself.
    @ivar by: who did it, or C{""}.
    """

    reason: str = ""
    until: float = 0.0
    by: str = ""


class Suspendable(Protocol):
    """A lane."""

    route: Route

    def suspend(self, suspension: Suspension | None) -> None:
        """Begin nothing new; None: go on."""

    def resume(self) -> None:
        """What the spool remembers was read."""


class Suspensions:
    """See the module.

    @ivar known: False between L{load} and its end.
    @ivar kept: the suspensions by queue.
    @ivar also: who else wants to know what the spool remembers, before anything is sent.
    """

    def __init__(
        self, seconds: Callable[[], float], spool: ISpool, alarm: Alarm, events: IEventSink, lanes: Mapping[RouteKey, Suspendable]
    ) -> None:
        self.known = True
        self._seconds = seconds
        self._spool = spool
        self._alarm = alarm
        self._events = events
        self._lanes = lanes
        self.kept: dict[str, Suspension] = {}
        self._orders: Orders[str, Suspension] = Orders(self._put, self._remember)
        self.also: list[Callable[[dict[str, str]], None]] = []

    def of(self, identity: str) -> Suspension | None:
        """The suspension of a queue, if any."""
        return self.kept.get(identity)

    def load(self) -> None:
        """Read what was kept over a restart."""
        self.known = False
        self._spool.remembered().addCallbacks(self._loaded, self._not_loaded)

    def suspend(self, identity: str, reason: str, until: float, by: str = "") -> Deferred[None]:
        """Suspend a queue now; fires when that survives a restart, fails with L{SpoolError} where it does not: then nothing has changed."""
        return self._orders.give(identity, Suspension(reason, until, by))

    def resume(self, identity: str) -> Deferred[None]:
        """Let a queue go on; as L{suspend}."""
        return self._orders.give(identity, None)

    def _put(self, identity: str, suspension: Suspension | None) -> None:
        if suspension is None:
            self.kept.pop(identity, None)
        else:
            self.kept[identity] = suspension
            if suspension.until:
                self._alarm.at(suspension.until, self)
        self._tell(identity, suspension)

    def _remember(self, identity: str, suspension: Suspension | None) -> Deferred[None]:
        return self._spool.remember(PREFIX + identity, None if suspension is None else json.dumps(attrs.asdict(suspension)))

    def wait_on(self, seconds: float) -> None:
        """The clock was set: a suspension ends when the clock says so."""
        for kept in self.kept.values():
            if kept.until:
                self._alarm.at(kept.until, self)

    def wake(self, now: float) -> None:
        """Some end by themselves; see L{twistedrelay.schedule.alarm.Sleeper}."""
        now = self._seconds()
        for identity in [identity for identity, kept in self.kept.items() if kept.until and kept.until <= now]:
            self._events.emit(ServiceEvent("info", f"the suspension of the queue {identity} has ended"))
            self._orders.put(identity, None)
            self._remember(identity, None).addErrback(self._not_kept)  # the next start finds that its time is over

    def _loaded(self, remembered: dict[str, str]) -> None:
        now = self._seconds()
        for tell in self.also:
            tell(remembered)
        for key, text in remembered.items():
            if not key.startswith(PREFIX):
                continue
            identity, suspension = key[len(PREFIX) :], _read(text)
            if suspension is None or 0.0 < suspension.until <= now:
                self._spool.remember(key, None).addErrback(self._not_kept)
            elif identity not in self.kept:
                self._orders.put(identity, suspension)
                self._events.emit(
                    ServiceEvent("warn", f"the queue {identity} is still suspended: {suspension.reason or 'no reason given'}")
                )
        self.known = True
        for lane in list(self._lanes.values()):
            lane.resume()

    def _tell(self, identity: str, suspension: Suspension | None) -> None:
        for lane in list(self._lanes.values()):
            if lane.route.next_hop == identity:
                lane.suspend(suspension)

    def _not_loaded(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", f"which queues are suspended could not be read: {failure.getErrorMessage()}"))
        self._alarm.at(self._seconds() + TROUBLE_POLL, _Again(self.load))

    def _not_kept(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", f"the end of a suspension could not be kept: {failure.getErrorMessage()}"))


@attrs.frozen(slots=True)
class _Again:
    """A sleeper that does one thing."""

    what: Callable[[], None]

    def wake(self, now: float) -> None:
        """The time has come."""
        self.what()


def _read(text: str) -> Suspension | None:
    """A suspension as it was written, or None where it is none."""
    try:
        kept = json.loads(text)
        reason, until, by = kept["reason"], float(kept["until"]), str(kept.get("by", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return Suspension(reason, until, by) if isinstance(reason, str) and math.isfinite(until) else None
