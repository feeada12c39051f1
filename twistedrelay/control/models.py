"""What the API answers: one pydantic model per document.

The names are Exchange's property names in snake_case; times are UTC, RFC 3339.  The models are the
source of the OpenAPI document.
"""

from __future__ import annotations

import datetime

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(extra="forbid")


class Finding(Document):
    """One thing that is wrong with a configuration, and where; C{steps} are those of the path one by one."""

    file: str
    line: int
    path: str
    steps: list[str | int]
    text: str


class Problem(Document):
    """An error (RFC 9457); C{findings} are all that is wrong with a configuration that was refused."""

    title: str
    status: int
    detail: str = ""
    findings: list[Finding] = []


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
    suspended_until: datetime.datetime | None


class QueueChange(Document):
    """What was done to a queue: C{suspend}, C{resume} or C{retry}."""

    identity: str
    action: str
    suspended_until: datetime.datetime | None = None


class Recipient(Document):
    """One recipient of a message."""

    address: str
    status: str
    attempts: int
    next_retry_time: datetime.datetime | None
    last_error: str
    last_remote: str


class MessageSummary(Document):
    """A message in the queue."""

    identity: str
    id: int
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


class Message(MessageSummary):
    """A message with each of its recipients, and what its sender asked for.

    C{deferred_until}: it is held for its sender until then.  C{deliver_by_mode}: what happens when C{deliver_by} is over.
    C{R}: it returns; C{N}: its sender is told.
    """

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
    recipient_info: list[Recipient]


class MessageChange(Document):
    """What was done to a message: C{suspend} or C{resume}."""

    id: int
    action: str


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
