"""A directory of log files that cannot outgrow its bounds.

It decides which file a text goes to: one for each hour, another one when it is full; and which files are deleted: the oldest, when all
together are too large, and those that are too old.  It knows nothing of what it writes but the lines that each file begins with.
All methods block: they run in a thread, one after the other.

Source: Exchange Server, "Protocol logging" (RECVyyyymmddhh-n.LOG; size of a file, size and age of the directory).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import time
from collections.abc import Callable
from typing import IO

MAX_FILE_SIZE = 10 * 1024 * 1024
MAX_DIRECTORY_SIZE = 250 * 1024 * 1024
MAX_AGE = 30 * 86400.0


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
    ) -> None:
        self._path = path
        self._prefix = prefix
        self._heading = heading
        self._max_file_size = max_file_size
        self._max_directory_size = max_directory_size
        self._max_age = max_age
        self._now = now
        self._names = re.compile(rf"{re.escape(prefix)}(\d{{10}})-(\d{{1,6}})\.LOG")
        self._file: IO[bytes] | None = None
        self._hour = ""

    def append(self, text: str) -> None:
        """Add whole lines.

        @raise OSError: the disk refused; some of the lines may have been written.
        """
        octets = text.encode("utf-8", "backslashreplace")
        now = self._now()
        hour = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%d%H")
        file = self._file
        if file is None or hour != self._hour or self._is_full(file, len(octets)):
            file = self._begin(hour, now, len(octets))
        try:
            file.write(octets)
            file.flush()
        except OSError:
            self.close()  # what its buffer still holds must not turn up later in the middle of a line
            raise

    def close(self) -> None:
        """Nothing follows for now."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _is_full(self, file: IO[bytes], more: int) -> bool:
        """Whether another file must follow; also where somebody deleted this one."""
        status = os.fstat(file.fileno())
        return status.st_nlink == 0 or (status.st_size + more > self._max_file_size and status.st_size > 0)

    def _begin(self, hour: str, now: float, more: int) -> IO[bytes]:
        """Go on with the last file of the hour where there is room in it, else make the next one."""
        self.close()
        os.makedirs(self._path, mode=0o750, exist_ok=True)
        numbers = [number for there, number in self._files() if there == hour]
        number = max(numbers, default=1)
        name = self._name(hour, number)
        if numbers and os.path.getsize(name) + more > self._max_file_size:
            name = self._name(hour, number + 1)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = self._file = os.fdopen(os.open(name, flags, 0o640), "ab")
        self._hour = hour
        if os.fstat(file.fileno()).st_size == 0:
            file.write(self._heading(now).encode())
            self._prune(name, now)
        return file

    def _name(self, hour: str, number: int) -> str:
        return os.path.join(self._path, f"{self._prefix}{hour}-{number}.LOG")

    def _files(self) -> list[tuple[str, int]]:
        """Hour and number of the files that are ours, oldest first."""
        found = [match for name in os.listdir(self._path) if (match := self._names.fullmatch(name))]
        return sorted((match[1], int(match[2])) for match in found)

    def _prune(self, current: str, now: float) -> None:
        """Delete what is too old or too much, with room for the new file to become full."""
        left = self._max_directory_size - self._max_file_size
        for hour, number in reversed(self._files()):
            name = self._name(hour, number)
            if name == current:
                continue
            try:
                status = os.stat(name, follow_symlinks=False)
                left -= status.st_size
                if left < 0 or now - status.st_mtime > self._max_age:
                    os.unlink(name)
            except FileNotFoundError:
                continue
