"""Everything the spool asks of the operating system, in one place, so that tests can let any single step fail.

Decides: the modes and flags of files, and what counts as a full disk.  Never decides what to do about a failure.
Any method may be called in any thread; all of them block.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Sequence

from twistedrelay.interfaces import SpoolError
from twistedrelay.values import reply

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})  # the second: the index of the log cannot grow
_MAX_PIECES = 512  # below IOV_MAX everywhere
_PROBE_SIZE = 1024 * 1024


class Disk:
    """The real disk."""

    def connect(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        """A connection to an existing database file, in autocommit mode, for use by one thread at a time."""
        mode = "ro" if read_only else "rw"
        escaped = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        return sqlite3.connect(
            f"file:{escaped}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=30.0
        )

    def create(self, path: str) -> int:
        """A descriptor of a new file that only we may read."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, pieces: Sequence[bytes]) -> None:
        """Write all the pieces, one after the other."""
        for start in range(0, len(pieces), _MAX_PIECES):
            part = pieces[start : start + _MAX_PIECES]
            length = sum(map(len, part))
            written = self.write_some(descriptor, part)
            if written != length:
                rest = memoryview(b"".join(part))[written:]
                while rest:
                    rest = rest[self.write_some(descriptor, (rest,)) :]

    def write_some(self, descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
        """One system call; returns how many octets it took."""
        return os.writev(descriptor, pieces)

    def sync(self, descriptor: int) -> None:
        """Returns when the file's octets and its size survive power loss."""
        os.fdatasync(descriptor)

    def sync_directory(self, path: str) -> None:
        """Returns when the names in a directory survive power loss."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor of L{create}."""
        os.close(descriptor)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """A part of a file."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def unlink(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def sizes(self, path: str) -> dict[str, int]:
        """The size of each regular file in a directory, by name."""
        with os.scandir(path) as entries:
            return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries if entry.is_file(follow_symlinks=False)}

    def probe(self, path: str) -> None:
        """Prove that the disk takes data again: write a file, make it durable, remove it."""
        self.unlink(path)
        descriptor = self.create(path)
        try:
            self.write(descriptor, [bytes(_PROBE_SIZE)])
            self.sync(descriptor)
        finally:
            self.close(descriptor)
            self.unlink(path)


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room (or no quota) left."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return getattr(error, "sqlite_errorcode", None) in _SQLITE_FULL


def spool_error(doing: str, error: BaseException) -> SpoolError:
    """What the caller gets for a failure of the disk: 452 where it is full, else 451."""
    if isinstance(error, SpoolError):
        return error
    return SpoolError(f"{doing}: {error}", reply.SYSTEM_RESOURCES if disk_is_full(error) else reply.LOCAL_ERROR)


def copy_of(error: SpoolError) -> SpoolError:
    """One of its own for each caller: a raised exception collects tracebacks."""
    return SpoolError(str(error), error.reply)
