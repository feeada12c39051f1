"""SQLite files that one process writes and any number may read meanwhile.

It decides how such a file is made: readable by its owner only, with a write-ahead log.  It knows nothing of what is in a file.  Everything
here blocks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator

from twistedrelay.observe.reading import address_of

BUSY = 5.0  #: seconds to wait for another process
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))


class OwnFile:
    """A file that only we write.  It is made when it is first needed, and stays open, so that readers know that somebody writes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def opened(self, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        """The database; a new one where somebody took the file away.

        @param prepare: called where it was not open: makes the tables of a new file, and raises where the file is none of ours.
        @raise sqlite3.Error: it cannot be opened.
        @raise OSError: likewise.
        """
        if self._database is not None:
            with contextlib.suppress(OSError):
                if os.stat(self.path).st_ino == self._inode:
                    return self._database
            self.close()
        file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._inode = os.fstat(file).st_ino
        os.close(file)
        database = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            prepare(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return database

    def close(self) -> None:
        """Close it; L{opened} opens it again."""
        database, self._database = self._database, None
        if database is not None:
            database.close()


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether an error says that a file is damaged, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is executed within, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection | None]:
    """A file, for reading; None where there is none yet.

    @raise sqlite3.Error: it cannot be read.
    """
    address = address_of(path)
    if address is None:
        yield None
        return
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY, check_same_thread=False)) as database:
        database.execute("BEGIN")
        yield database
