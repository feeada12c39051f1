"""The files of a tracking directory: what they are called, which are there, how they are opened for reading, and which have to go.

Which file is written is C{files}'s business.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sqlite3
from collections.abc import Iterator

import attrs

from twistedrelay.observe.database import reading
from twistedrelay.observe.tracking.schema import VERSION

_NAME = re.compile(r"MSGTRK(\d{8})-([1-9]\d{0,5})\.sqlite(?:\.damaged)?(?:-wal|-shm)?", re.ASCII)


@attrs.frozen(slots=True, order=True)
class FileName:
    """A tracking file of a directory; they are ordered by their time.

    @ivar day: C{yyyymmdd}.
    """

    day: str
    number: int

    def __str__(self) -> str:
        return f"MSGTRK{self.day}-{self.number}.sqlite"

    @property
    def begins(self) -> float:
        """The beginning of its day, seconds since the epoch."""
        return _midnight(self.day).timestamp()


def tracking_files(directory: str) -> list[FileName]:
    """The tracking files of a directory, oldest first; none where there is no directory."""
    return sorted(name for name, files in all_files(directory).items() if str(name) in files)


def all_files(directory: str) -> dict[FileName, list[str]]:
    """Likewise the names of all files that belong to each: logs, and what was set aside."""
    found: dict[FileName, list[str]] = {}
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return found
    for name in names:
        if (match := _NAME.fullmatch(name)) and _is_day(match[1]):
            found.setdefault(FileName(match[1], int(match[2])), []).append(name)
    return found


def _is_day(text: str) -> bool:
    try:
        _midnight(text)
    except ValueError:
        return False
    return True


def _midnight(day: str) -> datetime.datetime:
    return datetime.datetime.strptime(day, "%Y%m%d").replace(tzinfo=datetime.UTC)


def delete_surplus(directory: str, current: FileName, room: int, before: float, latest: float) -> None:
    """Delete files, the oldest first, with all that belongs to them.

    @param latest: files of a day that begins behind this time were written by a clock that was wrong, and count as the oldest.
    @param current: is written, and stays.
    @param room: octets that the others may have.
    @param before: files of a day that began before this time go, too.
    """
    found = all_files(directory)
    for name in sorted(found, key=lambda name: (name.begins <= latest, name), reverse=True):
        paths = [os.path.join(directory, each) for each in found[name] if name != current or ".damaged" in each]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                room -= os.path.getsize(path)
        if room < 0 or name.begins < before:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


def listed_files(directory: str) -> tuple[list[FileName], list[str]]:
    """The files of a directory, oldest first, and why they cannot be listed."""
    try:
        return tracking_files(directory), []
    except OSError as error:
        return [], [f"{directory} cannot be read: {error.strerror}"]


@contextlib.contextmanager
def opened(directory: str, name: FileName) -> Iterator[sqlite3.Connection]:
    """A file, for reading.

    @raise sqlite3.Error: it cannot be read.
    """
    with reading(os.path.join(directory, str(name))) as database:
        if database is None:
            raise sqlite3.OperationalError("it is gone")
        [(version,)] = database.execute("PRAGMA user_version")
        if version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}")
        yield database
