"""Tracked events as the API answers them; the names are those of Get-MessageTrackingLog's properties in snake_case, and ours."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TrackedEvent(BaseModel):
    """An event of a message's life."""

    timestamp: str = Field(json_schema_extra={"format": "date-time"})
    event_id: str
    source: str
    internal_message_id: int
    message_id: str
    sender: str
    recipients: list[str] = Field(description="at most 1000 of them")
    recipient_count: int
    recipient_status: list[str]
    message_subject: str
    total_bytes: int
    connector_id: str
    client_ip: str
    client_hostname: str
    server_ip: str
    server_hostname: str
    source_context: str
    network_message_id: str
    related_recipient_address: str
    reference: str = Field(description="the Message-ID of another message: whom a report is about, what was sent again")
    return_path: str
    message_info: str
    directionality: str
    original_client_ip: str
    original_server_ip: str
    custom_data: str
    log_id: str
    schema_version: str
    user: str
    session_id: str
    receive_connector: str
    next_hop: str
    remote: str
    tls: str
    related_message: int | None
    message_latency: float | None = Field(description="seconds since the message was received")


class TrackingPage(BaseModel):
    """Some tracked events.  It may be short, or empty, and still not the last."""

    events: list[TrackedEvent]
    next: str = Field(description="where to go on, as `after`; empty at the end")
    problems: list[str] = Field(description="files that cannot be read, or written")
