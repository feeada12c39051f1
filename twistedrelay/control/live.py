"""The parts of a running relay that the API shows and changes, as it knows them.

It decides nothing: it names the seams, so that the API can be tested with stand-ins and never imports the rooms behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twistedrelay.config.schema import Config
from twistedrelay.interfaces import ISessions, ISpool
from twistedrelay.observe.counters import Counters
from twistedrelay.values.route import Route


class LaneView(Protocol):
    """What the schedule tells about a lane."""

    @property
    def route(self) -> Route:
        """Where it leads."""

    @property
    def status(self) -> str:
        """C{Active}, C{Connecting}, C{Ready} or C{Retry}."""

    @property
    def message_count(self) -> int:
        """How many messages wait for it or are under way."""

    @property
    def deferred_message_count(self) -> int:
        """How many of them wait for another attempt."""

    @property
    def last_error(self) -> str:
        """The last reply that stopped it, C{""} when it is well."""

    @property
    def next_retry_time(self) -> float | None:
        """When it will be tried again."""


class Scheduler(Protocol):
    """What the API asks of the schedule."""

    def lanes(self) -> Sequence[LaneView]:
        """The lanes that hold messages."""

    def remove(self, id: int, with_ndr: bool) -> Deferred[bool]:
        """Take a message out of the queue; fires with False where there is none with this id."""


@attrs.frozen(slots=True)
class Relay:
    """A running relay.

    @ivar started_at: seconds since the epoch.
    @ivar clock: the reactor, for time-outs and the age of things.
    """

    config: Config
    spool: ISpool
    scheduler: Scheduler
    sessions: ISessions
    counters: Counters
    started_at: float
    version: str
    clock: IReactorTime
