"""Reading the store: on a connection of its own that cannot write, in a thread of its own, so that no view ever delays a commit.

Every query is one short transaction: a long one would keep the write-ahead log from being emptied.  Answers are bounded by the caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twistedrelay.spool import browsing, kept, rows
from twistedrelay.spool.disk import Disk, spool_error
from twistedrelay.spool.parking import Parking
from twistedrelay.spool.rows import Row
from twistedrelay.values.browsing import MessagePage, MessageQuery
from twistedrelay.values.envelope import Message, MessageStatus, Recipient

_LISTED = "IN (SELECT value FROM json_each(?))"
_FILE = rows.STORED_COLUMNS.split(", ").index("file")


class Found:
    """A message as the tables have it.

    @ivar data: the octets of small content where they were asked for.
    """

    def __init__(self, row: Row, recipients: list[Recipient], data: bytes | None) -> None:
        self.row = row
        self.recipients = recipients
        self.data = data

    @property
    def id(self) -> int:
        """Its InternalId."""
        number: int = self.row[0]
        return number

    @property
    def size(self) -> int:
        """Octets of its content."""
        size: int = self.row[3]
        return size

    @property
    def file(self) -> str:
        """The name of its content's file, or C{""}."""
        return self.row[_FILE] or ""


class Queries:
    """The reading connection.  Every method blocks; one thread at a time."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._parking = Parking()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._disk.connect(self._path, read_only=True)
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise spool_error("the spool cannot be read", error) from error

    def load(self, ids: list[int]) -> list[Found]:
        """Messages with their waiting recipients and small contents; in the order of C{ids}."""
        listed = json.dumps(ids)
        with self._reading() as connection:
            messages = connection.execute(f"SELECT {rows.STORED_COLUMNS} FROM message WHERE id {_LISTED}", (listed,)).fetchall()
            recipients = self._recipients(connection, listed, "AND state = 0")
            contents = dict(connection.execute(f"SELECT id, data FROM content WHERE id {_LISTED}", (listed,)))
        found = {row[0]: Found(row, recipients[row[0]], contents.get(row[0])) for row in messages}
        return [found[number] for number in ids if number in found]

    def browse(self, query: MessageQuery, after: int | None, limit: int, make: Callable[[Found], Message]) -> MessagePage:
        """A page of messages with all their recipients, without contents; see L{twistedrelay.spool.browsing}."""
        with self._reading() as connection:
            messages, position = browsing.select(connection, query, after, limit)
            recipients = self._recipients(connection, json.dumps([row[0] for row in messages]), "")
        return MessagePage([make(Found(row, recipients[row[0]], None)) for row in messages], position)

    def _recipients(self, connection: sqlite3.Connection, listed: str, condition: str) -> dict[Any, list[Recipient]]:
        found: dict[Any, list[Recipient]] = defaultdict(list)
        query = f"SELECT {rows.RECIPIENT_COLUMNS} FROM recipient WHERE message {_LISTED} {condition} ORDER BY message, place"
        for row in connection.execute(query, (listed,)):
            found[row[0]].append(rows.recipient_of(row))
        return found

    def due(self, before: float, limit: int) -> list[tuple[float, int]]:
        """From the index alone."""
        with self._reading() as connection:
            return connection.execute(
                "SELECT next_attempt, id FROM message WHERE next_attempt <= ? ORDER BY next_attempt, id LIMIT ?", (before, limit)
            ).fetchall()

    def parked(self, lane: str, limit: int) -> list[int]:
        """See L{twistedrelay.spool.parking}."""
        with self._reading() as connection:
            return self._parking.take(connection, lane, limit)

    def parked_lanes(self) -> list[tuple[str, int]]:
        """From the index alone."""
        with self._reading() as connection:
            return connection.execute("SELECT lane, count(*) FROM message WHERE lane IS NOT NULL GROUP BY lane").fetchall()

    def kept(self, start: float, end: float, position: tuple[float, int], limit: int) -> tuple[list[Row], dict[int, list[Row]]]:
        """See L{twistedrelay.spool.kept.page}."""
        with self._reading() as connection:
            return kept.page(connection, start, end, position, limit)

    def statuses(self) -> dict[MessageStatus, int]:
        """From the index alone."""
        with self._reading() as connection:
            found = connection.execute("SELECT status, count(*) FROM message WHERE status <> 0 GROUP BY status")
            return {MessageStatus(status): count for status, count in found}

    def remembered(self) -> dict[str, str]:
        """The texts that were kept."""
        with self._reading() as connection:
            return dict(connection.execute("SELECT key, value FROM memory"))

    def count(self) -> int:
        """How many messages."""
        with self._reading() as connection:
            number: int = connection.execute("SELECT count(*) FROM message").fetchone()[0]
            return number

    def content(self, number: int, offset: int, length: int) -> bytes:
        """A part of small content; nothing where the message is gone."""
        with self._reading() as connection:
            found = connection.execute("SELECT substr(data, ?, ?) FROM content WHERE id = ?", (offset + 1, length, number)).fetchone()
            return b"" if found is None else found[0]

    def close(self) -> None:
        """Disconnect; the next query connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
