"""What is told of an event: its name, the receive connector that it belongs to, and its facts as JSON can hold them.

Content and subjects of messages are never told, nor is anything secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twistedrelay.values import events
from twistedrelay.values.envelope import Message, OutcomeKind
from twistedrelay.values.hooks import LEVEL_EVENTS

#: Recipients that are named.
MOST_RECIPIENTS = 100
_LONGEST = 1000

Facts = dict[str, Any]

#: A name, a receive connector or C{""}, and what makes the facts.
Told = tuple[str, str, Callable[[], Facts]]

_OUTCOMES = {OutcomeKind.DEFERRED: "DEFER", OutcomeKind.FAILED: "FAIL"}


def told(event: events.Event) -> Iterator[Told]:
    """What webhooks can tell of an event; nothing of most."""
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        yield from handler(event)


def concerned(names: frozenset[str]) -> frozenset[type[events.Event]]:
    """The kinds of events that some names come from."""
    return frozenset(kind for kind, made in _NAMES.items() if made is None or not names.isdisjoint(made))


def _message(message: Message) -> Facts:
    origin, recipients = message.origin, message.recipients
    return {
        "internal_message_id": message.id,
        "message_id": message.message_id,
        "sender": message.sender.text,
        "recipients": [each.address.text for each in recipients[:MOST_RECIPIENTS]],
        "recipient_count": len(recipients),
        "size": message.content.size,
        "source": origin.source,
        "connector": origin.connector,
        "client": origin.client,
        "helo": origin.helo,
        "user": origin.user,
        "session": origin.session,
    }


def _about(name: str, *fields: str) -> Callable[[Any], Iterator[Told]]:
    """Events of a whole message."""

    def tell(event: Any) -> Iterator[Told]:
        yield (
            name,
            event.message.origin.connector,
            lambda: {**_message(event.message), **{field: getattr(event, field) for field in fields}},
        )

    return tell


def _removed(event: events.Removed) -> Iterator[Told]:
    """The recipients are those who do not get it."""

    def facts() -> Facts:
        return {
            **_message(event.message),
            "recipients": [each.address.text for each in event.recipients[:MOST_RECIPIENTS]],
            "recipient_count": len(event.recipients),
            "with_ndr": event.with_ndr,
        }

    yield "REMOVE", event.message.origin.connector, facts


def _sent(event: events.Send) -> Iterator[Told]:
    outcome = event.outcome
    name = _OUTCOMES.get(outcome.kind) or ("SEND" if event.route.kind == "smtp" else "DELIVER")

    def facts() -> Facts:
        return {
            **_message(event.message),
            "recipients": [outcome.recipient.address.text],
            "recipient_count": 1,
            "reply": str(outcome.reply)[:_LONGEST],
            "send_connector": event.route.connector,
            "next_hop": event.next_hop,
            "remote": outcome.remote,
            "tls": outcome.tls,
            "uncertain": outcome.uncertain,
        }

    yield name, event.message.origin.connector, facts


def _reported(event: events.ReportSent) -> Iterator[Told]:
    facts = lambda: {**_message(event.message), "kind": event.kind, "about": event.about.id}  # noqa: E731
    yield "DSN", event.about.origin.connector, facts


def _session(name: str, *fields: str) -> Callable[[Any], Iterator[Told]]:
    """Events of sessions, which have all that is to be told as texts and numbers."""

    def tell(event: Any) -> Iterator[Told]:
        def facts() -> Facts:
            made = {"session": event.session, "connector": event.connector, "peer": event.peer}
            for field in fields:
                value = getattr(event, field)
                made[field] = value if isinstance(value, int | float) else str(value)[:_LONGEST]
            return made

        yield name, event.connector, facts

    return tell


def _service(event: events.ServiceEvent) -> Iterator[Told]:
    def facts() -> Facts:
        return {"level": event.level, "text": event.text[:_LONGEST], "code": event.code}

    if event.code:
        yield event.code, "", facts
    if event.level in LEVEL_EVENTS:
        yield LEVEL_EVENTS[event.level], "", facts


_HANDLERS: dict[type[events.Event], Callable[[Any], Iterator[Told]]] = {
    events.Receive: _about("RECEIVE"),
    events.Send: _sent,
    events.ReportSent: _reported,
    events.Resubmitted: _about("RESUBMIT", "about"),
    events.Poisoned: _about("POISONMESSAGE", "failures"),
    events.Dropped: _about("DROP", "reason"),
    events.Removed: _removed,
    events.ConnectionRefused: _session("connection_refused", "limit", "reply"),
    events.CommandRefused: _session("command_refused", "command", "reply", "reason", "helo", "sender"),
    events.LoggedIn: _session("logged_in", "mechanism", "user"),
    events.LoginFailed: _session("login_failed", "mechanism", "user", "reason"),
    events.LogonLocked: _session("logon_locked", "user", "source", "limit", "seconds"),
    events.Disconnected: _session("session_ended", "reason", "messages", "seconds", "helo"),
    events.TLSFailed: _session("tls_failed", "reason"),
    events.ServiceEvent: _service,
}

#: The names that come from each kind of event; None: many.
_NAMES: dict[type[events.Event], frozenset[str] | None] = {
    events.Receive: frozenset({"RECEIVE"}),
    events.Send: frozenset({"SEND", "DELIVER", "DEFER", "FAIL"}),
    events.ReportSent: frozenset({"DSN"}),
    events.Resubmitted: frozenset({"RESUBMIT"}),
    events.Poisoned: frozenset({"POISONMESSAGE"}),
    events.Dropped: frozenset({"DROP"}),
    events.Removed: frozenset({"REMOVE"}),
    events.ConnectionRefused: frozenset({"connection_refused"}),
    events.CommandRefused: frozenset({"command_refused"}),
    events.LoggedIn: frozenset({"logged_in"}),
    events.LoginFailed: frozenset({"login_failed"}),
    events.LogonLocked: frozenset({"logon_locked"}),
    events.Disconnected: frozenset({"session_ended"}),
    events.TLSFailed: frozenset({"tls_failed"}),
    events.ServiceEvent: None,
}
