"""The SQLite file as the writer's thread uses it: one transaction a batch, and what has to happen after a failure.

After a failed commit or fsync nothing that the connection believes can be trusted: the pages that did not reach the disk look clean
now.  So the connection is thrown away, the write-ahead log is written into the main file and emptied (nothing may follow frames that
are perhaps missing), and only then is anything else written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Sequence as Many

from twistedrelay.spool import schema, statements
from twistedrelay.spool.change import Change
from twistedrelay.spool.disk import Disk
from twistedrelay.spool.ids import Sequence
from twistedrelay.spool.layout import Layout


class Database:
    """The tables.  Every method blocks and is called by one thread at a time.

    @ivar connection: None while it is closed.
    @ivar commit_seconds: how long the last commit took: most of it is the disk's.
    @ivar committing: whether the last L{apply} got as far as its commit: then its outcome is not known where it failed.
    """

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk = disk
        self._layout = layout
        self.connection: sqlite3.Connection | None = None
        self.committing = False
        self.commit_seconds = 0.0
        self.ids = Sequence(1)

    def create(self) -> None:
        """Make the file, with its mode, where there is none."""
        if not os.path.exists(self._layout.database):
            self._disk.close(self._disk.create(self._layout.database))
            self._disk.sync_directory(self._layout.directory)

    def open(self) -> sqlite3.Connection:
        """Connect, and bring the tables up to date."""
        connection = self._disk.connect(self._layout.database)
        try:
            schema.prepare(connection)
        except BaseException:
            connection.close()
            raise
        self.connection = connection
        return connection

    def begin_run(self) -> bool:
        """Go on with the ids where the last run of the relay may have been; returns whether that ended in good order."""
        connection = self._connected()
        first, clean = connection.execute("SELECT next, clean FROM sequence").fetchone()
        self.ids = Sequence(first)
        connection.execute("UPDATE sequence SET clean = 0")
        self.apply(())  # the first reserve of ids
        return bool(clean)

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            raise sqlite3.OperationalError("the database is closed")
        return self.connection

    def apply(self, changes: Many[Change], forget: Many[int] = ()) -> None:
        """One durable transaction.

        @param forget: ids of messages to remove first, whether they are there or not.
        """
        self.committing = False
        connection = self._connected()
        if any(change.files for change in changes):
            self._disk.sync_directory(self._layout.bodies)
        wanted = self.ids.wanted()
        connection.execute("BEGIN IMMEDIATE")
        if forget:
            statements.delete(connection, forget)
        statements.apply(connection, changes)
        if wanted is not None:
            connection.execute("UPDATE sequence SET next = ?", (wanted,))
        self.committing = True
        began = time.monotonic()
        connection.execute("COMMIT")
        self.commit_seconds = time.monotonic() - began
        if wanted is not None:
            self.ids.durable = wanted

    def rollback(self) -> None:
        """Leave the transaction that failed."""
        if self.connection is not None and self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def reopen(self) -> None:
        """Start again after a failure, as far from what went wrong as possible.

        @raise OSError: the disk is still sick.
        @raise sqlite3.Error: the disk is still sick.
        """
        self.disconnect()
        self._disk.probe(self._layout.probe)
        self.open()
        self._empty_log()

    def _empty_log(self) -> None:
        busy = self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise sqlite3.OperationalError("the write-ahead log is in use")

    def count(self, ids: Many[int]) -> int:
        """How many of these messages are there."""
        connection = self._connected()
        return sum(connection.execute("SELECT count(*) FROM message WHERE id = ?", (number,)).fetchone()[0] for number in ids)

    def disconnect(self) -> None:
        """Close the connection, whatever state it is in."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()  # a statement that somebody still holds would keep the transaction open, and its lock
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Say that this run ended well, give the rest of the reserved ids back, write the log into the main file, and disconnect."""
        try:
            if self.connection is not None:
                self.connection.execute("UPDATE sequence SET next = ?, clean = 1", (self.ids.next,))
                self._empty_log()
        finally:
            self.disconnect()
