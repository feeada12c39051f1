"""What two configurations differ in, complete and typed: what C{relayctl diff --json} prints and C{/v1/diff} gives."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class Change(BaseModel):
    """An object that is added or removed, or a parameter that changes."""

    kind: Literal["added", "removed", "changed"]
    object: str = Field(description="ReceiveConnector, SendConnector, AcceptedDomain, Server, Transport ...")
    identity: str = ""
    parameter: str = ""
    old: Any = None
    new: Any = None


class BindingChange(BaseModel):
    """A socket that is opened or closed."""

    kind: Literal["opened", "closed"]
    binding: str
    connectors: list[str]


class Requeue(BaseModel):
    """Queued messages that would go another way."""

    old: str = Field(description="a queue, or the reply that keeps them waiting")
    new: str
    returned: bool = Field(description="they would be returned to their senders, and are not today")
    stranded: bool = Field(description="they have a route today and would have none: they wait, and are returned when they expire")
    messages: int
    recipients: int
    examples: list[str] = Field(description="InternalId and recipient of some")


class ClientChange(BaseModel):
    """A recorded client that would get another answer.

    C{effect}: C{refused} what is accepted today, C{accepted} what is refused today, C{changed} else.
    """

    effect: Literal["refused", "accepted", "changed"]
    client: str
    local: str
    helo: str
    user: str
    sender_domain: str
    tls: str
    last_seen: datetime.datetime
    sessions: int
    messages: int
    old_connector: str
    new_connector: str
    what: list[str]


class Difference(BaseModel):
    """All of it."""

    live: bool = Field(description="what a daemon runs with is the old one, and its queues were looked at")
    old: str
    new: str
    changes: list[Change]
    bindings: list[BindingChange]
    requeued: list[Requeue] = []
    messages_looked_at: int = 0
    clients: list[ClientChange] = []
    sessions_looked_at: int = 0
    refused: bool = Field(description="something would be refused, returned or left without a route that is accepted or sent today")
    notes: list[str] = []
