"""Rows of the ledger as they are shown, and added up by what they have in common."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from twistedrelay.answers.ledger.document import LedgerPage, LedgerRow, LedgerTotals, Total
from twistedrelay.answers.ledger.ranges import Owners
from twistedrelay.config.schema import Config
from twistedrelay.observe.ledger.file import Extent
from twistedrelay.values.usage import Usage

#: How rows can be added up.
BY = ("client", "range", "user", "domain", "connector", "tls")

_DAY = 86400.0
_MOST = 50  #: values of one kind in a total
MOST_TOTALS = 10_000  #: of an answer


def moment(seconds: float) -> datetime.datetime:
    """A time in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def began(extent: Extent) -> datetime.datetime | None:
    """Since when there is a ledger."""
    return None if extent.began is None else moment(extent.began)


def counts(usage: Usage) -> dict[str, Any]:
    """The fields of L{twistedrelay.answers.ledger.document.Counts}."""
    days = max(usage.last_seen - usage.first_seen, _DAY) / _DAY
    return {
        "first_seen": moment(usage.first_seen),
        "last_seen": moment(usage.last_seen),
        "sessions": usage.sessions,
        "messages": usage.messages,
        "recipients": usage.recipients,
        "size": usage.size,
        "refusals": usage.refusals,
        "messages_per_day": round(usage.messages / days, 2),
        "recipient_domains": list(usage.recipient_domains),
    }


def shown(usage: Usage, owners: Owners) -> LedgerRow:
    """A row."""
    entry = owners.entry(usage.connector, usage.client)
    return LedgerRow(
        **counts(usage),
        connector=usage.connector,
        client=usage.client,
        helo=usage.helo,
        user=usage.user,
        sender_domain=usage.sender_domain,
        tls=usage.tls,
        cipher=usage.cipher,
        local=usage.local,
        range=str(entry.range) if entry is not None else "",
        owner=entry.owner if entry is not None else "",
        expires=entry.expires if entry is not None else None,
        shared=entry is not None and entry.shared,
    )


def page(config: Config, rows: Iterable[Usage], after: int, extent: Extent) -> LedgerPage:
    """Some rows."""
    owners = Owners(config)
    found = [shown(usage, owners) for usage in rows]
    return LedgerPage(rows=found, next=after, began=began(extent), folded=extent.folded, dropped=extent.dropped)


class _Sum:
    """Rows that belong together."""

    def __init__(self, identity: str, connector: str, owner: str, usage: Usage) -> None:
        self.identity = identity
        self.connector = connector
        self.owner = owner
        self.first, self.last = usage.first_seen, usage.last_seen
        self.sessions = self.messages = self.recipients = self.size = self.refusals = 0
        self.clients: set[str] = set()
        self.domains: dict[str, None] = {}
        self.users: dict[str, None] = {}
        self.helos: dict[str, None] = {}
        self.tls: dict[str, None] = {}

    def add(self, usage: Usage) -> None:
        self.first = min(self.first, usage.first_seen)
        self.last = max(self.last, usage.last_seen)
        self.sessions += usage.sessions
        self.messages += usage.messages
        self.recipients += usage.recipients
        self.size += usage.size
        self.refusals += usage.refusals
        self.clients.add(usage.client)
        for known, values in (
            (self.domains, usage.recipient_domains),
            (self.users, (usage.user,) if usage.user else ()),
            (self.helos, (usage.helo,) if usage.helo else ()),
            (self.tls, (usage.tls or "none",)),
        ):
            if len(known) < _MOST:
                known.update(dict.fromkeys(values))

    def total(self) -> Total:
        usage = Usage(
            connector=self.connector,
            local="",
            client="",
            first_seen=self.first,
            last_seen=self.last,
            sessions=self.sessions,
            messages=self.messages,
            recipients=self.recipients,
            size=self.size,
            refusals=self.refusals,
            recipient_domains=tuple(list(self.domains)[:_MOST]),
        )
        return Total(
            **counts(usage),
            identity=self.identity,
            connector=self.connector,
            owner=self.owner,
            clients=len(self.clients),
            users=list(self.users)[:_MOST],
            helos=list(self.helos)[:_MOST],
            tls=list(self.tls)[:_MOST],
        )


def totals(config: Config, rows: Iterable[Usage], by: str, extent: Extent) -> LedgerTotals:
    """Rows added up, those with most messages first.

    @param by: one of L{BY}.
    """
    owners = Owners(config)
    name = _NAMES[by]
    sums: dict[tuple[str, str], _Sum] = {}
    for usage in rows:
        identity, connector, owner = name(usage, owners)
        key = (identity, connector)
        if key not in sums:
            sums[key] = _Sum(identity, connector, owner, usage)
        sums[key].add(usage)
    found = sorted(sums.values(), key=lambda one: (-one.messages, -one.sessions, one.identity))
    shown, more = [one.total() for one in found[:MOST_TOTALS]], max(len(found) - MOST_TOTALS, 0)
    return LedgerTotals(totals=shown, more=more, began=began(extent), folded=extent.folded, dropped=extent.dropped)


def _client(usage: Usage, owners: Owners) -> tuple[str, str, str]:
    entry = owners.entry(usage.connector, usage.client)
    return usage.client, usage.connector, entry.owner if entry is not None else ""


def _range(usage: Usage, owners: Owners) -> tuple[str, str, str]:
    entry = owners.entry(usage.connector, usage.client)
    return ("", usage.connector, "") if entry is None else (str(entry.range), usage.connector, entry.owner)


_NAMES: dict[str, Callable[[Usage, Owners], tuple[str, str, str]]] = {
    "client": _client,
    "range": _range,
    "user": lambda usage, _: (usage.user, "", ""),
    "domain": lambda usage, _: (usage.sender_domain, "", ""),
    "connector": lambda usage, _: (usage.connector, usage.connector, ""),
    "tls": lambda usage, _: (usage.tls or "none", usage.connector, ""),
}
