"""Stand-ins for the parts of a relay that the API shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
from twisted.internet import defer

from tests.net.relay import Relay as NetRelay
from twistedrelay.answers.explain.explainer import rules_of
from twistedrelay.answers.explain.live import Running
from twistedrelay.config.schema import Config, ReceiveConnector, RemoteRange, Server
from twistedrelay.config.units import BindingValue
from twistedrelay.control.api import ControlAPI
from twistedrelay.control.live import Relay
from twistedrelay.interfaces import ResolutionError, SpoolError
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.health import Check
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.pressure import BackPressure
from twistedrelay.policy.throttle import ConnectionCounts
from twistedrelay.schedule.places import Place, RecipientPlace
from twistedrelay.schedule.safetynet import ResubmitRequest
from twistedrelay.schedule.views import LaneDetail
from twistedrelay.values.address import Address
from twistedrelay.values.browsing import EVERYTHING, MessagePage, MessageQuery
from twistedrelay.values.envelope import Message, MessageStatus, Origin, Recipient
from twistedrelay.values.kept import Kept, KeptQuery
from twistedrelay.values.netrange import IPRange
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.values.route import Route


def make_config() -> Config:
    """Two connectors, without the loader."""

    def connector(ports: list[BindingValue], **more: Any) -> ReceiveConnector:
        values = {name: field.get_default() for name, field in ReceiveConnector.model_fields.items() if not field.is_required()}
        return ReceiveConnector.model_construct(**{**values, "bindings": ports, "permission_groups": ["AnonymousUsers"], **more})

    everywhere = RemoteRange.model_construct(range=IPRange(4, 0, 2**32 - 1, "0.0.0.0-255.255.255.255"), owner="", expires=None)
    server = Server(name="EXCSERVER", fqdn="relay.akkaya.local", state_directory="/nonexistent")
    connectors = {
        "Default Frontend": connector([BindingValue("0.0.0.0", 25), BindingValue("::", 25)], remote_ip_ranges=[everywhere]),
        "IP/Relay": connector([BindingValue("0.0.0.0", 25)], enabled=False),
    }
    return Config.model_construct(
        server=server,
        receive_connectors=connectors,
        transport=Config.model_fields["transport"].get_default(),
        accepted_domains={},
        send_connectors={},
        certificates=[],
        users="/nonexistent/users",
    )


@attrs.define
class Content:
    """A small message."""

    octets: bytes = b"Subject: =?utf-8?q?M=C3=BCll?= today\r\n\r\n" + b"x" * 1000

    @property
    def size(self) -> int:
        return len(self.octets)

    def read(self, offset: int, length: int) -> defer.Deferred[bytes]:
        return defer.succeed(self.octets[offset : offset + length])


def make_message(id: int, recipients: int = 1) -> Message:
    """A message that was tried once."""
    sender = Address("cengiz@cozumpark.com", "cengiz", "cozumpark.com")
    to = [
        Recipient(n, Address(f"user{n}@akkaya.local", f"user{n}", "akkaya.local"), attempts=1, next_attempt=1_700_000_300.0)
        for n in range(recipients)
    ]
    to[0].last_reply = Reply(451, "4.3.0", "later\nplease")
    return Message(id, sender, to, f"<{id}@x>", 1_700_000_000.0, Content(), origin=Origin(connector="IP/Relay", client="192.168.1.55"))


@attrs.define
class Spool:
    """A spool in a dictionary."""

    kept: dict[int, Message] = attrs.Factory(dict)
    healthy: bool = True
    doubtful: int = 3
    broken: bool = False
    asked: list[MessageQuery] = attrs.Factory(list)

    def count(self) -> defer.Deferred[int]:
        if self.broken:
            return defer.fail(SpoolError("disk full", LOCAL_ERROR))
        return defer.succeed(len(self.kept))

    def browse(self, limit: int, after: int | None = None, query: MessageQuery = EVERYTHING) -> defer.Deferred[MessagePage]:
        ids = [id for id in sorted(self.kept, reverse=query.backwards) if after is None or (id < after if query.backwards else id > after)]
        self.asked.append(query)
        found = [self.kept[id] for id in ids[:limit]]
        for term in query.terms:
            if term.column == "id" and term.operator == "eq":
                found = [message for message in found if message.id == term.value]
        return defer.succeed(MessagePage(found, ids[limit - 1] if len(ids) > limit else None))

    def load(self, ids: list[int]) -> defer.Deferred[list[Message]]:
        return defer.succeed([self.kept[id] for id in ids if id in self.kept])


@attrs.define
class Lane:
    """A queue that waits."""

    identity: str = "[10.0.0.1],relay.x.com"
    next_hop_domain: str = "[10.0.0.1],relay.x.com"
    delivery_type: str = "SmartHostConnectorDelivery"
    next_hop_connector: str = "Internet"
    retry_count: int = 4
    status: str = "Retry"
    message_count: int = 3
    deferred_message_count: int = 2
    last_error: str = "421 4.3.2 Service not available"
    next_retry_time: float = 1_700_000_600.0
    message_counts_per_priority: dict[str, int] = attrs.Factory(lambda: {"High": 1, "Normal": 2, "Low": 0})
    first_retry_time: float = 1_700_000_000.0
    last_retry_time: float = 1_700_000_300.0
    incoming_rate: float = 1.5
    outgoing_rate: float = 0.25
    redirected_to: str = ""
    suspension: Suspension | None = None


@attrs.define
class Suspension:
    """Of a queue."""

    reason: str
    until: float
    by: str = "root"


@attrs.define
class Queues:
    """One queue and what was done to it."""

    done: list[tuple[Any, ...]] = attrs.Factory(list)
    suspension: Suspension | None = None
    redirect_to: str = ""

    def details(self, identity: str) -> list[LaneDetail]:
        errors = ((1_700_000_300.0, Reply(421, "4.3.2", "Service not available")),)
        return [LaneDetail("Internet", "relay@x.com", False, "domain", 3, 1, 0, 1, 20, errors)]

    def resubmit(self, identity: str) -> defer.Deferred[bool]:
        self.done.append(("resubmit", identity))
        return defer.succeed(identity in (Lane().identity, "Unreachable"))

    def redirect(self, identity: str, to: str, by: str) -> defer.Deferred[bool]:
        if identity != Lane().identity:
            return defer.succeed(False)
        self.redirect_to = to
        return defer.succeed(True)

    def cancel_redirect(self, identity: str) -> defer.Deferred[bool]:
        found, self.redirect_to = bool(self.redirect_to), ""
        return defer.succeed(found)

    def retry(self, identity: str) -> bool:
        self.done.append(("retry", identity))
        return identity == Lane().identity

    def suspend(self, identity: str, reason: str, until: float, by: str) -> defer.Deferred[bool]:
        self.done.append(("suspend", identity))
        if identity != Lane().identity:
            return defer.succeed(False)
        self.suspension = Suspension(reason, until, by)
        return defer.succeed(True)

    def resume(self, identity: str) -> defer.Deferred[bool]:
        found, self.suspension = self.suspension is not None, None
        return defer.succeed(found)


@attrs.define
class Messages:
    """Does to messages what it is told."""

    spool: Spool
    done: list[tuple[Any, ...]] = attrs.Factory(list)
    active: set[int] = attrs.Factory(set)

    def suspend(self, ids: list[int]) -> defer.Deferred[int]:
        return self._did("suspend", ids)

    def resume(self, ids: list[int]) -> defer.Deferred[int]:
        return self._did("resume", ids)

    def remove(self, ids: list[int], with_ndr: bool) -> defer.Deferred[int]:
        return self._did("remove", ids, with_ndr)

    def redirect(self, ids: list[int], to: str) -> defer.Deferred[int]:
        return self._did("redirect", ids, to)

    def _did(self, what: str, ids: list[int], *more: Any) -> defer.Deferred[int]:
        self.done.append((what, ids, *more))
        return defer.succeed(sum(id in self.spool.kept for id in ids))

    def places(self, messages: list[Message], most: int = 100, start: int = 0) -> list[Place]:
        words = {MessageStatus.SUSPENDED: "Suspended", MessageStatus.POISON: "Poison"}
        shown = []
        for message in messages:
            active = message.id in self.active
            where = RecipientPlace("akkaya.local", 1_700_000_100.0 if active else 0.0, "mx.akkaya.local [10.0.0.1]:25" if active else "")
            status = "Active" if active else words.get(message.status, "Retry")
            shown.append(Place(status, {recipient.index: where for recipient in message.recipients[start : start + most]}))
        return shown


@attrs.define
class Schedule:
    """A schedule over the spool."""

    spool: Spool
    messages: Messages = attrs.field(default=attrs.Factory(lambda self: Messages(self.spool), takes_self=True))
    removed: list[tuple[int, bool]] = attrs.Factory(list)
    uncertain: int = 2
    fault: Exception | None = None
    queues: Queues = attrs.Factory(Queues)
    suspended: set[int] = attrs.Factory(set)

    def lanes(self) -> list[Lane]:
        if self.fault is not None:
            raise self.fault
        return [Lane(suspension=self.queues.suspension, redirected_to=self.queues.redirect_to)]

    def look(self) -> defer.Deferred[list[Lane]]:
        return defer.maybeDeferred(self.lanes)

    def suspend_message(self, id: int) -> defer.Deferred[bool]:
        self.suspended.add(id)
        return defer.succeed(id in self.spool.kept)

    def resume_message(self, id: int) -> defer.Deferred[bool]:
        self.suspended.discard(id)
        return defer.succeed(id in self.spool.kept)

    def remove(self, id: int, with_ndr: bool) -> defer.Deferred[bool]:
        found = self.spool.kept.pop(id, None) is not None
        if found:
            self.removed.append((id, with_ndr))
        return defer.succeed(found)


class Sessions:
    """Seven sessions."""

    def count(self) -> int:
        return 7

    def views(self) -> list[Any]:
        return []

    def disconnect(self, number: str) -> bool:
        return False


@attrs.define
class SafetyNet:
    """Keeps two messages."""

    hold_time: float = 3600.0
    asked: list[tuple[KeptQuery, int, tuple[float, int]]] = attrs.Factory(list)
    made: list[ResubmitRequest] = attrs.Factory(list)

    async def find(self, query: KeptQuery, limit: int, position: tuple[float, int]) -> list[Kept]:
        self.asked.append((query, limit, position))
        return [Kept(make_message(id), 1_700_000_100.0 + id) for id in (1, 2)][:limit]

    def requests(self) -> list[ResubmitRequest]:
        return self.made

    def resubmit(self, query: KeptQuery) -> ResubmitRequest:
        self.made.append(ResubmitRequest(len(self.made) + 1, attrs.evolve(query, end=min(query.end, 1_700_000_200.0)), 1_700_000_200.0))
        return self.made[-1]

    def cancel(self, identity: int) -> bool:
        return any(request.identity == identity for request in self.made)


def make_running(config: Config) -> Callable[[], Running]:
    """What judges and routes by a configuration, made when it is asked for."""

    def make() -> Running:
        relay = NetRelay()
        relay.config = config
        relay.replace(acceptance=Acceptance(config), counts=ConnectionCounts())
        return Running(config=config, reception=relay.reception, router=rules_of(config).router, resolver=NoResolver())

    return make


class NoResolver:
    """Knows no host."""

    def targets(self, route: Route) -> defer.Deferred[Any]:
        return defer.fail(ResolutionError(Reply(451, "4.4.3", "no such host")))


class Health:
    """All is well but the disk."""

    async def check(self) -> list[Check]:
        return [Check("spool", False, "the spool cannot be written to"), Check("listeners", True, "2 bound")]


class Metrics:
    """One metric."""

    def exposition(self, accept: str) -> defer.Deferred[tuple[str, bytes]]:
        return defer.succeed(("text/plain; version=0.0.4", b"twistedrelay_queue_messages 3.0\n"))


@attrs.define
class Prepared:
    """A change that was prepared, and what was done with it."""

    config: Config
    loaded: Any = None
    changes: tuple[str, ...] = ("receive connector IP_Relay: added",)
    needs_restart: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    done: list[str] = attrs.Factory(list)

    def commit(self) -> None:
        self.done.append("committed")

    def abort(self) -> defer.Deferred[None]:
        self.done.append("aborted")
        return defer.succeed(None)


@attrs.define
class Applying:
    """Prepares what it is told to, or fails."""

    file: str = "/nonexistent/relay.yaml"
    fails: Exception | None = None
    prepared: list[Prepared] = attrs.Factory(list)
    overlays: list[Mapping[str, bytes | None]] = attrs.Factory(list)

    def prepare(self, overlay: Mapping[str, bytes | None] = MappingProxyType({})) -> defer.Deferred[Prepared]:
        self.overlays.append(overlay)
        if self.fails is not None:
            return defer.fail(self.fails)
        self.prepared.append(Prepared(make_config()))
        return defer.succeed(self.prepared[-1])

    def reload(self) -> defer.Deferred[Prepared]:
        return self.prepare().addCallback(lambda prepared: prepared.commit() or prepared)


def make_api(reactor: Any, spool: Spool, schedule: Schedule, net: SafetyNet | None = None, **parts: Any) -> ControlAPI:
    """The API over stand-ins; C{parts}: those that a test has of its own."""
    there: dict[str, Any] = {
        "config": make_config(),
        "spool": spool,
        "scheduler": schedule,
        "sessions": Sessions(),
        "counters": Counters(),
        "started_at": 1_700_000_000.0,
        "version": "9.9",
        "clock": reactor,
        "safety_net": net or SafetyNet(),
        "running": make_running(parts.get("config") or make_config()),
        "health": Health(),
        "metrics": Metrics(),
        "pressure": BackPressure(),
        "applying": Applying(),
    }
    return ControlAPI(Relay(**{**there, **parts}))
