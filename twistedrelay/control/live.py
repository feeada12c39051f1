"""The parts of a running relay that the API shows and changes, as it knows them.

It decides nothing: it names the seams, so that the API can be tested with stand-ins and never imports the rooms behind them.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twistedrelay.config.schema import Config
from twistedrelay.control.streams import Streams
from twistedrelay.interfaces import ISpool
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.trace import Trace
from twistedrelay.observe.tracking.find import Page
from twistedrelay.observe.tracking.query import TrackingQuery
from twistedrelay.values.kept import Kept, KeptQuery
from twistedrelay.values.sessions import SessionView


class Sessions(Protocol):
    """What the API asks of the sessions in progress."""

    def count(self) -> int:
        """How many."""

    def views(self) -> Sequence[SessionView]:
        """All of them, the oldest first."""

    def disconnect(self, number: str) -> bool:
        """End a session; False where there is none with this number."""


class Suspension(Protocol):
    """That an administrator suspended a queue.

    @ivar until: seconds since the epoch, 0.0 for no end.
    """

    @property
    def reason(self) -> str: ...
    @property
    def until(self) -> float: ...


class LaneView(Protocol):
    """What the schedule tells about a queue.

    @ivar identity: without the server's name.
    @ivar next_retry_time: seconds since the epoch, 0.0 for none; likewise the other times.
    """

    identity: str
    next_hop_domain: str
    delivery_type: str
    status: str
    message_count: int
    deferred_message_count: int
    next_retry_time: float
    last_error: str
    retry_count: int
    next_hop_connector: str
    message_counts_per_priority: dict[str, int]
    first_retry_time: float
    last_retry_time: float
    incoming_rate: float
    outgoing_rate: float

    @property
    def suspension(self) -> Suspension | None: ...


class Queues(Protocol):
    """What is done to queues; False where there is none with this identity, or nothing to do."""

    def retry(self, identity: str) -> bool:
        """Try a next hop now; False where nothing waits in a lane for it."""

    def suspend(self, identity: str, reason: str, until: float) -> Deferred[bool]:
        """Begin nothing new there, until a time or (0.0) for good."""

    def resume(self, identity: str) -> Deferred[bool]:
        """Let it go on."""


class Scheduler(Protocol):
    """What the API asks of the schedule.

    @ivar uncertain: how many recipients may have been sent a message twice.
    """

    @property
    def uncertain(self) -> int: ...

    @property
    def queues(self) -> Queues: ...

    def look(self) -> Deferred[list[Any]]:
        """The queues, as L{LaneView}s."""

    def remove(self, id: int, with_ndr: bool) -> Deferred[bool]:
        """Take a message out of the queue; fires with False where there is none with this id."""

    def suspend_message(self, id: int) -> Deferred[bool]:
        """Let a message take part no more; likewise."""

    def resume_message(self, id: int) -> Deferred[bool]:
        """Let it take part again; likewise."""


class ResubmitRequest(Protocol):
    """A request to deliver kept messages again.

    @ivar created_at: seconds since the epoch.
    """

    @property
    def identity(self) -> int: ...
    @property
    def query(self) -> KeptQuery: ...
    @property
    def created_at(self) -> float: ...
    @property
    def state(self) -> str: ...
    @property
    def resubmitted(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def error(self) -> str: ...


class SafetyNet(Protocol):
    """What the API asks of the safety net.

    @ivar hold_time: seconds that delivered messages are kept; 0.0 is off.
    """

    hold_time: float

    def find(self, query: KeptQuery, limit: int, position: tuple[float, int]) -> Coroutine[Deferred[Any], Any, list[Kept]]:
        """The first kept messages behind a position."""

    def requests(self) -> Sequence[ResubmitRequest]:
        """The requests of this run."""

    def resubmit(self, query: KeptQuery) -> ResubmitRequest:
        """Begin to deliver kept messages again."""

    def cancel(self, identity: int) -> bool:
        """Let a request end; False where none with this number is under way."""


class Tracking(Protocol):
    """What the API asks of message tracking.

    @ivar lost: how many events were lost since the start.
    """

    @property
    def lost(self) -> int: ...

    def find(self, query: TrackingQuery, limit: int, cursor: str, newest_first: bool) -> Deferred[Page]:
        """A page of the events that are looked for.  Fails with L{ValueError} for a cursor that is none."""

    def story(self, wanted: str) -> Deferred[Page]:
        """All events of a message and of those that belong to it, by its InternalId or Message-ID."""


@attrs.define(slots=True, kw_only=True)
class Relay:
    """A running relay.

    @ivar config: what it runs with now; a change puts a new one in its place.
    @ivar started_at: seconds since the epoch.
    @ivar clock: the reactor, for time-outs and the age of things.
    @ivar tracking: None where messages are not tracked.
    @ivar trace: what happens, for those who watch.
    @ivar streams: the answers that go on.
    """

    config: Config
    spool: ISpool
    scheduler: Scheduler
    sessions: Sessions
    counters: Counters
    started_at: float
    version: str
    clock: IReactorTime
    safety_net: SafetyNet
    tracking: Tracking | None = None
    trace: Trace = attrs.Factory(lambda: Trace(EventSink([])))
    streams: Streams = attrs.Factory(Streams)
