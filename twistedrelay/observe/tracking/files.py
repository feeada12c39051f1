"""The directory of tracking files, as their one writer has it.

It decides which file events go to (one for each day, another one when it is full or cannot be used), when its index is brought up to
date, and which files are deleted: those that are too old, and the oldest where all together are too large.  A file that is damaged is
set aside under another name, which is told, and another one begins.  All methods block: they run in a thread, one after the other.

A killed process costs what had not been written; a power failure the last transactions, but never a file (write-ahead log,
C{synchronous=NORMAL}).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
import time
from collections.abc import Callable, Sequence

import attrs

from twistedrelay.observe.database import BUSY, is_damaged
from twistedrelay.observe.tracking.directory import FileName, delete_surplus, tracking_files
from twistedrelay.observe.tracking.known import completed
from twistedrelay.observe.tracking.rows import INSERTS, Entry, Row, RowMaker, of_one_day
from twistedrelay.observe.tracking.schema import FOLD, SCHEMA, VERSION

#: The index is brought up to date when it is behind by so many events and the relay has little to do; else it waits, but not for ever.
FOLD_EVENTS = 50_000
MOST_BEHIND = 150_000
QUIET = 500  #: events in a batch of a relay that has little to do

#: A file is full when it has this part of the size of all.
PARTS = 8

_DAY = 86400.0
_PRUNE_INTERVAL = 3600.0
_STEP_BACK = 60_000_000  #: microseconds that the clock may go back within a file
_PAGE = 4096
_CHECKPOINT = 4000  #: pages of the write-ahead log at most
_CACHE = 16_384  #: kilobytes
_STATEMENTS = 256  #: that stay prepared: one for each number of rows


def _day(when: float) -> str:
    return datetime.datetime.fromtimestamp(when, datetime.UTC).strftime("%Y%m%d")


class _Unusable(Exception):
    """A file is not of this version, or damaged."""


class TrackingFile:
    """One file, open for writing."""

    def __init__(self, path: str, most_pages: int = _CHECKPOINT) -> None:
        """
        @param most_pages: in the write-ahead log, unless somebody reads.
        @raise _Unusable: it is damaged, or of another version.
        @raise sqlite3.Error: it cannot be opened now.
        """
        self._path = path
        self._most_pages = most_pages
        # Only its owner may read it: it says who writes to whom.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._identity = _identity(path)
        self._database = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        execute = self._database.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute(f"PRAGMA cache_size = -{_CACHE}")
        execute(f"PRAGMA wal_autocheckpoint = {self._most_pages}")
        execute(f"PRAGMA journal_size_limit = {self._most_pages * _PAGE}")  # it is cut when the reader has gone
        [(version,)] = execute("PRAGMA user_version")
        if version not in (0, VERSION):
            raise _Unusable(f"it is of version {version}")
        if not version:
            self._database.executescript(f"BEGIN; {SCHEMA}; PRAGMA user_version = {VERSION}; COMMIT")
        [(last, self._folded)] = execute("SELECT coalesce((SELECT max(id) FROM event), 0), folded FROM mark")
        [numbers] = execute(
            "SELECT coalesce((SELECT max(id) FROM address), 0) + 1, coalesce((SELECT max(id) FROM origin), 0) + 1, "
            "coalesce((SELECT max(id) FROM way), 0) + 1"
        )
        [(self._behind,)] = execute("SELECT count(*) FROM event WHERE id > ?", (self._folded,))
        self._maker = RowMaker(last, *numbers)

    @property
    def last(self) -> int:
        """The time of its last event, in microseconds."""
        return self._maker.last

    @property
    def size(self) -> int:
        """Its octets."""
        [(pages,)] = self._database.execute("PRAGMA page_count")
        [(page,)] = self._database.execute("PRAGMA page_size")
        return int(pages) * int(page)

    @property
    def is_there(self) -> bool:
        """Whether what is written will be found: an open file can be written long after somebody deleted it."""
        return _identity(self._path) == self._identity

    def completed(self, entries: Sequence[Entry], before: float, subjects: bool) -> Sequence[Entry]:
        """See L{twistedrelay.observe.tracking.known.completed}."""
        return completed(entries, before, self._database, self._path, subjects)

    def write(self, entries: Sequence[Entry]) -> None:
        """Add events.

        @raise sqlite3.Error: none of them was; the file must be closed.
        """
        rows = self._maker.rows(entries)
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            self._insert(rows)
            self._behind += len(rows["event"])
            if self._behind >= FOLD_EVENTS and (len(entries) < QUIET or self._behind >= MOST_BEHIND):
                self._fold()
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _insert(self, rows: dict[str, list[Row]]) -> None:
        for name, insert in INSERTS.items():
            try:
                insert.run(self._database, rows[name])
            except UnicodeEncodeError:  # half a surrogate pair: nothing of the statement was executed
                insert.run(self._database, [tuple(map(_clean, row)) for row in rows[name]])

    def _fold(self) -> None:
        """Bring the index up to date."""
        if self._behind:
            for statement in FOLD:
                self._database.execute(statement, (self._folded,))
            self._folded, self._behind = self.last, 0
            self._database.execute("UPDATE mark SET folded = ?", (self._folded,))

    def finish(self) -> None:
        """Nothing follows in this file: make it complete, and close it."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._fold()
            self._database.execute("COMMIT")
        finally:
            self.close()

    def close(self) -> None:
        """Close it as it is."""
        self._database.close()


def _identity(path: str) -> tuple[int, int] | None:
    """Which file has this name now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clean(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class TrackingFiles:
    """The directory.

    @ivar horizon: what is known of messages that were received before this time is not in the file that is written now.
    """

    def __init__(
        self,
        path: str,
        max_age: float,
        max_size: int,
        report: Callable[[str], None],
        now: Callable[[], float] = time.time,
        settled: Callable[[], float] | None = None,
        *,
        subjects: bool = True,
    ) -> None:
        """
        @param report: told, in the thread, of what went wrong and was mended.
        @param settled: the time by which files are too old.
        @param subjects: whether subjects are taken over from earlier files.
        """
        self.path = path
        self.max_age = max_age
        self.max_size = max_size
        self.horizon = now()
        self._report = report
        self._now = now
        self._settled = settled or now
        self.subjects = subjects
        self._file: TrackingFile | None = None
        self._name = FileName("", 0)
        self._prune_at = 0.0

    def write(self, entries: list[Entry]) -> None:
        """Add events, in the order of their times.  Those of earlier days are taken out of the list when they are added.

        @raise sqlite3.Error: none of those that are left was added.
        @raise OSError: likewise.
        """
        while (count := of_one_day(entries)) < len(entries):
            self._write(entries[:count])
            del entries[:count]
        self._write(entries)

    def _write(self, entries: Sequence[Entry]) -> None:
        when = entries[-1][0]
        try:
            self._add(entries, when)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            if is_damaged(error):
                self._set_aside(self._name, error)
            self._add(entries, when)
        with contextlib.suppress(sqlite3.Error, OSError):  # the events are written; what is not done now is done with the next ones
            self._look_after()

    def _add(self, entries: Sequence[Entry], when: float) -> None:
        try:
            file = self._current(when)
            file.write(file.completed(entries, self.horizon, self.subjects))
        except BaseException:
            self.close()  # it has given numbers to names that are not in the file
            raise

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(sqlite3.Error):
                file.close()

    def _current(self, when: float) -> TrackingFile:
        """The file for events of a time."""
        day = _day(when)
        file = self._file
        if file is not None and not file.is_there:
            self._report(f"the tracking file {self._name} is gone, and another one begins")
            self.close()
            file = None
        if file is not None and day == self._name.day and when * 1e6 > file.last - _STEP_BACK:
            return file
        number = 1
        if file is not None:
            self._file = None
            self._finish(file)
            number = self._name.number + 1 if day == self._name.day else 1
        os.makedirs(self.path, mode=0o750, exist_ok=True)
        there = tracking_files(self.path)
        if file is None:
            for other in there:
                if other.day != day and os.path.exists(os.path.join(self.path, f"{other}-wal")):
                    self._complete(other)
        number = max([number, *(other.number for other in there if other.day == day)])
        self._file = self._open(FileName(day, number), when)
        self.horizon = max(self._now(), self._name.begins)
        self._prune()
        return self._file

    def _open(self, name: FileName, when: float) -> TrackingFile:
        while True:
            try:
                file = TrackingFile(os.path.join(self.path, str(name)), self._most_pages)
                if file.size < self._full and when * 1e6 > file.last - _STEP_BACK:
                    self._name = name
                    return file
                file.finish()
            except _Unusable as error:
                self._report(f"the tracking file {name} is left alone, and another one begins: {error}")
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._set_aside(name, error)
            name = attrs.evolve(name, number=name.number + 1)

    @property
    def _full(self) -> int:
        return max(self.max_size // PARTS, 1 << 20)

    @property
    def _most_pages(self) -> int:
        return min(_CHECKPOINT, self._full // _PAGE // 2)

    def _look_after(self) -> None:
        """Begin another file where this one is full; delete what is too old."""
        file = self._file
        if file is not None and file.size >= self._full:
            self._file = None
            self._finish(file)
            self._file = self._open(attrs.evolve(self._name, number=self._name.number + 1), self._now())
            self.horizon = self._now()
            self._prune()
        elif not self._prune_at - _PRUNE_INTERVAL <= self._now() < self._prune_at:
            self._prune()

    def _complete(self, name: FileName) -> None:
        """A file of an earlier run that did not end well."""
        try:
            TrackingFile(os.path.join(self.path, str(name))).finish()
        except _Unusable:
            return
        except sqlite3.OperationalError as error:
            self._report(f"the tracking file {name} cannot be completed: {error}")
        except sqlite3.DatabaseError as error:
            self._set_aside(name, error)

    def _finish(self, file: TrackingFile) -> None:
        try:
            file.finish()
        except sqlite3.Error as error:  # all of it is there, only not indexed
            self._report(f"the tracking file {self._name} cannot be completed: {error}")

    def _set_aside(self, name: FileName, error: Exception) -> None:
        path = os.path.join(self.path, str(name))
        aside = f"{path}.damaged"
        os.replace(path, aside)
        for more in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(path + more, aside + more)
        self._report(f"the tracking file {name} is damaged ({error}); it is now {aside}, and another one begins")

    def _prune(self) -> None:
        """Delete what is too old or too much, with room for the current file to become full."""
        self._prune_at = self._now() + _PRUNE_INTERVAL
        room, settled = self.max_size - self._full - self._most_pages * _PAGE, self._settled()
        try:
            delete_surplus(self.path, self._name, room, settled - self.max_age - _DAY, (settled or self._now()) + _DAY)
        except OSError as error:
            self._report(f"old tracking files cannot be deleted: {error}")
