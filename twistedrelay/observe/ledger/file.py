"""The ledger's file, for reading: by the daemon, and by relayctl where none runs.

It decides which rows answer a question.  Everything here blocks.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import attrs

from twistedrelay.observe.database import reading
from twistedrelay.observe.ledger.schema import VERSION, ends_of
from twistedrelay.values.netrange import IPRange
from twistedrelay.values.usage import Usage

_NAMES = (
    *("connector", "local", "client", "helo", "user", "sender_domain", "tls", "cipher"),
    *("first_seen", "last_seen", "sessions", "messages", "recipients", "size", "refusals"),
)
_COLUMNS = ", ".join(_NAMES)


@attrs.frozen(slots=True, kw_only=True)
class LedgerQuery:
    """Which rows are looked for; what is not given is any.

    @ivar client: an address or a range of them.
    @ivar since: last seen at this time or later.
    @ivar unused_since: last seen before this time.
    """

    connector: str | None = None
    client: IPRange | None = None
    user: str | None = None
    helo: str | None = None
    sender_domain: str | None = None
    tls: str | None = None
    since: float = 0.0
    unused_since: float = math.inf


EVERYTHING = LedgerQuery()


@attrs.frozen(slots=True)
class Page:
    """Some rows.

    @ivar next: where to go on; 0 at the end.
    """

    rows: list[Usage]
    next: int


@attrs.frozen(slots=True)
class Extent:
    """How far the ledger goes.

    @ivar began: since when there is one, seconds since the epoch; None: not yet.
    @ivar folded: how often there was no room for a row of its own.
    @ivar dropped: rows that had to go before their time.
    """

    began: float | None = None
    folded: int = 0
    dropped: int = 0


class LedgerFile:
    """See the module.  Where there is no file, there is nothing in it.

    All methods raise L{sqlite3.Error} where it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def rows(self, query: LedgerQuery = EVERYTHING, limit: int = -1) -> list[Usage]:
        """The rows that are looked for, those seen last first.

        @param limit: how many at most; -1: all.
        """
        return [usage for _, usage in self._found(query, 0, "last_seen DESC, id", limit)]

    def page(self, query: LedgerQuery, limit: int, after: int = 0) -> Page:
        """Some of them, in an order that stays.

        @param after: C{next} of the page before.
        """
        found = list(self._found(query, after, "id", limit + 1))
        more = len(found) > limit
        return Page([usage for _, usage in found[:limit]], found[limit - 1][0] if more else 0)

    def extent(self) -> Extent:
        """How far it goes."""
        with self._opened() as database:
            if database is None:
                return Extent()
            row = database.execute("SELECT began, folded, dropped FROM mark").fetchone()
            return Extent(*row) if row else Extent()

    def _found(self, query: LedgerQuery, after: int, order: str, limit: int) -> Iterator[tuple[int, Usage]]:
        terms, values = _terms(query)
        terms.append("id > ?")
        with self._opened() as database:
            if database is None:
                return
            text = f"SELECT id, domains, {_COLUMNS} FROM usage WHERE {' AND '.join(terms)} ORDER BY {order} LIMIT ?"
            for number, domains, *rest in database.execute(text, (*values, after, limit)):
                yield number, Usage(recipient_domains=tuple(json.loads(domains)), **dict(zip(_NAMES, rest, strict=True)))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        with reading(self.path) as database:
            if database is None:
                yield None
                return
            [(version,)] = database.execute("PRAGMA user_version")
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"{self.path} was written by another version of twistedrelay")
            yield database if version else None


def _terms(query: LedgerQuery) -> tuple[list[str], list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    for name in ("connector", "helo", "user", "sender_domain", "tls"):
        wanted = getattr(query, name)
        if wanted is not None:
            terms.append(f"{name} = ? COLLATE NOCASE")
            values.append(wanted)
    if query.client is not None:
        terms.append("address BETWEEN ? AND ?")
        values += ends_of(query.client)
    if query.since > 0:
        terms.append("last_seen >= ?")
        values.append(query.since)
    if query.unused_since < math.inf:
        terms.append("last_seen < ?")
        values.append(query.unused_since)
    return terms, values
