"""Set-based statements: many rows in one step.

The sqlite3 module gives up the GIL several times in every statement, and a busy reactor takes its time to hand it back; so a batch costs
one statement a table, not one a row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from twistedrelay.spool import kept, rows
from twistedrelay.spool.change import Change
from twistedrelay.spool.rows import Row
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.manyrows import ManyRows


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
_UPDATE_DUE = ManyRows(
    "WITH change (id, next_attempt) AS (VALUES {}) UPDATE message SET lane = NULL, "
    "next_attempt = CASE WHEN status = 0 THEN change.next_attempt END FROM change WHERE message.id = change.id",
    2,
)
_UPDATE_FAILURES = ManyRows(
    "WITH change (id, poison, failures) AS (VALUES {}) UPDATE message SET failures = change.failures, "
    f"status = CASE WHEN change.poison THEN {MessageStatus.POISON.value} ELSE status END FROM change WHERE message.id = change.id",
    3,
)
_PARK = ManyRows(
    "WITH change (id, until, lane) AS (VALUES {}) UPDATE message SET next_attempt = change.until, lane = change.lane, "
    # the first format of the parameters, an array, knew no priority
    "rank = -coalesce(json_extract(parameters, '$.priority'), 0), "
    "flow = CASE WHEN user <> '' THEN user ELSE connector || ' ' || client END "
    "FROM change WHERE message.id = change.id AND status = 0 AND next_attempt IS NOT NULL",
    3,
)
_LISTED = "IN (SELECT value FROM json_each(?))"
_OF_STATUS = "status = coalesce(?, status)"
_SET_ASIDE = (
    f"UPDATE message SET status = ?, failures = coalesce(?, failures), next_attempt = NULL, lane = NULL WHERE id {_LISTED} AND {_OF_STATUS}"
)
_HELD_UNTIL = "coalesce(json_extract(parameters, '$.hold_until'), 0.0)"
_RELEASE_RECIPIENTS = (
    f"UPDATE recipient SET next_attempt = (SELECT {_HELD_UNTIL} FROM message WHERE id = recipient.message) "
    f"WHERE message IN (SELECT id FROM message WHERE id {_LISTED} AND {_OF_STATUS}) AND state = 0"
)
_RELEASE = (
    f"UPDATE message SET status = ?, failures = coalesce(?, failures), lane = NULL, next_attempt = {_HELD_UNTIL} "
    f"WHERE id {_LISTED} AND {_OF_STATUS}"
)
_REDIRECT = (
    f"UPDATE message SET redirect = ?, lane = NULL, next_attempt = CASE WHEN status = 0 THEN {_HELD_UNTIL} END "
    f"WHERE id {_LISTED} AND status <> {MessageStatus.POISON.value}"
)
_DELETE = "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))"


def delete(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove messages; a trigger takes all that belongs to them."""
    connection.execute(_DELETE, (json.dumps(ids),))


def _set_status(connection: sqlite3.Connection, ids: Sequence[int], status: int, failures: int | None, only: int | None) -> int:
    """How many messages there were."""
    listed = json.dumps(ids)
    if status:
        return connection.execute(_SET_ASIDE, (status, failures, listed, only)).rowcount
    connection.execute(_RELEASE_RECIPIENTS, (listed, only))
    return connection.execute(_RELEASE, (status, failures, listed, only)).rowcount


def _redirect(connection: sqlite3.Connection, ids: Sequence[int], to: str | None) -> int:
    """Likewise; those that take part are due at once."""
    listed = json.dumps(ids)
    connection.execute(_RELEASE_RECIPIENTS, (listed, MessageStatus.NORMAL.value))
    return connection.execute(_REDIRECT, (to, listed)).rowcount


def _left(ids: Sequence[int], gone: Collection[int]) -> list[int]:
    """Messages that do not end in the same transaction: nobody is told that something was done to those."""
    return [number for number in ids if number not in gone]


def _remember(connection: sqlite3.Connection, key: str, text: str | None) -> None:
    if text is None:
        connection.execute("DELETE FROM memory WHERE key = ?", (key,))
    else:
        connection.execute("INSERT OR REPLACE INTO memory (key, value) VALUES (?, ?)", (key, text))


def _keep(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """All at one time: that of the last."""
    ids = [number for change in changes for number in change.deletes]
    found = kept.keep(connection, ids, changes[-1].keep_at or 0.0)
    for change in changes:
        change.found = sum(number in found for number in change.deletes)


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
    due: dict[int, Row] = {}
    parks: dict[int, Row] = {}
    for change in changes:
        for row in change.due:
            due[row[0]] = row
            if parks:
                parks.pop(row[0], None)
        for row in change.parks:
            parks[row[0]] = row
    failures = {row[0]: row for change in changes for row in change.failures}
    if failures:
        _UPDATE_FAILURES.run(connection, list(failures.values()))
    if due:
        _UPDATE_DUE.run(connection, list(due.values()))
    if parks:
        _PARK.run(connection, [row for row in parks.values() if row[2]])
        _UPDATE_DUE.run(connection, [row[:2] for row in parks.values() if not row[2]])
    for place, change in enumerate(changes):
        if change.statuses or change.redirects:
            gone = {number for before in changes[:place] for number in before.deletes}
            found = [_set_status(connection, _left(ids, gone), status, count, only) for ids, status, count, only in change.statuses]
            change.found = sum(found) + sum(_redirect(connection, _left(ids, gone), to) for ids, to in change.redirects)
        for key, text in change.texts:
            _remember(connection, key, text)
    keeping = [change for change in changes if change.keep_at is not None]
    if keeping:
        _keep(connection, keeping)
    for change in changes:
        if change.purge is not None:
            change.purged = kept.purge(connection, *change.purge)
    deletes = [number for change in changes for number in change.deletes]
    if deletes:
        delete(connection, deletes)
