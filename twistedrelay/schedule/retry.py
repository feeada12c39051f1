"""The retry timeline as pure functions: when a dead next hop, a deferred recipient, a delay notice and an expiry are due.

A next hop that cannot be reached is tried in three steps: glitch, transient, steady (Exchange's QueueGlitchRetry*, TransientFailureRetry*
and OutboundConnectionFailureRetryInterval; a mailbox hop has MailboxDeliveryQueueRetryInterval for the steady step).  A recipient that got
a 4xx waits for MessageRetryInterval.  Nothing here knows a clock or keeps state.

Sources: Exchange, "Message retry, resubmit, and expiration intervals"; RFC 2852 (DELIVERBY); RFC 4865 (held messages).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, YEAR, Message
from twistedrelay.values.route import Route

#: The keys that say how long a next hop is left alone.
_PAUSES = (
    "queue_glitch_retry_count",
    "queue_glitch_retry_interval",
    "transient_failure_retry_count",
    "transient_failure_retry_interval",
    "outbound_connection_failure_retry_interval",
    "mailbox_delivery_queue_retry_interval",
)

SLOW_DOWN = 5.0  #: seconds of the first pause where a next hop asks for less; each further one is twice as long


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
    def queue_max_idle_time(self) -> float: ...
    @property
    def delay_notification_timeout(self) -> float: ...
    @property
    def message_expiration_timeout(self) -> float: ...


class TransportSettings(RetrySettings, Protocol):
    """The keys of C{transport:} that the schedule needs."""

    @property
    def max_outbound_connections(self) -> int | None: ...
    @property
    def poison_threshold(self) -> int: ...


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


def same_pauses(one: RetrySettings, other: RetrySettings) -> bool:
    """Whether all next hops are left alone for as long by both."""
    return all(getattr(one, key) == getattr(other, key) for key in _PAUSES)


class Jitter:
    """Intervals ten per cent more or less by chance, so that what failed together does not come back together.

    @param chance: random numbers from 0 to 1.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance

    def __call__(self, seconds: float) -> float:
        """An interval for C{seconds}."""
        return seconds * (0.9 + 0.2 * self._chance())


def slow_down_interval(failures: int, settings: RetrySettings, *, mailbox: bool = False) -> float:
    """Seconds until a next hop that asked for less is tried again after its C{failures}-th such word in a row: soon, but not longer."""
    return min(SLOW_DOWN * 2.0 ** min(failures - 1, 20), lane_interval(failures, settings, mailbox=mailbox))


def _by_time(message: Message, mode: str) -> float:
    """When the by-time of a message is over, infinity where it has none of this mode."""
    by = message.parameters.deliver_by
    return message.received_at + by.seconds if by is not None and by.mode == mode else math.inf


def returns_at(message: Message) -> float:
    """When a message is given up because its sender said so (RFC 2852, mode R)."""
    return math.inf if message.parameters.deliver_by is None else _by_time(message, "R")


def expires_at(message: Message, settings: RetrySettings) -> float:
    """When a message is given up.  Time that it was held for its sender does not count."""
    if message.parameters is NO_MAIL_PARAMETERS:  # most are, and it is asked of many at once
        return message.received_at + settings.message_expiration_timeout
    started = max(message.received_at, message.parameters.hold_until)
    return min(started + settings.message_expiration_timeout, returns_at(message))


def delayed_at(message: Message, settings: RetrySettings) -> float:
    """When the sender of a message is told that it is late: at its own time (RFC 2852, mode N), or ours."""
    if message.parameters is NO_MAIL_PARAMETERS:
        return message.received_at + settings.delay_notification_timeout
    started = max(message.received_at, message.parameters.hold_until)
    told = _by_time(message, "N")
    return told if message.received_at < told < math.inf else started + settings.delay_notification_timeout


def retried_at(message: Message, now: float, retry_at: float) -> float:
    """When a recipient that is not in a lane is looked at again: not after its by-time."""
    if message.parameters.deliver_by is None:
        return retry_at
    return min(retry_at, *(when for when in (_by_time(message, "R"), _by_time(message, "N")) if when > now))


def set_right(message: Message, now: float, ahead: float = 0.0) -> Message:
    """A message that a clock dated ahead of the present, which was set back since then, comes back to it.

    @param ahead: by how much the clock has just been set ahead (or back, below 0); 0.0: nobody knows.
    """
    message.received_at = min(message.received_at, now)
    for recipient in message.recipients:
        when = recipient.next_attempt
        if when <= now:
            continue
        if ahead < 0.0:
            recipient.next_attempt = max(when + ahead, message.parameters.hold_until)
        elif when > now + YEAR:
            recipient.next_attempt = now
    return message
