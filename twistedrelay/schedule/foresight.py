"""After a start: messages whose time has not come (held ones, those that got a 4xx) come into memory early, so that the queues show them.

Only as many as leave memory nearly empty; all others are found when their time comes (L{twistedrelay.schedule.backlog}).  Nothing is tried
earlier for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.backlog import FOREVER, Backlog
from twistedrelay.values.envelope import Message, RecipientState
from twistedrelay.values.events import ServiceEvent

DELAY = 2.0  #: seconds after the start: what is due goes first
MOST = 5_000  #: messages
PAGE = 200  #: loaded at once


class ForesightOwner(Protocol):
    """Whose memory it is."""

    window: int

    @property
    def may_run(self) -> bool:
        """False while delivery is paused or ending."""

    def seconds(self) -> float:
        """Now."""

    def room(self) -> int:
        """How many messages more may be in memory."""

    def adopt(self, message: Message) -> None:
        """A message from disk comes into memory."""


class Foresight:
    """See the module."""

    def __init__(
        self, spool: ISpool, alarm: Alarm, events: IEventSink, backlog: Backlog, known: Collection[int], owner: ForesightOwner
    ) -> None:
        self._spool = spool
        self._alarm = alarm
        self._events = events
        self._backlog = backlog
        self._known = known
        self._owner = owner

    def start(self) -> None:
        """Look, once what is due is under way."""
        self._alarm.at(self._owner.seconds() + DELAY, self)

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        Deferred.fromCoroutine(self._look(now)).addErrback(self._trouble)

    async def _look(self, now: float) -> None:
        owner = self._owner
        most = min(MOST, owner.room() - owner.window * 3 // 4)
        if most <= 0:
            return
        rows = await self._spool.due(FOREVER, most + len(self._known))
        ids = [number for when, number in rows if when > now and number not in self._known]
        for start in range(0, len(ids), PAGE):
            if not owner.may_run or owner.room() * 4 < owner.window * 3:
                return
            for message in await self._backlog.load(ids[start : start + PAGE]):
                if _waits_for_its_time(message, owner.seconds()):
                    owner.adopt(message)

    def _trouble(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("warn", f"the queues do not show what waits for a later time: {failure.getErrorMessage()}"))


def _waits_for_its_time(message: Message, now: float) -> bool:
    """Rather than for a lane, which finds it by itself."""
    return all(recipient.next_attempt > now for recipient in message.recipients if recipient.state is RecipientState.READY)
