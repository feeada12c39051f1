"""The API's documents about sessions."""

from __future__ import annotations

import datetime

from pydantic import BaseModel


class Session(BaseModel):
    """An SMTP session in progress."""

    session: str
    connector: str
    peer: str
    local: str
    proxy: str
    since: datetime.datetime
    helo: str
    user: str
    tls: str
    messages: int
    state: str


class Line(BaseModel):
    """A line of a protocol log.

    C{event} is C{+} connected, C{-} disconnected, C{>} sent by us, C{<} received, C{*} information.
    """

    date_time: str
    connector_id: str
    session_id: str
    sequence_number: int
    local_endpoint: str
    remote_endpoint: str
    event: str
    data: str
    context: str


class SessionRecord(BaseModel):
    """A session as one record: where it is in progress, and what its protocol log says."""

    session: str
    live: Session | None
    lines: list[Line]
    problems: list[str]


class SessionEnd(BaseModel):
    """That a session was ended."""

    session: str
    action: str
