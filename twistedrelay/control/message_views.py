"""Messages as the API's documents: what is shown of a message and its recipients, and under which of Exchange's words for their states.

It never changes anything and never waits.
"""

from __future__ import annotations

import itertools

from twistedrelay.control import models
from twistedrelay.control.live import Place, Relay
from twistedrelay.control.views import moment, moment_if
from twistedrelay.values.envelope import Message, Recipient, RecipientState
from twistedrelay.values.reply import Reply

#: A list names this many recipients of each message; C{recipient_count} has the number.
MAX_RECIPIENTS_LISTED = 20
#: With each recipient's state: this many.
MAX_RECIPIENTS_SHOWN = 1000

_STATUSES = {RecipientState.DELIVERED: "Complete", RecipientState.FAILED: "Failed", RecipientState.REMOVED: "Removed"}


def _error(reply: Reply | None) -> str:
    """A reply on one line, C{""} where it is none or a good one."""
    return "" if reply is None or reply.is_positive else str(reply)


def span(seconds: float) -> str:
    """A time span as Exchange writes it: C{dd.hh:mm:ss}, days only where there are some."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    return f"{f'{days}.' if days else ''}{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


def age(relay: Relay, message: Message) -> float:
    """For how many seconds we have a message."""
    return max(0.0, relay.clock.seconds() - message.received_at)


def recipient(of: Recipient, place: Place) -> models.Recipient:
    """One recipient."""
    where = place.recipients.get(of.index)
    if of.state is not RecipientState.READY:
        status = _STATUSES[of.state]
    elif where is not None and where.since:
        status = "Active"
    else:
        status = "Retry" if of.attempts or (where is not None and where.next_retry) else "Ready"
    next_retry = max(of.next_attempt, where.next_retry if where is not None else 0.0) if of.state is RecipientState.READY else 0.0
    return models.Recipient(
        address=of.address.text,
        status=status,
        queue=where.queue if where is not None else "",
        active_since=moment_if(where.since) if where is not None else None,
        remote=where.remote if where is not None else "",
        attempts=of.attempts,
        next_retry_time=moment_if(next_retry),
        last_error=_error(of.last_reply) or _error(where.last_error if where is not None else None),
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
    return f"Held for its sender until {moment(until):%Y-%m-%d %H:%M:%S} UTC" if until > now else ""


def summary(relay: Relay, message: Message, place: Place, *, with_recipients: bool = False) -> models.MessageSummary:
    """A message, as a list shows it."""
    origin, server, queues = message.origin, relay.config.server.name, place.queues
    own = (_error(of.last_reply) for of in message.recipients if of.state is RecipientState.READY)
    errors = itertools.chain(own, (_error(where.last_error) for where in place.recipients.values()))
    where = f"{server}\\{queues[0]}" if queues else server
    return models.MessageSummary(
        identity=f"{where}\\{message.id}",
        id=message.id,
        queue=queues[0] if queues else "",
        queues=queues[:MAX_RECIPIENTS_LISTED],
        active_since=moment_if(place.since),
        remote=place.remote,
        retry_count=max((of.attempts for of in message.recipients), default=0),
        message_latency=span(age(relay, message)),
        redirected_to=message.redirect,
        from_address=message.sender.text or "<>",
        status=place.status,
        size=message.size,
        message_source_name=f"{origin.source}:{origin.connector}" if origin.connector else origin.source,
        source_ip=origin.client,
        internet_message_id=message.message_id,
        date_received=moment(message.received_at),
        expiration_time=moment(_expires_at(relay, message)),
        last_error=next(filter(None, errors), "") or _held(message, relay.clock.seconds()),
        recipient_count=len(message.recipients),
        recipients=[of.address.text for of in message.recipients[:MAX_RECIPIENTS_LISTED]],
        recipient_info=[recipient(each, place) for each in message.recipients[:MAX_RECIPIENTS_SHOWN]] if with_recipients else None,
    )


def message(relay: Relay, of: Message, place: Place, subject: str, start: int) -> models.Message:
    """A message with its recipients from C{start} on."""
    parameters, by = of.parameters, of.parameters.deliver_by
    shown = summary(relay, of, place).model_dump()
    shown["recipient_info"] = [recipient(each, place) for each in of.recipients[start : start + MAX_RECIPIENTS_SHOWN]]
    return models.Message(
        **shown,
        subject=subject,
        user=of.origin.user,
        helo=of.origin.helo,
        session=of.origin.session,
        body_type=parameters.body,
        smtp_utf8=parameters.smtp_utf8,
        require_tls=parameters.require_tls,
        priority=parameters.priority,
        deferred_until=moment_if(parameters.hold_until),
        deliver_by=None if by is None else moment(of.received_at + by.seconds),
        deliver_by_mode="" if by is None else by.mode,
    )
