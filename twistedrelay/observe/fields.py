"""One flat mapping of fields for each event, for JSON logs.

It decides the keys.  L{FIXED} are in every record, in this order, C{None} where they do not apply; others follow by kind of event.
Texts are left as they are: the JSON encoder escapes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twistedrelay.observe.lines import ATTEMPTS, sender_told
from twistedrelay.values.envelope import Recipient
from twistedrelay.values.events import (
    CommandRefused,
    Connected,
    ConnectionRefused,
    Connectivity,
    Disconnected,
    Dropped,
    Event,
    LoggedIn,
    LoginFailed,
    LogonLocked,
    MessageEvent,
    PermissionsSet,
    Poisoned,
    Receive,
    ReceiveUncertain,
    Removed,
    ReportSent,
    Resubmitted,
    Send,
    ServiceEvent,
    SessionEvent,
    TLSFailed,
    TLSResult,
    TLSStarted,
)

#: The keys of every record.
FIXED = ("time", "level", "event", "connector", "session", "peer", "queue_id", "message_id")

#: How many recipients a record names; C{recipient_count} always has the number.
MAX_RECIPIENTS = 100

#: Names in the records, and the level where it is not info.
_NAMES: dict[type[Event], tuple[str, str]] = {
    Connected: ("connect", "info"),
    ConnectionRefused: ("connection_refused", "warn"),
    PermissionsSet: ("permissions", "info"),
    TLSStarted: ("tls_started", "info"),
    TLSFailed: ("tls_failed", "warn"),
    LoggedIn: ("login", "info"),
    LoginFailed: ("login_failed", "warn"),
    LogonLocked: ("logon_locked", "warn"),
    CommandRefused: ("command_refused", "info"),
    Disconnected: ("disconnect", "info"),
    Receive: ("RECEIVE", "info"),
    ReceiveUncertain: ("RECEIVE_UNCERTAIN", "warn"),
    Send: ("SEND", "info"),
    ReportSent: ("DSN", "info"),
    Removed: ("REMOVE", "info"),
    Resubmitted: ("RESUBMIT", "info"),
    Poisoned: ("POISONMESSAGE", "error"),
    Dropped: ("DROP", "warn"),
    Connectivity: ("delivery_connection", "info"),
    TLSResult: ("tls_result", "info"),
    ServiceEvent: ("service", "info"),
}


def _recipients(recipients: Sequence[Recipient]) -> dict[str, Any]:
    shown = [recipient.address.text for recipient in recipients[:MAX_RECIPIENTS]]
    return {"recipients": shown, "recipient_count": len(recipients)}


def _receive(event: Receive) -> dict[str, Any]:
    message = event.message
    origin, parameters = message.origin, message.parameters
    return {
        "sender": message.sender.text,
        **_recipients(message.recipients),
        "size": message.size,
        "source": origin.source,
        "user": origin.user,
        "helo": origin.helo,
        "require_tls": parameters.require_tls,
        "smtp_utf8": parameters.smtp_utf8,
        "hold_until": parameters.hold_until or None,
        "deliver_by": None if parameters.deliver_by is None else parameters.deliver_by.seconds,
    }


def _send(event: Send) -> dict[str, Any]:
    outcome, sender = event.outcome, sender_told(event)
    return {
        "event": ATTEMPTS[outcome.kind],
        "recipient": outcome.recipient.address.text,
        "told": outcome.told or None,
        "sender_told": None if sender is None else sender.text,
        "next_hop": event.next_hop,
        "remote": outcome.remote,
        "reply": str(outcome.reply),
        "tls": outcome.tls,
        "uncertain": outcome.uncertain,
        "converted": outcome.converted,
        "attempts": outcome.recipient.attempts,
    }


#: What each kind of event adds to the fixed keys (or puts in their place).
EXTRAS: dict[type[Event], Callable[[Any], dict[str, Any]]] = {
    Connected: lambda e: {"local": e.local, "proxy": e.proxy or None},
    ConnectionRefused: lambda e: {"limit": e.limit, "reply": str(e.reply)},
    PermissionsSet: lambda e: {"principal": e.principal, "rights": list(e.rights)},
    TLSStarted: lambda e: {"tls": f"{e.version} {e.cipher}"},
    TLSFailed: lambda e: {"reason": e.reason},
    LoggedIn: lambda e: {"mechanism": e.mechanism, "user": e.user},
    LoginFailed: lambda e: {"mechanism": e.mechanism, "user": e.user, "reason": e.reason},
    LogonLocked: lambda e: {"user": e.user or None, "source": e.source, "limit": e.limit, "seconds": e.seconds},
    CommandRefused: lambda e: {"command": e.command, "reply": str(e.reply), "reason": e.reason},
    Disconnected: lambda e: {"reason": e.reason, "messages": e.messages, "seconds": round(e.seconds, 3)},
    Receive: _receive,
    ReceiveUncertain: lambda e: {"sender": e.message.sender.text},
    Send: _send,
    ReportSent: lambda e: {
        "kind": e.kind,
        "about": e.about.id,
        "about_message_id": e.about.message_id,
        **_recipients(e.message.recipients),
    },
    Removed: lambda e: {"with_ndr": e.with_ndr, **_recipients(e.recipients)},
    Resubmitted: lambda e: {"again": e.about},
    Poisoned: lambda e: {"failures": e.failures},
    Dropped: lambda e: {"reason": e.reason},
    Connectivity: lambda e: {
        "connector": e.connector or None,
        "session": e.session or None,
        "next_hop": e.next_hop,
        "remote": e.remote,
        "what": e.what,
        "detail": e.detail,
    },
    TLSResult: lambda e: {
        "domain": e.assessment.domain,
        "policy": e.assessment.kind,
        "host": e.host,
        "address": e.address,
        "failure": e.failure,
        "detail": e.detail,
    },
    ServiceEvent: lambda e: {"level": e.level, "text": e.text},
}


def fields(time: str, event: Event) -> dict[str, Any]:
    """The record of an event.  Never raises: an event that cannot be shown is a record that says so."""
    kind = type(event)
    try:
        name, level = _NAMES[kind]
        record: dict[str, Any] = {"time": time, "level": level, "event": name}
        if isinstance(event, SessionEvent):
            record |= {"connector": event.connector, "session": event.session, "peer": event.peer, "queue_id": None, "message_id": None}
        elif isinstance(event, MessageEvent):
            message = event.message
            origin = message.origin
            record |= {
                "connector": origin.connector or None,
                "session": origin.session or None,
                "peer": origin.client or None,
                "queue_id": message.id,
                "message_id": message.message_id,
            }
        else:
            record |= dict.fromkeys(FIXED[3:])
        record |= EXTRAS[kind](event)
    except Exception as error:
        record = {
            **dict.fromkeys(FIXED),
            "time": time,
            "level": "error",
            "event": kind.__name__,
            "text": f"cannot be shown: {type(error).__name__}",
        }
    return record
