"""A message's story as lines for people: what happened, when, how long after that before, to whom, and what was said.

It decides layout only.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from twistedrelay.values.printable import escape

Event = dict[str, Any]

#: Recipients that a line names.
MOST_NAMED = 3

_DETAIL = {"failed": "non-delivery report", "delayed": "delay notice", "relayed": "relay notice", "delivered": "delivery report"}


def timeline(events: list[Event]) -> Iterator[str]:
    """The lines about some events in the order of their times: a block for each message."""
    blocks: dict[int, list[Event]] = {}
    for event in events:
        blocks.setdefault(event["internal_message_id"], []).append(event)
        if event["related_message"] in blocks:
            blocks[event["related_message"]].append(event)
    for number, block in blocks.items():
        if number != next(iter(blocks)):
            yield ""
        yield from _block(number, block)


def _block(number: int, events: list[Event]) -> Iterator[str]:
    own = [event for event in events if event["internal_message_id"] == number]
    facts = next((event for event in own if event["message_id"]), own[0])
    subject = next((event["message_subject"] for event in own if event["message_subject"]), "")
    yield escape(f"Message {number} {facts['message_id']}".rstrip())
    if facts["message_id"]:
        yield escape(f"  from {facts['sender']}, {facts['total_bytes']:,} bytes" + (f", subject: {subject}" if subject else ""))
    if facts["receive_connector"]:
        client = f"[{facts['original_client_ip']}]" if facts["original_client_ip"] else ""
        helo = next((event["client_hostname"] for event in own if event["event_id"] == "RECEIVE"), "")
        user = f" as {facts['user']}" if facts["user"] else ""
        yield escape(f"  by {facts['receive_connector']} {' '.join(filter(None, (helo, client)))}{user}".rstrip())
    before: datetime | None = None
    for event in events:
        when = datetime.fromisoformat(event["timestamp"])
        if before is None:
            shown = event["timestamp"].replace("T", " ").removesuffix("Z")
        else:
            shown = f"+{span((when - before).total_seconds())}".rjust(23)
        yield escape(f"  {shown}  {_what(number, event)}")
        before = when


def span(seconds: float) -> str:
    """A time for people."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 0.0):.3f} s"


def _what(number: int, event: Event) -> str:
    name, context = event["event_id"], event["source_context"]
    if event["internal_message_id"] != number:  # of a message that came of this one
        other = f"{_DETAIL.get(context, 'as a new message')}: message {event['internal_message_id']}"
        return f"{name:<9} {other} to {_names(event)}"
    if name == "RECEIVE":
        return f"{name:<9} {event['source']} to {_names(event)}"
    if name in ("DSN", "RESUBMIT"):
        about = f"about message {event['related_message']}" if name == "DSN" else f"message {event['related_message']} again"
        return f"{name:<9} {' '.join(filter(None, (_DETAIL.get(context), about)))} to {_names(event)}"
    if name == "REDIRECT":
        return f"{name:<9} {event['related_recipient_address']} becomes {_names(event)}"
    if name == "POISONMESSAGE":
        return f"{name:<9} {context}"
    hop = event["remote"] or event["next_hop"]
    way = f" by {event['connector_id']}" if event["connector_id"] and name != "AGENTINFO" else ""
    changed = f" as {event['related_recipient_address']}" if event["related_recipient_address"] else ""
    parts = [f"{name:<9} {_names(event)}{changed}", f"via {hop}{way}" if hop else "", event["tls"] and f"({event['tls']})"]
    said = next(iter(event["recipient_status"]), "")
    if event["source"] == "ADMIN":
        parts.append("removed by an administrator,")
    return " ".join(filter(None, parts)) + (f": {said}" if said else "") + (f" [{context}]" if context else "")


def _names(event: Event) -> str:
    recipients, count = event["recipients"], event["recipient_count"]
    shown = ", ".join(recipients[:MOST_NAMED])
    return f"{shown} and {count - MOST_NAMED} more" if count > MOST_NAMED else shown
