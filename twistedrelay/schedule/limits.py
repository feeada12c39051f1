"""Limits that lanes share: connections and messages a minute of one login at a smart host, or of one next hop.

Messages flow at an even rate (the generic cell rate algorithm: the time at which the next one is due, with a small tolerance), not in
heaps at the beginning of each minute.  Lanes that have to wait stand in one line and are let go on one after the other, by one entry in
the alarm for all of them.

A lane whose limits are its own and has no rate needs none of this: its window keeps its number of connections.

Sources: Exchange Online sending limits (3 connections, 30 messages a minute for a login); ITU-T I.371 (GCRA).
"""

from __future__ import annotations

from typing import Protocol

from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.slots import Slots, Waiting
from twistedrelay.values.route import LimitKey, Route

TOLERANCE = 0.5  #: seconds that messages may be ahead of their rate


class Clock(Protocol):
    """Who knows the time."""

    alarm: Alarm

    def seconds(self) -> float:
        """Now."""


class Limit:
    """What the lanes of one limit key share.

    @ivar slots: their connections.
    @ivar members: how many lanes there are.
    """

    def __init__(self, clock: Clock) -> None:
        self.slots = Slots(None)
        self.members = 0
        self._clock = clock
        self._interval = 0.0  # seconds between two messages, 0.0: as they come
        self._due = 0.0  # when the next message is, by the rate
        self._line: dict[Waiting, None] = {}
        self._wake_at = 0.0

    @property
    def has_rate(self) -> bool:
        """Whether messages a minute are limited."""
        return self._interval > 0.0

    def set(self, connections: int, rate: int | None) -> None:
        """What the configuration says now."""
        self.slots.limit = connections
        self._interval = 60.0 / rate if rate else 0.0

    def open(self, lane: Waiting) -> bool:
        """Whether a message may go now.  False: the lane will be told (C{slot_free}) when it may ask again."""
        if not self._interval:
            return True
        early = self._due - TOLERANCE - self._clock.seconds()
        if early <= 0.0:
            return True
        self._line.setdefault(lane)
        if not self._wake_at:
            # A rate of many messages a second: some at once rather than a wake-up for each.
            pause = early + (TOLERANCE / 2 if self._interval < TOLERANCE / 2 else 0.0)
            self._wake_at = self._clock.seconds() + pause
            self._clock.alarm.at(self._wake_at, self)
        return False

    def count(self) -> None:
        """A message goes."""
        if self._interval:
            self._due = max(self._due, self._clock.seconds()) + self._interval

    def uncount(self) -> None:
        """It did not go."""
        if self._interval:
            self._due -= self._interval

    def forget(self, lane: Waiting) -> None:
        """A lane waits no more."""
        self._line.pop(lane, None)
        self.slots.forget(lane)

    def wait_on(self, seconds: float) -> None:
        """The clock was set: the next message goes so much later, or sooner."""
        self._due += seconds

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        if not self._wake_at or self._wake_at > now:
            return
        self._wake_at, now = 0.0, self._clock.seconds()
        if not self._interval:
            free, pause = len(self._line), 0.0
        else:
            free = max(1, 1 + int((now + TOLERANCE - self._due) / self._interval))
            pause = free * self._interval
        for lane in list(self._line)[:free]:  # it counts its message only when it has a connection: no more are let go than may send
            del self._line[lane]
            lane.slot_free()
        if self._line and not self._wake_at:
            self._wake_at = now + pause
            self._clock.alarm.at(self._wake_at, self)


class Limits:
    """All of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[LimitKey, Limit] = {}

    def join(self, route: Route) -> Limit | None:
        """The limit that a lane has to ask, or None where its window is enough."""
        key = route.limit_key
        if route.message_rate is None and key == route.key:
            return None
        limit = self._limits.get(key)
        if limit is None:
            limit = self._limits[key] = Limit(self._clock)
        limit.members += 1
        limit.set(route.max_connections, route.message_rate)
        return limit

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back."""
        for limit in self._limits.values():
            limit.wait_on(seconds)

    def leave(self, route: Route, limit: Limit) -> None:
        """A lane needs it no more."""
        limit.members -= 1
        if not limit.members and self._limits.get(route.limit_key) is limit:
            del self._limits[route.limit_key]
