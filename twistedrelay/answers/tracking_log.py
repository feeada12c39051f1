"""Tracked events as a message tracking log of Exchange: C{MSGTRKyyyymmdd-n.LOG}.

It decides the lines that a file begins with and the fields of the others in Exchange's order, so that scripts that read such logs read
ours.  Several recipients stand in one field with semicolons between them, as there.  What senders wrote is written as it is: a program that
takes a field that begins with C{=} for a formula must be told not to.

Source: Exchange Server, "Message tracking" (structure and fields of the log files).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from twistedrelay import __version__
from twistedrelay.answers.tracking import Properties, joined
from twistedrelay.values.printable import escape

#: Fields, and the properties that stand there.
FIELDS = {
    "date-time": "timestamp",
    "client-ip": "client_ip",
    "client-hostname": "client_hostname",
    "server-ip": "server_ip",
    "server-hostname": "server_hostname",
    "source-context": "source_context",
    "connector-id": "connector_id",
    "source": "source",
    "event-id": "event_id",
    "internal-message-id": "internal_message_id",
    "message-id": "message_id",
    "network-message-id": "network_message_id",
    "recipient-address": "recipients",
    "recipient-status": "recipient_status",
    "total-bytes": "total_bytes",
    "recipient-count": "recipient_count",
    "related-recipient-address": "related_recipient_address",
    "reference": "reference",
    "message-subject": "message_subject",
    "sender-address": "sender",
    "return-path": "return_path",
    "message-info": "message_info",
    "directionality": "directionality",
    "tenant-id": "tenant_id",
    "original-client-ip": "original_client_ip",
    "original-server-ip": "original_server_ip",
    "custom-data": "custom_data",
    "transport-traffic-type": "transport_traffic_type",
    "log-id": "log_id",
    "schema-version": "schema_version",
}

_CONSTANT = {"transport_traffic_type": "Email"}


def heading(timestamp: str) -> str:
    """The lines that a log begins with, for one whose first event is of this time."""
    return (
        f"#Software: twistedrelay\r\n#Version: {__version__}\r\n#Log-type: Message Tracking Log\r\n"
        f"#Date: {timestamp}\r\n#Fields: {','.join(FIELDS)}\r\n"
    )


def lines(events: Iterable[Properties]) -> str:
    """A line for each event."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    for event in events:
        statuses = [status.replace(";", ",") for status in event.get("recipient_status", ())]  # which reads better in a reply
        values = {**_CONSTANT, **event, "recipient_status": statuses}
        writer.writerow([_field(values.get(name)) for name in FIELDS.values()])
    return written.getvalue()


def _field(value: object) -> str:
    """A value, without anything that could end its line."""
    if value is None:
        return ""
    return escape(joined(map(str, value)) if isinstance(value, list) else str(value))
