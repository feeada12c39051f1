"""The retry timeline as pure functions: when a dead next hop, a deferred recipient, a delay notice and an expiry are due.

A next hop that cannot be reached is tried in three steps: glitch, transient, steady (Exchange's QueueGlitchRetry*, TransientFailureRetry*
and OutboundConnectionFailureRetryInterval; a mailbox hop has MailboxDeliveryQueueRetryInterval for the steady step).  A recipient that got
a 4xx waits for MessageRetryInterval.  Nothing here knows a clock or keeps state.

Source: Exchange, "Message retry, resubmit, and expiration intervals".
"""

from __future__ import annotations

from typing import Protocol

from twistedrelay.values.envelope import Message
from twistedrelay.values.route import Route


class RetrySettings(Protocol):
    """The keys of C{transport:} that the timeline needs, in seconds."""

    @property
    def queue_glitch_retry_count(self) -> int: ...
    @property
    def queue_glitch_retry_interval(self) -> float: ...
    @property
    def transient_failure_retry_count(self) -> int: ...
    @property
    def transient_failure_retry_interval(self) -> float: ...
    @property
    def outbound_connection_failure_retry_interval(self) -> float: ...
    @property
    def message_retry_interval(self) -> float: ...
    @property
    def mailbox_delivery_queue_retry_interval(self) -> float: ...
    @property
    def delay_notification_timeout(self) -> float: ...
    @property
    def message_expiration_timeout(self) -> float: ...


class TransportSettings(RetrySettings, Protocol):
    """The keys of C{transport:} that the schedule needs."""

    @property
    def max_outbound_connections(self) -> int | None: ...


def is_mailbox(route: Route) -> bool:
    """Whether a route ends at a mailbox system of ours."""
    return route.delivery_type in ("SmtpDeliveryToMailbox", "MaildirDelivery")


def lane_interval(failures: int, settings: RetrySettings, *, mailbox: bool = False) -> float:
    """Seconds until a next hop is tried again after its C{failures}-th failure in a row (from 1)."""
    if failures <= settings.queue_glitch_retry_count:
        return settings.queue_glitch_retry_interval
    if failures <= settings.queue_glitch_retry_count + settings.transient_failure_retry_count:
        return settings.transient_failure_retry_interval
    return settings.mailbox_delivery_queue_retry_interval if mailbox else settings.outbound_connection_failure_retry_interval


def expires_at(message: Message, settings: RetrySettings) -> float:
    """When a message is given up."""
    return message.received_at + settings.message_expiration_timeout


def delayed_at(message: Message, settings: RetrySettings) -> float:
    """When the sender of a message is told that it is late."""
    return message.received_at + settings.delay_notification_timeout
