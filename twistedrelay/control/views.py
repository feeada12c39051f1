"""Live values as the API's documents.

It decides what is shown of a queue, a message and a recipient, and under which of Exchange's words for their states.
It never changes anything and never waits.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence

from twistedrelay.control import models
from twistedrelay.control.live import LaneView, Relay
from twistedrelay.observe.health import Check
from twistedrelay.values.envelope import Message, MessageStatus, Recipient, RecipientState
from twistedrelay.values.reply import Reply

#: A list names this many recipients of each message; C{recipient_count} has the number.
MAX_RECIPIENTS_LISTED = 20


def _when(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _when_if(seconds: float) -> datetime.datetime | None:
    return _when(seconds) if seconds else None


def _error(reply: Reply | None) -> str:
    """A reply on one line, C{""} where it is none or a good one."""
    if reply is None or reply.is_positive:
        return ""
    return str(reply)


def status(relay: Relay, message_count: int, queue_count: int, checks: Sequence[Check]) -> models.Status:
    """The relay as a whole."""
    server, pressure = relay.config.server, relay.pressure
    return models.Status(
        server=server.name,
        fqdn=server.fqdn,
        version=relay.version,
        pid=os.getpid(),
        started_at=_when(relay.started_at),
        uptime_seconds=max(0, int(relay.clock.seconds() - relay.started_at)),
        health="; ".join(f"{check.name}: {check.reason}" for check in checks if not check.ok) or "ready",
        spool_healthy=relay.spool.healthy,
        back_pressure=f"{pressure.level.label}: {pressure.reason}" if pressure.reason else pressure.level.label,
        sessions=relay.sessions.count(),
        message_count=message_count,
        queue_count=queue_count,
        uncertain_deliveries=relay.scheduler.uncertain,
        uncertain_at_start=relay.spool.doubtful,
        totals=models.Totals(**relay.counters.as_dict()),
    )


def queue(server: str, lane: LaneView) -> models.Queue:
    """A queue of the schedule."""
    return models.Queue(
        identity=f"{server}\\{lane.identity}",
        delivery_type=lane.delivery_type,
        status=lane.status,
        message_count=lane.message_count,
        deferred_message_count=lane.deferred_message_count,
        next_hop_domain=lane.next_hop_domain,
        next_hop_connector=lane.next_hop_connector,
        next_retry_time=_when_if(lane.next_retry_time),
        retry_count=lane.retry_count,
        last_error=lane.last_error,
        message_counts_per_priority=lane.message_counts_per_priority,
        first_retry_time=_when_if(lane.first_retry_time),
        last_retry_time=_when_if(lane.last_retry_time),
        incoming_rate=round(lane.incoming_rate, 2),
        outgoing_rate=round(lane.outgoing_rate, 2),
        velocity=round(lane.outgoing_rate - lane.incoming_rate, 2),
        suspend_reason=lane.suspension.reason if lane.suspension else "",
        suspended_until=_when_if(lane.suspension.until) if lane.suspension else None,
    )


def queue_change(identity: str, action: str, until: float = 0.0) -> models.QueueChange:
    """What was done to a queue."""
    return models.QueueChange(identity=identity, action=action, suspended_until=_when_if(until))


def _recipient_status(recipient: Recipient) -> str:
    if recipient.state is RecipientState.READY:
        return "Retry" if recipient.attempts else "Ready"
    return {RecipientState.DELIVERED: "Complete", RecipientState.FAILED: "Failed", RecipientState.REMOVED: "Removed"}[recipient.state]


def recipient(of: Recipient) -> models.Recipient:
    """One recipient."""
    waits = of.state is RecipientState.READY and of.next_attempt > 0
    return models.Recipient(
        address=of.address.text,
        status=_recipient_status(of),
        attempts=of.attempts,
        next_retry_time=_when(of.next_attempt) if waits else None,
        last_error=_error(of.last_reply),
        last_remote=of.last_remote,
    )


def _expires_at(relay: Relay, message: Message) -> float:
    """Time that a message is held does not count; a by-time of mode R is an end of its own."""
    parameters = message.parameters
    end: float = max(message.received_at, parameters.hold_until) + relay.config.transport.message_expiration_timeout
    by = parameters.deliver_by
    return min(end, message.received_at + by.seconds) if by is not None and by.mode == "R" else end


def _held(message: Message, now: float) -> str:
    """The reason why a message waits that has not been tried yet, C{""} where it is not held."""
    until = message.parameters.hold_until
    return f"Held for its sender until {_when(until):%Y-%m-%d %H:%M:%S} UTC" if until > now else ""


def _message_status(message: Message) -> str:
    if message.status is not MessageStatus.NORMAL:
        return {MessageStatus.SUSPENDED: "Suspended", MessageStatus.POISON: "Poison"}[message.status]
    return "Retry" if any(of.attempts and of.state is RecipientState.READY for of in message.recipients) else "Ready"


def summary(relay: Relay, message: Message) -> models.MessageSummary:
    """A message, as a list shows it."""
    origin = message.origin
    errors = (_error(of.last_reply) for of in message.recipients if of.state is RecipientState.READY)
    return models.MessageSummary(
        identity=f"{relay.config.server.name}\\{message.id}",
        id=message.id,
        from_address=message.sender.text or "<>",
        status=_message_status(message),
        size=message.size,
        message_source_name=f"{origin.source}:{origin.connector}" if origin.connector else origin.source,
        source_ip=origin.client,
        internet_message_id=message.message_id,
        date_received=_when(message.received_at),
        expiration_time=_when(_expires_at(relay, message)),
        last_error=next(filter(None, errors), "") or _held(message, relay.clock.seconds()),
        recipient_count=len(message.recipients),
        recipients=[of.address.text for of in message.recipients[:MAX_RECIPIENTS_LISTED]],
    )


def message(relay: Relay, of: Message) -> models.Message:
    """A message with all of its recipients."""
    parameters, by = of.parameters, of.parameters.deliver_by
    return models.Message(
        **summary(relay, of).model_dump(),
        user=of.origin.user,
        helo=of.origin.helo,
        session=of.origin.session,
        body_type=parameters.body,
        smtp_utf8=parameters.smtp_utf8,
        require_tls=parameters.require_tls,
        priority=parameters.priority,
        deferred_until=_when(parameters.hold_until) if parameters.hold_until else None,
        deliver_by=None if by is None else _when(of.received_at + by.seconds),
        deliver_by_mode="" if by is None else by.mode,
        recipient_info=[recipient(each) for each in of.recipients],
    )
