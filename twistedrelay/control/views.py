"""Live values as the API's documents: the relay and its queues; messages are the business of L{twistedrelay.control.message_views}.

It decides what is shown of a queue, and under which of Exchange's words.  It never changes anything and never waits.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence

from twistedrelay.control import models
from twistedrelay.control.live import LaneDetail, LaneView, Relay
from twistedrelay.observe.health import Check


def moment(seconds: float) -> datetime.datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def moment_if(seconds: float) -> datetime.datetime | None:
    """The same, None for 0.0."""
    return moment(seconds) if seconds else None


def status(relay: Relay, message_count: int, queue_count: int, checks: Sequence[Check]) -> models.Status:
    """The relay as a whole."""
    server, pressure = relay.config.server, relay.pressure
    return models.Status(
        server=server.name,
        fqdn=server.fqdn,
        version=relay.version,
        pid=os.getpid(),
        started_at=moment(relay.started_at),
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
        next_retry_time=moment_if(lane.next_retry_time),
        retry_count=lane.retry_count,
        last_error=lane.last_error,
        message_counts_per_priority=lane.message_counts_per_priority,
        first_retry_time=moment_if(lane.first_retry_time),
        last_retry_time=moment_if(lane.last_retry_time),
        incoming_rate=round(lane.incoming_rate, 2),
        outgoing_rate=round(lane.outgoing_rate, 2),
        velocity=round(lane.outgoing_rate - lane.incoming_rate, 2),
        next_hop_category=_category(lane.delivery_type),
        suspend_reason=lane.suspension.reason if lane.suspension else "",
        suspended_by=lane.suspension.by if lane.suspension else "",
        redirected_to=lane.redirected_to,
        suspended_until=moment_if(lane.suspension.until) if lane.suspension else None,
    )


def _category(delivery_type: str) -> str:
    """Exchange's word for where a next hop is."""
    if delivery_type in ("Undefined", "Unreachable"):
        return ""
    return "Internal" if delivery_type in ("SmtpDeliveryToMailbox", "MaildirDelivery") else "External"


def lane(of: LaneDetail) -> models.QueueLane:
    """One way of a queue."""
    return models.QueueLane(
        next_hop_connector=of.connector,
        user_name=of.login,
        require_tls=of.require_tls,
        tls=of.tls,
        connections=of.connections,
        max_connections=of.most_connections,
        active=of.active,
        waiting=of.waiting,
        parked=of.parked,
        errors=[models.QueueError(time=moment(time), error=str(error)) for time, error in of.errors],
    )


def queue_change(identity: str, action: str, until: float = 0.0, to: str = "") -> models.QueueChange:
    """What was done to a queue."""
    return models.QueueChange(identity=identity, action=action, suspended_until=moment_if(until), redirected_to=to)
