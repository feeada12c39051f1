"""Tracked events as Exchange shows them: one property for each field of its message tracking log, and ours.

It decides what stands in each field; what is kept and found is C{observe.tracking}'s business.  The same properties are what the API
answers and what C{relayctl} makes of the files by itself.

Source: Exchange Server, "Message tracking" (fields in the log files), Get-MessageTrackingLog.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twistedrelay import __version__
from twistedrelay.observe.tracking import schema
from twistedrelay.observe.tracking.find import Page, Tracked, find
from twistedrelay.observe.tracking.query import TrackingQuery, decoded
from twistedrelay.observe.tracking.story import story
from twistedrelay.values.netrange import IPRange

if TYPE_CHECKING:
    from twistedrelay.config.schema import Config

#: Events by their names.
NUMBERS = {name: number for number, name in schema.KINDS.items()}

#: Events at a next hop.
_AT_NEXT_HOP = frozenset({schema.SEND, schema.DELIVER, schema.DEFER, schema.FAIL, schema.REDIRECT})

Properties = dict[str, Any]


def moment(microseconds: int) -> str:
    """A time in UTC with milliseconds, as all logs have it."""
    when = datetime.datetime.fromtimestamp(microseconds // 1000 / 1000, datetime.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def joined(values: Iterable[str]) -> str:
    """Several values in one field, as Exchange has them; none of them can be taken for two, whatever a client put into it."""
    return ";".join(value.replace(";", r"\x3b") for value in values)


def _peer(remote: str) -> tuple[str, str]:
    """Name and address of C{"name [address]:port"}; a path is a name."""
    name, bracket, rest = remote.rpartition(" [")
    if bracket:
        return name, rest.partition("]")[0]
    return ("", remote[1:].partition("]")[0]) if remote.startswith("[") else (remote, "")


def _address(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]")


def properties(event: Tracked, server: str, fqdn: str) -> Properties:
    """An event.

    @param server: the server's name, for C{SERVER\\Connector}.
    """
    out = event.kind in _AT_NEXT_HOP
    hostname, address = _peer(event.remote)
    came = event.kind == schema.RECEIVE
    local = _address(event.local)
    custom = {"Tls": event.tls, "NextHop": event.next_hop, "User": event.user, "Helo": event.helo, "Local": event.local}
    shown = event.kind in (schema.RECEIVE, schema.AGENTINFO)
    reported = event.reply and event.kind not in (schema.REDIRECT,)
    return {
        "timestamp": moment(event.at),
        "event_id": schema.KINDS.get(event.kind, "AGENTINFO"),
        "source": schema.SOURCES.get(event.source, ""),
        "internal_message_id": event.number,
        "message_id": event.message_id,
        "sender": event.sender or ("<>" if event.received_at else ""),
        "recipients": [told if event.kind == schema.REDIRECT else name for name, told in event.recipients],
        "recipient_count": event.recipient_count,
        "recipient_status": [event.reply] * len(event.recipients) if reported else [],
        "message_subject": decoded(event.subject),
        "total_bytes": event.size,
        "connector_id": f"{server}\\{event.connector}" if shown and event.connector else event.send_connector if out else "",
        "client_ip": event.client if came else "",
        "client_hostname": event.helo if came else fqdn,
        "server_ip": local if came else address,
        "server_hostname": hostname if out and hostname else fqdn,
        "source_context": event.context or (event.session if came else ""),
        "network_message_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{event.number}.{event.received_at}.{fqdn}")),
        "related_recipient_address": joined(name if event.kind == schema.REDIRECT else told for name, told in event.recipients if told),
        "reference": event.reference,
        "return_path": event.return_path or event.sender or ("<>" if event.received_at else ""),
        "message_info": moment(event.received_at) if event.received_at else "",
        "directionality": "Originating" if event.user or event.origin != "SMTP" else "Incoming",
        "original_client_ip": event.client,
        "original_server_ip": local,
        "custom_data": joined(f"S:{name}={value}" for name, value in custom.items() if value),
        "log_id": f"{event.at:x}",
        "schema_version": __version__,
        "user": event.user,
        "session_id": event.session,
        "receive_connector": event.connector,
        "next_hop": event.next_hop,
        "remote": event.remote,
        "tls": event.tls,
        "related_message": event.related or None,
        "message_latency": round((event.at - event.received_at) / 1e6, 3) if event.received_at else None,
    }


def shown_page(page: Page, config: Config) -> Properties:
    """A page, as the API answers it."""
    name, fqdn = config.server.name, config.server.fqdn
    return {"events": [properties(event, name, fqdn) for event in page.events], "next": page.cursor, "problems": page.problems}


def query_of(given: dict[str, str], start: float, end: float) -> TrackingQuery:
    """What is looked for, from texts by name.

    @raise ValueError: a text is not what its name takes; C{str()} says why.
    """
    kinds = set()
    for name in filter(None, given.get("event_id", "").replace(" ", "").upper().split(",")):
        if name not in NUMBERS:
            raise ValueError(f"{name!r} is no event; allowed: {', '.join(NUMBERS)}")
        kinds.add(NUMBERS[name])
    number = given.get("internal_message_id", "")
    if number and not (number.isascii() and number.isdigit() and len(number) < 19):
        raise ValueError(f"{number!r} is no InternalId: it is a number")
    return TrackingQuery(
        start=start,
        end=end,
        sender=given.get("sender", ""),
        recipient=given.get("recipient", ""),
        subject=given.get("subject", ""),
        message_id=given.get("message_id", ""),
        number=int(number or 0),
        connector=given.get("connector", ""),
        client=IPRange.parse(given["client"]) if given.get("client") else None,
        user=given.get("user", ""),
        session=given.get("session", ""),
        kinds=frozenset(kinds),
        reply=given.get("reply", ""),
    )


def page_from_files(config: Config, query: TrackingQuery, limit: int, cursor: str, newest_first: bool) -> Properties:
    """A page, from the files of a relay that does not run."""
    return shown_page(find(config.transport.message_tracking_log_path, query, limit, cursor, newest_first=newest_first), config)


def story_from_files(config: Config, wanted: str) -> Properties:
    """A message's story, likewise."""
    return shown_page(story(config.transport.message_tracking_log_path, wanted), config)
