"""Set-based statements: many rows in one step.

The sqlite3 module gives up the GIL several times in every statement, and a busy reactor takes its time to hand it back; so a batch costs
one statement a table, not one a row.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Sequence
from itertools import chain

from twistedrelay.spool import rows
from twistedrelay.spool.change import Change
from twistedrelay.spool.rows import Row

#: Rows in a statement at most; the connection keeps a prepared statement for each number of rows.
MOST_ROWS = 64


class ManyRows:
    """One statement for any number of rows."""

    def __init__(self, template: str, width: int) -> None:
        self._template = template
        self._row = "(" + ",".join("?" * width) + ")"
        self._text = functools.cache(self._make)

    def _make(self, count: int) -> str:
        return self._template.format(",".join([self._row] * count))

    def run(self, connection: sqlite3.Connection, many: Sequence[Row]) -> None:
        """Execute it for all the rows."""
        for start in range(0, len(many), MOST_ROWS):
            some = many[start : start + MOST_ROWS]
            connection.execute(self._text(len(some)), tuple(chain.from_iterable(some)))


def _width(columns: str) -> int:
    return columns.count(",") + 1


def _update(table: str, keys: str, columns: str) -> ManyRows:
    key_names = keys.split(", ")
    names = columns.split(", ")
    assignments = ", ".join(f"{name} = change.{name}" for name in names)
    match = " AND ".join(f"{table}.{name} = change.{name}" for name in key_names)
    width = len(key_names) + len(names)
    return ManyRows(f"WITH change ({keys}, {columns}) AS (VALUES {{}}) UPDATE {table} SET {assignments} FROM change WHERE {match}", width)


_INSERT_MESSAGE = ManyRows(f"INSERT INTO message ({rows.MESSAGE_COLUMNS}) VALUES {{}}", _width(rows.MESSAGE_COLUMNS))
_INSERT_CONTENT = ManyRows("INSERT INTO content (id, data) VALUES {}", 2)
_INSERT_RECIPIENT = ManyRows(f"INSERT INTO recipient ({rows.NEW_RECIPIENT_COLUMNS}) VALUES {{}}", _width(rows.NEW_RECIPIENT_COLUMNS))
_UPDATE_RECIPIENT = _update("recipient", "message, place", rows.CHANGED_COLUMNS)
_UPDATE_DUE = _update("message", "id", "next_attempt")
_DELETE = "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))"


def delete(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove messages; a trigger takes all that belongs to them."""
    connection.execute(_DELETE, (json.dumps(ids),))


def apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Execute the statements of some changes, table by table.

    That gives the same result as one change after the other: a message is stored once, before anything else is said of it, and
    nothing is said of it after its end; of several updates of the same recipient the last one is taken.
    """
    _INSERT_MESSAGE.run(connection, [row for change in changes for row in change.messages])
    _INSERT_CONTENT.run(connection, [row for change in changes for row in change.contents])
    _INSERT_RECIPIENT.run(connection, [row for change in changes for row in change.recipients])
    updates = {row[:2]: row for change in changes for row in change.updates}
    if updates:
        _UPDATE_RECIPIENT.run(connection, list(updates.values()))
    due = {row[0]: row for change in changes for row in change.due}
    if due:
        _UPDATE_DUE.run(connection, list(due.values()))
    deletes = [number for change in changes for number in change.deletes]
    if deletes:
        delete(connection, deletes)
