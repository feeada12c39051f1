"""A directory of log files that cannot outgrow its bounds.

It decides which file a text goes to: one for each hour, another one when it is full; and which files are deleted: the oldest, when all
together are too large, and those that are too old.  It knows nothing of what it writes but the lines that each file begins with.
A line is in a file as a whole or not at all, also where the disk was full in the middle of it.
All methods block: they run in threads, and wait for each other.

Source: Exchange Server, "Protocol logging" (RECVyyyymmddhh-n.LOG; size of a file, size and age of the directory).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import threading
import time
from collections.abc import Callable

MAX_FILE_SIZE = 10 * 1024 * 1024
MAX_DIRECTORY_SIZE = 250 * 1024 * 1024
MAX_AGE = 30 * 86400.0
_DAY = 86400.0


class LogDirectory:
    """Appends to the newest file of a directory.

    @param heading: the first lines of a file that begins at a time.
    """

    def __init__(
        self,
        path: str,
        prefix: str,
        heading: Callable[[float], str],
        *,
        max_file_size: int = MAX_FILE_SIZE,
        max_directory_size: int = MAX_DIRECTORY_SIZE,
        max_age: float = MAX_AGE,
        now: Callable[[], float] = time.time,
        settled: Callable[[], float] | None = None,
    ) -> None:
        """
        @param settled: the time by which files are too old, where that is not C{now}.
        """
        self._path = path
        self._prefix = prefix
        self._heading = heading
        self.bound(max_file_size, max_directory_size, max_age)
        self._now = now
        self._settled = settled or now
        self._names = re.compile(rf"{re.escape(prefix)}(\d{{10}})-(\d+)\.LOG")
        self._lock = threading.Lock()
        self._file = -1  # the descriptor of the open one
        self._open_name = ""
        self._hour = ""
        self._fresh = False  # nothing but the heading is in it

    def bound(self, max_file_size: int, max_directory_size: int, max_age: float) -> None:
        """Other bounds, from the next line on.  From any thread."""
        self._max_file_size = min(max_file_size, max_directory_size)
        self._max_directory_size = max_directory_size
        self._max_age = max_age

    def append(self, text: str) -> None:
        """Add whole lines.

        @raise OSError: the disk refused; some of the lines may have been written.
        """
        left = text.encode("utf-8", "backslashreplace")
        with self._lock:
            now = self._now()
            hour = _hour_of(now)
            if self._file < 0 or hour != self._hour or os.fstat(self._file).st_nlink == 0:  # somebody may have deleted it
                self._begin(hour, now)
            while left:
                end = self._fitting(left)
                if end:
                    self._write(left[:end])
                    self._fresh, left = False, left[end:]
                else:
                    self._begin(hour, now, another=True)

    def prune(self) -> None:
        """Delete what is too old, also where nothing is written any more.

        @raise OSError: it cannot be deleted.
        """
        with self._lock, contextlib.suppress(FileNotFoundError):
            now = self._now()
            if _hour_of(now) != self._hour:
                self._close()
            for error in self._prune():
                raise error

    def close(self) -> None:
        """Nothing follows for now."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        file, self._file, self._open_name = self._file, -1, ""
        if file >= 0:
            with contextlib.suppress(OSError):
                os.close(file)

    def _fitting(self, octets: bytes) -> int:
        """How many of these octets go into the open file: whole lines, and into a new one at least one."""
        room = max(0, self._max_file_size - os.fstat(self._file).st_size)
        if len(octets) <= room:
            return len(octets)
        end = octets.rfind(b"\n", 0, room) + 1
        return end or (octets.find(b"\n") + 1 or len(octets) if self._fresh else 0)

    def _write(self, octets: bytes) -> None:
        """All of it or nothing."""
        before = os.fstat(self._file).st_size
        try:
            while octets:
                octets = octets[os.write(self._file, octets) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            self._close()
            raise

    def _begin(self, hour: str, now: float, *, another: bool = False) -> None:
        """Go on with the last file of the hour, or where there is none or that one is full make the next."""
        self._close()
        os.makedirs(self._path, mode=0o750, exist_ok=True)
        number = max([number for there, number in self._files() if there == hour], default=0)
        name = self._name(hour, max(1, number + another))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file, self._open_name, self._hour = os.open(name, flags, 0o640), name, hour
        size = os.fstat(self._file).st_size
        self._fresh = size == 0
        if self._fresh:
            self._prune()  # what cannot be deleted keeps nothing from being written
            self._write(self._heading(now).encode())
        elif os.pread(self._file, 1, size - 1) != b"\n":  # the end came in the middle of a line
            self._write(b"\n")

    def _name(self, hour: str, number: int) -> str:
        return os.path.join(self._path, f"{self._prefix}{hour}-{number}.LOG")

    def _files(self) -> list[tuple[str, int]]:
        """Hour and number of the files that are ours, oldest first."""
        found = [match for name in os.listdir(self._path) if (match := self._names.fullmatch(name))]
        return sorted((match[1], int(match[2])) for match in found)

    def _prune(self) -> list[OSError]:
        """Delete what is too old or too much, with room for the open file to become full; what went wrong."""
        errors: list[OSError] = []
        settled = self._settled()
        latest = _hour_of((settled or self._now()) + _DAY)
        left = self._max_directory_size - self._max_file_size
        # Files from the future, written by a clock that was wrong, count as the oldest: else they would outlast all others.
        for hour, number in sorted(self._files(), key=lambda file: (file[0] <= latest, file), reverse=True):
            name = self._name(hour, number)
            if name == self._open_name:
                continue
            try:
                status = os.stat(name, follow_symlinks=False)
                left -= status.st_size
                if left < 0 or settled - status.st_mtime > self._max_age:
                    os.unlink(name)
            except FileNotFoundError:
                continue
            except OSError as error:
                errors.append(error)
        return errors


def _hour_of(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%d%H")
