"""What the ledger says, complete and typed: what C{relayctl ledger --json} prints and C{/v1/ledger} gives."""

from __future__ import annotations

import datetime

from pydantic import BaseModel, Field


class Counts(BaseModel):
    """When and how often."""

    first_seen: datetime.datetime
    last_seen: datetime.datetime
    sessions: int
    messages: int
    recipients: int = Field(description="that were accepted")
    size: int = Field(description="octets of accepted messages")
    refusals: int = Field(description="logins, commands and messages that were refused, now or for good")
    messages_per_day: float = Field(description="between the first and the last time, over a day at least")
    recipient_domains: list[str] = Field(description="at most 50, the first ones")


class LedgerRow(Counts):
    """A client, as one connector saw it.  C{(others)} stands for many."""

    connector: str = Field(description="empty: no connector took the client, which is its network then")
    client: str
    client_name: str = Field(default="", description="its name in the DNS, where transport.ledger_reverse_names is on")
    helo: str
    user: str
    sender_domain: str
    tls: str
    cipher: str
    local: str = Field(description="what it connected to last")
    range: str = Field(description="the entry of remote_ip_ranges that holds it now; empty where none does")
    owner: str = Field(description="of that entry, as the next ones")
    expires: datetime.date | None
    shared: bool


class LedgerPage(BaseModel):
    """Some rows."""

    rows: list[LedgerRow]
    next: int = Field(description="where to go on, as `after`; 0 at the end")
    began: datetime.datetime | None = Field(description="since when there is a ledger")
    folded: int = Field(description="how often something was added to (others)")
    dropped: int = Field(description="rows that had to go before their time")


class Total(Counts):
    """All rows of one client, range, user, domain of senders, connector, or version of TLS.

    C{identity}: what they have in common.
    """

    identity: str
    connector: str
    owner: str
    clients: int
    users: list[str] = Field(description="at most 50")
    helos: list[str] = Field(description="likewise")
    tls: list[str] = Field(description="likewise; `none` is clear text")


class LedgerTotals(BaseModel):
    """The ledger, added up."""

    totals: list[Total] = Field(description="those with most messages first, at most 10,000")
    more: int = Field(description="how many are not shown")
    began: datetime.datetime | None
    folded: int
    dropped: int


class Unused(BaseModel):
    """A range, or an account, that nobody uses."""

    kind: str = Field(description="range or user")
    connector: str
    identity: str
    owner: str
    expires: datetime.date | None
    last_seen: datetime.datetime | None = Field(description="nothing: never, as far as the ledger goes")
    messages: int


class UnusedList(BaseModel):
    """What nobody uses."""

    unused: list[Unused]
    began: datetime.datetime | None
    notes: list[str]


class Affected(Counts):
    """A client that would be refused, or fall to another connector."""

    effect: str = Field(description="refused, or changed: another connector or other rights")
    what: list[str]
    old_connector: str
    new_connector: str
    client: str
    helo: str
    user: str
    sender_domain: str
    tls: str
    range: str
    owner: str


class Consequences(BaseModel):
    """What would break."""

    change: str
    affected: list[Affected]
    looked_at: int
    began: datetime.datetime | None
    notes: list[str]
