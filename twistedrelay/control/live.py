"""The parts of a running relay that the API shows and changes, as it knows them.

It decides nothing: it names the seams, so that the API can be tested with stand-ins and never imports the rooms behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IReactorTime

from twistedrelay.answers.audit.document import Report
from twistedrelay.answers.explain.live import Running
from twistedrelay.config.schema import Config
from twistedrelay.control.applying import Applying
from twistedrelay.control.lines import FileLines
from twistedrelay.control.observed import Ledger, Tracking, Webhooks
from twistedrelay.control.streams import Streams
from twistedrelay.interfaces import ISpool
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.health import Health
from twistedrelay.observe.metrics import Metrics
from twistedrelay.observe.readers import Readers
from twistedrelay.observe.trace import Trace
from twistedrelay.values.envelope import Message
from twistedrelay.values.kept import Kept, KeptQuery
from twistedrelay.values.reply import Reply
from twistedrelay.values.sessions import SessionView
from twistedrelay.values.usage import Usage


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
    @property
    def by(self) -> str: ...


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
    redirected_to: str

    @property
    def suspension(self) -> Suspension | None: ...


class LaneDetail(Protocol):
    """What the schedule tells about one way of a queue."""

    @property
    def connector(self) -> str: ...
    @property
    def login(self) -> str: ...
    @property
    def require_tls(self) -> bool: ...
    @property
    def tls(self) -> str: ...
    @property
    def waiting(self) -> int: ...
    @property
    def active(self) -> int: ...
    @property
    def parked(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def most_connections(self) -> int: ...
    @property
    def errors(self) -> Sequence[tuple[float, Reply]]: ...


class RecipientPlace(Protocol):
    """Where one recipient's mail waits; times are 0.0 for none."""

    @property
    def queue(self) -> str: ...
    @property
    def since(self) -> float: ...
    @property
    def remote(self) -> str: ...
    @property
    def next_retry(self) -> float: ...
    @property
    def last_error(self) -> Reply | None: ...


class Place(Protocol):
    """Where a message is; its recipients by their index."""

    @property
    def status(self) -> str: ...
    @property
    def queues(self) -> list[str]: ...
    @property
    def since(self) -> float: ...
    @property
    def remote(self) -> str: ...
    @property
    def recipients(self) -> Mapping[int, RecipientPlace]: ...


class Messages(Protocol):
    """What is done to messages, many at once; fires with to how many."""

    def suspend(self, ids: Sequence[int]) -> Deferred[int]: ...
    def resume(self, ids: Sequence[int]) -> Deferred[int]: ...
    def remove(self, ids: Sequence[int], with_ndr: bool) -> Deferred[int]: ...
    def redirect(self, ids: Sequence[int], to: str) -> Deferred[int]:
        """To another server, or (C{""}) their own ways again."""

    def places(self, messages: Sequence[Message], most: int = ..., start: int = ...) -> Sequence[Place]:
        """Where they are now, and so many of their recipients from C{start} on."""


class Queues(Protocol):
    """What is done to queues; False where there is none with this identity, or nothing to do."""

    def details(self, identity: str) -> Sequence[LaneDetail]:
        """The ways of a queue."""

    def resubmit(self, identity: str) -> Deferred[bool]:
        """Let its messages look for their ways anew."""

    def redirect(self, identity: str, to: str, by: str) -> Deferred[bool]:
        """Send its mail to another server."""

    def cancel_redirect(self, identity: str) -> Deferred[bool]:
        """Let its mail go its own way again."""

    def retry(self, identity: str) -> bool:
        """Try a next hop now; False where nothing waits in a lane for it."""

    def suspend(self, identity: str, reason: str, until: float, by: str) -> Deferred[bool]:
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
    @property
    def messages(self) -> Messages: ...

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


class Audit(Protocol):
    """Looks for what is dangerous."""

    def __call__(self, *, probe: bool, resolve: bool) -> Coroutine[Deferred[Any], Any, Report]:
        """Audit now.

        @raise Busy: too many audits wait (L{twistedrelay.answers.audit.auditor.Busy}).
        """


def _nothing_recorded(since: float) -> Deferred[Sequence[Usage]]:
    return succeed([])


def _nothing_written() -> Deferred[Any]:
    return succeed(None)


class Level(Protocol):
    """How short a resource is."""

    @property
    def label(self) -> str: ...


class Pressure(Protocol):
    """What the API shows of back pressure.

    @ivar resources: by their names; with C{name}, C{level}, C{reading} and C{thresholds}.
    """

    delay: float
    paused: bool
    refused: int
    delayed: int

    @property
    def level(self) -> Level: ...
    @property
    def reason(self) -> str: ...
    @property
    def resources(self) -> Mapping[str, Any]: ...


@attrs.define(slots=True, kw_only=True)
class Relay:
    """A running relay.

    @ivar config: what it runs with now; a change puts a new one in its place.
    @ivar started_at: seconds since the epoch.
    @ivar clock: the reactor, for time-outs and the age of things.
    @ivar turns: changes of the configuration are made one at a time.
    @ivar running: gives the parts that judge and route now.
    @ivar usage: gives the recorded clients that were seen since a time.
    @ivar applying: what puts another configuration in the place of C{config}.
    @ivar tracking: None where messages are not tracked.
    @ivar audit: None where nobody audits.
    @ivar reverse_names: gives the names of addresses in the DNS, as far as they can be had soon.
    @ivar lines: which line of the configuration's files says what.
    @ivar trace: what happens, for those who watch.
    @ivar streams: the answers that go on.
    @ivar log_readers: who reads log files: so many that mail always has threads left, also where their disk hangs.
    @ivar write_logs: writes the lines of the protocol logs that wait; fires when they are written, or cannot be.
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
    running: Callable[[], Running]
    health: Health
    metrics: Metrics
    pressure: Pressure
    applying: Applying
    turns: DeferredLock = attrs.Factory(DeferredLock)
    usage: Callable[[float], Deferred[Sequence[Usage]]] = _nothing_recorded
    tracking: Tracking | None = None
    audit: Audit | None = None
    ledger: Ledger | None = None
    webhooks: Webhooks | None = None
    reverse_names: Callable[[Collection[str]], Deferred[dict[str, str]]] | None = None
    lines: FileLines = attrs.Factory(FileLines)
    trace: Trace = attrs.Factory(lambda: Trace(EventSink([])))
    streams: Streams = attrs.Factory(Streams)
    write_logs: Callable[[], Deferred[Any]] = _nothing_written
    log_readers: Readers = attrs.Factory(lambda: Readers(2))
