"""What the API answers: one pydantic model per document.

The names are Exchange's property names in snake_case; times are UTC, RFC 3339.  The models are the
source of the OpenAPI document.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from twistedrelay.control.documents import Document


class Totals(Document):
    """What happened since the start; deliveries are counted per recipient."""

    sessions: int
    sessions_refused: int
    tls_started: int
    tls_failed: int
    logins: int
    logins_failed: int
    logons_locked: int
    commands_refused: int
    received: int
    bytes_received: int
    receive_uncertain: int
    recipients_delivered: int
    recipients_deferred: int
    recipients_failed: int
    send_uncertain: int
    reports: int
    resubmitted: int
    poisoned: int
    removed: int
    dropped: int


class Status(Document):
    """The relay as a whole.

    C{uncertain_deliveries}: recipients who may have been sent a message twice since the start.  C{uncertain_at_start}: messages that were
    due when the last run ended without a shutdown; those being sent then may have been sent twice.  C{health}: C{ready}, or which checks
    fail.  C{back_pressure}: the level, and which resources are short.
    """

    server: str
    fqdn: str
    version: str
    pid: int
    started_at: datetime.datetime
    uptime_seconds: int
    health: str
    spool_healthy: bool
    back_pressure: str
    sessions: int
    message_count: int
    queue_count: int
    uncertain_deliveries: int
    uncertain_at_start: int
    totals: Totals


class ConnectorSummary(Document):
    """A receive connector, as C{Get-ReceiveConnector} lists it."""

    identity: str
    bindings: list[str]
    enabled: bool


class Connector(BaseModel):
    """A receive connector with all its parameters: those of the configuration, besides the ones named here."""

    model_config = ConfigDict(extra="allow")

    identity: str
    name: str
    server: str
    bindings: list[str]
    enabled: bool


class SendConnectorSummary(Document):
    """A send connector, as C{Get-SendConnector} lists it."""

    identity: str
    address_spaces: list[str]
    smart_hosts: list[str]
    enabled: bool


class SendConnector(BaseModel):
    """A send connector with all its parameters: those of the configuration, besides the ones named here."""

    model_config = ConfigDict(extra="allow")

    identity: str
    name: str
    enabled: bool


class DomainSummary(Document):
    """An accepted domain, as C{Get-AcceptedDomain} lists it."""

    name: str
    domain_name: str
    domain_type: str
    default: bool
    next_hop: str | None


class Domain(BaseModel):
    """An accepted domain with all its parameters: those of the configuration, besides the ones named here."""

    model_config = ConfigDict(extra="allow")

    name: str
    domain_name: str
    domain_type: str
    default: bool
    next_hop: str | None


class Queue(Document):
    """The messages for one next hop.

    Rates count transactions a second over the last minute; C{velocity} is what goes less what comes.
    """

    identity: str
    delivery_type: str
    status: str
    message_count: int
    deferred_message_count: int
    next_hop_domain: str
    next_hop_category: str
    next_hop_connector: str
    next_retry_time: datetime.datetime | None
    retry_count: int
    last_error: str
    message_counts_per_priority: dict[str, int]
    first_retry_time: datetime.datetime | None
    last_retry_time: datetime.datetime | None
    incoming_rate: float
    outgoing_rate: float
    velocity: float
    suspend_reason: str
    suspended_by: str
    suspended_until: datetime.datetime | None
    redirected_to: str


class QueueError(Document):
    """Why a next hop was left alone once."""

    time: datetime.datetime
    error: str


class QueueLane(Document):
    """One way of a queue: there are several where its mail goes by several connectors, with other logins, or with REQUIRETLS.

    C{tls}: what the connector asks for: C{none}, C{may}, C{encrypt}, C{certificate} or C{domain}.  C{max_connections}: what the next hop
    can bear, as its answers tell.  C{parked}: messages that wait on disk only, roughly.  C{errors}: the last five.
    """

    next_hop_connector: str
    user_name: str
    require_tls: bool
    tls: str
    connections: int
    max_connections: int
    active: int
    waiting: int
    parked: int
    errors: list[QueueError]


class QueueDetail(Queue):
    """A queue with its ways."""

    lanes: list[QueueLane]


class QueueChange(Document):
    """What was done to a queue: C{suspend}, C{resume}, C{retry}, C{resubmit}, C{redirect} or C{cancel-redirect}."""

    identity: str
    action: str
    suspended_until: datetime.datetime | None = None
    redirected_to: str = ""


class Recipient(Document):
    """One recipient of a message.

    C{queue}: where it waits; C{active_since}: since when it is being sent, to C{remote}.
    """

    address: str
    status: str
    queue: str
    active_since: datetime.datetime | None
    remote: str
    attempts: int
    next_retry_time: datetime.datetime | None
    last_error: str
    last_remote: str


class ComponentLatency(Document):
    """A span of a message's time, of so many recipients (0: of the whole message).

    C{component}: C{Commit}, C{Held}, C{Queue} (until the first attempt), C{Delivery} (an attempt), C{Retry} (between attempts);
    C{QueueAndDelivery}, C{RetryAndDelivery}: both together, where it is not known how long the attempt took.  C{pending}: it is not over.
    """

    component: str
    queue: str
    recipients: int
    began: datetime.datetime
    seconds: float
    pending: bool
    detail: str


class MessageSummary(Document):
    """A message in the queue.

    C{queues}: where its recipients wait, C{queue} the first of them; C{active_since}: since when it is being sent, to C{remote};
    C{message_latency}: its age, C{dd.hh:mm:ss}; C{retry_count}: the attempts of the recipient with most.
    C{recipients} and C{recipient_info} may hold the first ones only.
    """

    identity: str
    id: int
    queue: str
    queues: list[str]
    active_since: datetime.datetime | None
    remote: str
    retry_count: int
    message_latency: str
    redirected_to: str
    from_address: str
    status: str
    size: int
    message_source_name: str
    source_ip: str
    internet_message_id: str
    date_received: datetime.datetime
    expiration_time: datetime.datetime
    last_error: str
    recipient_count: int
    recipients: list[str]
    recipient_info: list[Recipient] | None = None


class Message(MessageSummary):
    """A message with each of its recipients, and what its sender asked for.

    C{deferred_until}: it is held for its sender until then.  C{deliver_by_mode}: what happens when C{deliver_by} is over.
    C{R}: it returns; C{N}: its sender is told.
    """

    subject: str
    user: str
    helo: str
    session: str
    body_type: str
    smtp_utf8: bool
    require_tls: bool
    priority: int | None
    deferred_until: datetime.datetime | None
    deliver_by: datetime.datetime | None
    deliver_by_mode: str
    recipient_info: list[Recipient] | None
    component_latency: list[ComponentLatency] | None = None


class MessageChange(Document):
    """What was done to a message: C{suspend} or C{resume}."""

    id: int
    action: str


class MessageChanges(Document):
    """What is to be done to several messages.

    C{with_ndr} (C{remove}): their senders are told.  C{to} (C{redirect}): the other server, C{HOST[:PORT]}.
    """

    action: Literal["suspend", "resume", "remove", "redirect", "cancel-redirect"]
    ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(min_length=1, max_length=1000)
    with_ndr: bool = True
    to: str = Field(default="", max_length=300)


class MessagesChanged(Document):
    """What was done to several messages: to C{changed} of those C{asked} for; the others are gone, or were so before."""

    action: str
    asked: int
    changed: int


class Removal(Document):
    """A message that was removed."""

    id: int
    with_ndr: bool


class KeptMessage(Document):
    """A message that was delivered and is kept in the safety net."""

    id: int
    from_address: str
    recipients: list[str]
    recipient_count: int
    size: int
    internet_message_id: str
    date_received: datetime.datetime
    date_delivered: datetime.datetime
    last_remote: str


class ResubmitRequest(Document):
    """A request to deliver kept messages again (Get-ResubmitRequest)."""

    identity: int
    state: str
    date_created: datetime.datetime
    start_time: datetime.datetime | None
    end_time: datetime.datetime
    recipient: str
    next_hop: str
    resubmitted: int
    failed: int
    last_error: str
