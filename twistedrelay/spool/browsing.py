"""Pages of messages that fit some terms, in the order of their ids.

A page costs a bounded amount of work, whatever fits: at most C{SCAN} messages are looked at, or about C{SCAN_RECIPIENTS} recipients where
one is looked for, and it ends early where its messages have C{RECIPIENTS} recipients together.  So nobody who looks for one message among
a million holds up the log, or needs much memory.
"""

from __future__ import annotations

import json
import sqlite3

from twistedrelay.spool import rows
from twistedrelay.spool.rows import Row
from twistedrelay.values.browsing import MessageQuery, Term

SCAN = 20_000  #: messages looked at for one page
SCAN_RECIPIENTS = 100_000  #: looked at for one page
RECIPIENTS = 20_000  #: of all messages of a page, unless a single one has more

_OPERATORS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_COLUMNS = frozenset({"id", "received_at", "size", "sender", "status", "source", "connector", "client", "helo", "user", "message_id"})
_LIKE = str.maketrans({"%": "\\%", "_": "\\_", "\\": "\\\\", "*": "%", "?": "_"})
_LISTED = "IN (SELECT value FROM json_each(?))"


def _condition(term: Term) -> tuple[str, list[str | int | float]]:
    if term.column == "recipient":
        condition, values = _comparison("address", term)
        return f"EXISTS (SELECT 1 FROM recipient WHERE recipient.message = message.id AND {condition})", values
    if term.column not in _COLUMNS:
        raise ValueError(f"{term.column} is no column")
    return _comparison(term.column, term)


def _comparison(column: str, term: Term) -> tuple[str, list[str | int | float]]:
    if not isinstance(term.value, str):
        return f"{column} {_OPERATORS[term.operator]} ?", [term.value]
    # SQLite knows the case of ASCII letters only: what holds others is for the caller to judge
    others = f"length({column}) <> length(CAST({column} AS BLOB))"
    if term.operator == "like":
        return f"({column} LIKE ? ESCAPE '\\' OR {others})", [term.value.translate(_LIKE)]
    return f"({column} {_OPERATORS[term.operator]} ? COLLATE NOCASE OR {others})", [term.value]


def select(connection: sqlite3.Connection, query: MessageQuery, after: int | None, limit: int) -> tuple[list[Row], int | None]:
    """The rows (L{rows.STORED_COLUMNS}) of a page, and what to go on behind."""
    order, beyond, within = ("DESC", "<", ">=") if query.backwards else ("ASC", ">", "<=")
    start = after if after is not None else (2**63 - 1 if query.backwards else 0)
    for term in query.terms:  # nothing before can fit
        if term.column == "id" and isinstance(term.value, int):
            if not query.backwards and term.operator in ("eq", "ge", "gt"):
                start = max(start, term.value - 1)
            elif query.backwards and term.operator in ("eq", "le", "lt"):
                start = min(start, term.value + 1)
    horizon = _horizon(connection, query, start)
    conditions = [f"id {beyond} ?"]
    values: list[str | int | float] = [start]
    if horizon is not None:
        conditions.append(f"id {within} ?")
        values.append(horizon)
    for term in query.terms:
        condition, more = _condition(term)
        conditions.append(condition)
        values += more
    found = connection.execute(
        f"SELECT {rows.STORED_COLUMNS} FROM message WHERE {' AND '.join(conditions)} ORDER BY id {order} LIMIT ?", (*values, limit)
    ).fetchall()
    kept = _few(connection, found)
    if len(kept) < len(found) or (kept and len(kept) == limit):
        return kept, kept[-1][0]
    if horizon is None or any(_ended(term, horizon, backwards=query.backwards) for term in query.terms):
        return kept, None
    return kept, horizon


def _horizon(connection: sqlite3.Connection, query: MessageQuery, start: int) -> int | None:
    """The last message that is looked at for this page; None: there is no need for one."""
    if not query.terms:
        return None
    order, beyond = ("DESC", "<") if query.backwards else ("ASC", ">")
    behind = f"SELECT id FROM message WHERE id {beyond} ? ORDER BY id {order} LIMIT 1 OFFSET ?"
    found = connection.execute(behind, (start, SCAN - 1)).fetchall()
    if any(term.column == "recipient" for term in query.terms):
        behind = f"SELECT message FROM recipient WHERE message {beyond} ? ORDER BY message {order}, place {order} LIMIT 1 OFFSET ?"
        found += connection.execute(behind, (start, SCAN_RECIPIENTS - 1)).fetchall()
    return (max if query.backwards else min)([id for (id,) in found], default=None)


def _ended(term: Term, position: int, *, backwards: bool) -> bool:
    """Whether nothing behind an id can fit."""
    if term.column != "id" or isinstance(term.value, str):
        return False
    return term.operator in (("eq", "ge", "gt") if backwards else ("eq", "le", "lt")) and (position <= term.value) is backwards


def _few(connection: sqlite3.Connection, found: list[Row]) -> list[Row]:
    """As many of them as have not too many recipients; one at least."""
    counted = f"SELECT message, count(*) FROM recipient WHERE message {_LISTED} GROUP BY message"
    counts = dict(connection.execute(counted, (json.dumps([row[0] for row in found]),)))
    total = 0
    for place, row in enumerate(found):
        total += counts.get(row[0], 0)
        if total > RECIPIENTS and place:
            return found[:place]
    return found
