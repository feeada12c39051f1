"""Replaces a small file in one step: readers see the old or the new content, never half of it, also after a power loss.

Writers take turns by a lock file beside it.  The file keeps its owner and its mode; a new one is 0600 and belongs to the owner of its
directory, so that what root makes can be read by the daemon.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType

Stamp = tuple[int, int, int]  #: changes whenever a file was replaced or written


def stamp_of(path: str) -> Stamp | None:
    """A value that changes when the file does; None where there is none."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    return facts.st_mtime_ns, facts.st_ino, facts.st_size


class LockedFile:
    """A file that one writer at a time reads and replaces.  Use with C{with}.

    @param path: the file; a symbolic link is followed and stays.
    @param patience: seconds to wait for another writer; L{OSError} then.
    """

    def __init__(self, path: str, patience: float = 10.0) -> None:
        self.path = os.path.realpath(path)
        self._patience = patience
        self._lock = -1

    def __enter__(self) -> LockedFile:
        make_directory(os.path.dirname(self.path))
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _adopt(self._lock, self.path)
            self._wait()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock)  # which lets the lock go

    def read(self) -> str:
        """The content; empty where there is no file."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""

    def write(self, text: str) -> None:
        """Replace the content, durably."""
        replace(self.path, text)

    def _wait(self) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise OSError(errno.EAGAIN, "another program is changing it") from None
                time.sleep(0.02)


def replace(path: str, text: str) -> None:
    """Replace the content of a file in one step, durably."""
    replace_content(path, text.encode())


def replace_content(path: str, content: bytes, like: str | None = None) -> None:
    """The same with octets.

    @param like: a file whose owner, group and mode a new one gets.
    """
    put_in_place(stage(path, content, like), path)


def stage(path: str, content: bytes, like: str | None = None) -> str:
    """Write what a file is to hold, durably, beside it; the name of that."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:100]}.", dir=os.path.dirname(path))
    try:
        with _naming(path), os.fdopen(descriptor, "wb") as stream:
            _adopt(stream.fileno(), path if like is None or os.path.exists(path) else like)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        discard(temporary)
        raise
    return temporary


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let errors say where: those of a descriptor, such as a full disk's, do not by themselves."""
    try:
        yield
    except OSError as error:
        error.filename = path if error.filename is None else error.filename
        raise


def put_in_place(temporary: str, path: str) -> None:
    """Let what was staged take the place of a file, durably."""
    try:
        os.replace(temporary, path)
    except BaseException:
        discard(temporary)
        raise
    sync_directory(os.path.dirname(path))


def discard(temporary: str) -> None:
    """Forget what was staged."""
    with contextlib.suppress(OSError):
        os.unlink(temporary)


def make_directory(path: str, mode: int = 0o700) -> None:
    """Make a directory where it is missing.  What root makes belongs to the owner of the directory above it."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_directory(above, 0o755)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        if os.geteuid() == 0:
            facts = os.stat(above)
            os.chown(path, facts.st_uid, facts.st_gid, follow_symlinks=False)


def _adopt(descriptor: int, path: str) -> None:
    """Give an open file the owner and mode of the file it stands for, or the directory's owner where that is new."""
    facts = os.fstat(descriptor)
    try:
        model = os.stat(path)
        mode = stat.S_IMODE(model.st_mode)
    except FileNotFoundError:
        model = os.stat(os.path.dirname(path)) if os.geteuid() == 0 else facts
        mode = 0o600
    if (facts.st_uid, facts.st_gid) != (model.st_uid, model.st_gid):
        os.fchown(descriptor, model.st_uid, model.st_gid)
    if stat.S_IMODE(facts.st_mode) != mode:
        os.fchmod(descriptor, mode)


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
