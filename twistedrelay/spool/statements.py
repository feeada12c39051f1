"""Set-based statements: many rows in one step.

The sqlite3 module gives up the GIL at every step, and a busy reactor may take milliseconds to hand it back; so a batch costs a
few steps a table, not one a row.  Statements are made for powers of two only, which keeps them all in the connection's cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain

from twistedrelay.spool import rows
from twistedrelay.spool.change import Change
from twistedrelay.spool.rows import Row

_MOST = 64


class ManyRows:
    """One statement for any number of rows.

    @ivar sql: by power of two: the text with that many placeholders for rows.
    """

    def __init__(self, template: str, width: int) -> None:
        row = "(" + ",".join("?" * width) + ")"
        self.sql = {1 << power: template.format(",".join([row] * (1 << power))) for power in range(_MOST.bit_length())}

    def run(self, connection: sqlite3.Connection, many: Sequence[Row]) -> None:
        """Execute it for all the rows."""
        start, left = 0, len(many)
        while left:
            count = min(_MOST, 1 << (left.bit_length() - 1))
            connection.execute(self.sql[count], tuple(chain.from_iterable(many[start : start + count])))
            start += count
            left -= count


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
_DELETES = tuple(ManyRows(f"DELETE FROM {table} WHERE {key} IN (VALUES {{}})", 1) for table, key in (
    ("message", "id"),
    ("content", "id"),
    ("recipient", "message"),
))  # fmt: skip


def delete(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove messages with all that belongs to them."""
    keys = [(number,) for number in ids]
    for statement in _DELETES:
        statement.run(connection, keys)


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
