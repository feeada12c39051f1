"""The tables of the safety net: messages that were delivered, kept as they are until their time is over.

With the last record of a message its row, and those of its recipients that got it, become rows here, in the same transaction; its content
stays where it is.  A report of our own is not kept, nor is what nobody got.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from twistedrelay.spool import rows
from twistedrelay.spool.rows import Row

_LISTED = "IN (SELECT value FROM json_each(?))"
_COLUMNS = rows.MESSAGE_COLUMNS.replace("next_attempt", "delivered_at")
_RECIPIENT_COLUMNS = "message, place, address, domain, parameters, remote"

TABLES = (
    """CREATE TABLE kept (
        id INTEGER PRIMARY KEY,
        delivered_at REAL NOT NULL,
        received_at REAL NOT NULL,
        size INTEGER NOT NULL,
        sender TEXT NOT NULL,
        sender_domain TEXT,
        message_id TEXT NOT NULL,
        parameters TEXT,
        source TEXT NOT NULL,
        connector TEXT NOT NULL,
        client TEXT NOT NULL,
        helo TEXT NOT NULL,
        user TEXT NOT NULL,
        session TEXT NOT NULL,
        file TEXT
    )""",
    "CREATE INDEX kept_time ON kept (delivered_at)",
    "CREATE INDEX kept_file ON kept (file) WHERE file IS NOT NULL",
    """CREATE TABLE kept_recipient (
        message INTEGER NOT NULL,
        place INTEGER NOT NULL,
        address TEXT NOT NULL,
        domain TEXT,
        parameters TEXT,
        remote TEXT NOT NULL,
        PRIMARY KEY (message, place)
    ) WITHOUT ROWID""",
    "DROP TRIGGER message_gone",
    """CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
        DELETE FROM content WHERE id = OLD.id AND NOT EXISTS (SELECT 1 FROM kept WHERE id = OLD.id);
        DELETE FROM recipient WHERE message = OLD.id;
    END""",
    """CREATE TRIGGER kept_gone AFTER DELETE ON kept BEGIN
        DELETE FROM content WHERE id = OLD.id;
        DELETE FROM kept_recipient WHERE message = OLD.id;
    END""",
)


def keep(connection: sqlite3.Connection, ids: Sequence[int], now: float) -> set[int]:
    """Messages are about to be deleted: keep them.  Returns which of them are kept."""
    listed = json.dumps(ids)
    columns = rows.MESSAGE_COLUMNS.replace("next_attempt", "?1")
    delivered = "EXISTS (SELECT 1 FROM recipient WHERE recipient.message = message.id AND state = 1)"
    connection.execute(
        f"INSERT INTO kept ({_COLUMNS}) SELECT {columns} FROM message WHERE id IN (SELECT value FROM json_each(?2)) "
        f"AND source NOT IN ('DSN', 'SAFETYNET') AND {delivered}",
        (now, listed),
    )
    connection.execute(
        f"INSERT INTO kept_recipient ({_RECIPIENT_COLUMNS}) SELECT {_RECIPIENT_COLUMNS} FROM recipient "
        f"WHERE message {_LISTED} AND state = 1 AND message IN (SELECT id FROM kept)",
        (listed,),
    )
    return {row[0] for row in connection.execute(f"SELECT id FROM kept WHERE id {_LISTED}", (listed,))}


def purge(connection: sqlite3.Connection, before: float, limit: int) -> list[Row]:
    """Remove the oldest ones, at most C{limit}, that were delivered before a time: C{(id, file)} of each."""
    found = connection.execute("SELECT id, file FROM kept WHERE delivered_at < ? ORDER BY delivered_at LIMIT ?", (before, limit)).fetchall()
    connection.execute(f"DELETE FROM kept WHERE id {_LISTED}", (json.dumps([row[0] for row in found]),))
    return found


def page(
    connection: sqlite3.Connection, start: float, end: float, position: tuple[float, int], limit: int
) -> tuple[list[Row], dict[int, list[Row]]]:
    """Rows of C{kept} behind a position, in the order of delivery, and those of their recipients by message."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM kept WHERE delivered_at >= ? AND delivered_at < ? AND (delivered_at, id) > (?, ?) "
        "ORDER BY delivered_at, id LIMIT ?",
        (start, end, *position, limit),
    ).fetchall()
    recipients: dict[int, list[Row]] = {row[0]: [] for row in found}
    listed = json.dumps(list(recipients))
    for row in connection.execute(
        f"SELECT {_RECIPIENT_COLUMNS} FROM kept_recipient WHERE message {_LISTED} ORDER BY message, place", (listed,)
    ):
        recipients[row[0]].append(row)
    return found, recipients
