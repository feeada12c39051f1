"""The answer to a question, complete and typed: what C{relayctl explain --json} prints and C{/v1/explain} gives."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import BaseModel, Field

from twistedrelay.answers.explain.question import Question


class Candidate(BaseModel):
    """A receive connector at this door.

    C{place}, here and elsewhere: C{file:line} of what decided, empty where it is not known.
    """

    name: str
    identity: str
    chosen: bool
    reason: str
    remote_ip_range: str = ""
    owner: str = ""
    expires: datetime.date | None = None
    place: str = ""


class Right(BaseModel):
    """A right of the session."""

    name: str = Field(description="as Exchange's protocol log has it: SMTPSubmit, SMTPAcceptAnyRecipient")
    sources: list[str] = Field(description="permission group or extended right, and of whom")
    place: str = ""


class Rights(BaseModel):
    """Who the session is and what it may do."""

    principal: str
    reason: str
    rights: list[Right]


class Exchange(BaseModel):
    """A command and its reply."""

    command: str
    reply: str = Field(description="all of its lines; empty: nothing is said")
    accepted: bool
    reason: str = ""
    delay_seconds: float = 0.0
    place: str = ""


class Extension(BaseModel):
    """A service extension of EHLO, offered or not."""

    keyword: str
    offered: bool
    reason: str = ""
    under_tls: bool
    place: str = ""


class SendCandidate(BaseModel):
    """A send connector, for one recipient."""

    name: str
    chosen: bool
    reason: str
    address_space: str = ""
    cost: int | None = None
    place: str = ""


class QueueState(BaseModel):
    """The queue that a recipient's mail would wait in."""

    identity: str
    status: str
    message_count: int = 0
    next_retry_time: datetime.datetime | None = None
    last_error: str = ""
    redirected_to: str = Field(default="", description="where an administrator sends its mail instead")
    suspended: str = Field(default="", description="why an administrator suspended it")


class Route(BaseModel):
    """Where a recipient's mail goes.

    C{action} is C{send}, C{wait} or C{return}.
    """

    recipient: str
    action: Literal["send", "wait", "return"]
    reason: str
    accepted_domain: str = ""
    domain_type: str = ""
    send_connector: str = ""
    candidates: list[SendCandidate] = []
    next_hop: str = ""
    delivery_type: str = ""
    hops: list[str] = []
    mx_domain: str = ""
    targets: list[str] | None = Field(default=None, description="what the DNS says; null: it was not asked")
    resolution: str = Field(default="", description="why the DNS gave none")
    tls: str = ""
    tls_level: str = ""
    login: str = Field(default="", description="whom the relay logs in as; never a secret")
    login_source: str = Field(default="", description="where its secret is")
    envelope_sender: str = ""
    envelope_recipient: str = ""
    helo: str = ""
    source_addresses: list[str] = []
    queue: QueueState | None = None
    place: str = ""


class Limit(BaseModel):
    """A limit that applies to this client.

    C{current} is what counts against it now, where a relay was asked.
    """

    name: str
    value: str
    current: str = ""
    reached: bool = False
    place: str = ""


class Explanation(BaseModel):
    """The answer."""

    question: Question
    live: bool = Field(description="a running relay was asked, and not only the file")
    local: str
    binding: str
    accepted: bool = Field(description="everything asked would be granted, and every recipient has a way")
    summary: str
    receive_connector: str = ""
    candidates: list[Candidate] = []
    at_connect: Rights | None = None
    after_login: Rights | None = None
    tls: str = ""
    dialogue: list[Exchange] = []
    extensions: list[Extension] = []
    routes: list[Route] = []
    limits: list[Limit] = []
    notes: list[str] = []
