"""Stand-ins for the parts of a relay that the API shows."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet import defer

from twistedrelay.config.schema import Config, ReceiveConnector, RemoteRange, Server
from twistedrelay.config.units import BindingValue
from twistedrelay.control.api import ControlAPI
from twistedrelay.control.live import Relay
from twistedrelay.interfaces import SpoolError
from twistedrelay.observe.counters import Counters
from twistedrelay.schedule.safetynet import ResubmitRequest
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Message, Origin, Recipient
from twistedrelay.values.kept import Kept, KeptQuery
from twistedrelay.values.netrange import IPRange
from twistedrelay.values.reply import LOCAL_ERROR, Reply


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
    """Content of a size."""

    size: int = 1234


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

    def count(self) -> defer.Deferred[int]:
        if self.broken:
            return defer.fail(SpoolError("disk full", LOCAL_ERROR))
        return defer.succeed(len(self.kept))

    def messages(self, limit: int, offset: int) -> defer.Deferred[list[Message]]:
        return defer.succeed(list(self.kept.values())[offset : offset + limit])

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
    suspension: Suspension | None = None


@attrs.define
class Suspension:
    """Of a queue."""

    reason: str
    until: float


@attrs.define
class Queues:
    """One queue and what was done to it."""

    done: list[tuple[Any, ...]] = attrs.Factory(list)
    suspension: Suspension | None = None

    def retry(self, identity: str) -> bool:
        self.done.append(("retry", identity))
        return identity == Lane().identity

    def suspend(self, identity: str, reason: str, until: float) -> defer.Deferred[bool]:
        self.done.append(("suspend", identity))
        if identity != Lane().identity:
            return defer.succeed(False)
        self.suspension = Suspension(reason, until)
        return defer.succeed(True)

    def resume(self, identity: str) -> defer.Deferred[bool]:
        found, self.suspension = self.suspension is not None, None
        return defer.succeed(found)


@attrs.define
class Schedule:
    """A schedule over the spool."""

    spool: Spool
    removed: list[tuple[int, bool]] = attrs.Factory(list)
    uncertain: int = 2
    fault: Exception | None = None
    queues: Queues = attrs.Factory(Queues)
    suspended: set[int] = attrs.Factory(set)

    def lanes(self) -> list[Lane]:
        if self.fault is not None:
            raise self.fault
        return [Lane(suspension=self.queues.suspension)]

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
    }
    return ControlAPI(Relay(**{**there, **parts}))
