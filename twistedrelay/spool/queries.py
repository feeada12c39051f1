"""Reading the store: on a connection of its own that cannot write, in a thread of its own, so that no view ever delays a commit.

Every query is one short transaction: a long one would keep the write-ahead log from being emptied.  Answers are bounded by the caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
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

    def waiting(self, after: tuple[float, int], limit: int) -> list[tuple[float, int, str]]:
        """In the order of the index, from a place in it: thousands have the same time, which a comparison of pairs would read each time."""
        columns = "SELECT next_attempt, id, coalesce(lane, '') FROM message WHERE"
        with self._reading() as connection:
            return connection.execute(
                f"{columns} next_attempt = ?1 AND id > ?2 UNION ALL {columns} next_attempt > ?1 ORDER BY next_attempt, id LIMIT ?3",
                (*after, limit),
            ).fetchall()

    def parked(self, lanes: Mapping[str, int]) -> dict[str, list[int]]:
        """See L{twistedrelay.spool.parking}."""
        with self._reading() as connection:
            return {lane: self._parking.take(connection, lane, limit) for lane, limit in lanes.items()}

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

    def figures(self) -> tuple[int, float, int, int]:
        """How many messages, when the oldest one came (0.0 for none), the octets of the database, and how many of them are free."""
        with self._reading() as connection:
            ask = connection.execute
            count: int = ask("SELECT count(*) FROM message").fetchone()[0]
            oldest = ask("SELECT received_at FROM message ORDER BY id LIMIT 1").fetchone()
            return count, 0.0 if oldest is None else oldest[0], *_room(connection)

    def room(self) -> tuple[int, int]:
        """The last two of L{figures}, without a walk over the queue."""
        with self._reading() as connection:
            return _room(connection)

    def due_count(self, before: float, most: int) -> int:
        """How many messages are due that wait for no lane; not more than C{most} are counted."""
        with self._reading() as connection:
            some = "SELECT 1 FROM message WHERE next_attempt <= ? AND lane IS NULL LIMIT ?"
            number: int = connection.execute(f"SELECT count(*) FROM ({some})", (before, most)).fetchone()[0]
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


def _room(connection: sqlite3.Connection) -> tuple[int, int]:
    """The octets of the database, and how many of them are free."""
    size, pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count"))
    return size * pages, size * free
