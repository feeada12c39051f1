"""Large contents as files of their own, C{bodies/<name>}: written in pieces by a few threads while they arrive.

A name is used once.  A file belongs to a message only when a committed row names it; any other file is an orphan that
L{twistedrelay.spool.recovery} removes.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.disk import Disk, spool_error
from twistedrelay.spool.pool import DaemonThreadPool
from twistedrelay.values import reply

_T = TypeVar("_T")
_NAME = re.compile(r"[0-9a-f]{24}\.eml")
_log = Logger()


def is_body_name(name: str) -> bool:
    """Whether a file name is one of ours."""
    return _NAME.fullmatch(name) is not None


class BodyFile:
    """One file being written.  Every method blocks; never two at a time."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._descriptor = -1

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write at the end; the first call makes the file."""
        if self._descriptor < 0:
            self._descriptor = self._disk.create(self._path)
        self._disk.write(self._descriptor, pieces)

    def finish(self, pieces: Sequence[bytes]) -> None:
        """Write the last pieces and make the file's octets durable.  Its name is not yet durable."""
        self.append(pieces)
        self._disk.sync(self._descriptor)
        self.close()

    def discard(self) -> None:
        """Remove what was written."""
        self.close()
        self._disk.unlink(self._path)

    def close(self) -> None:
        """Close the descriptor.  Idempotent."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            self._disk.close(descriptor)


class BodyStore:
    """The directory of body files and the threads that work on it."""

    def __init__(self, reactor: Any, disk: Disk, directory: str, threads: int) -> None:
        self._reactor = reactor
        self._disk = disk
        self.directory = directory
        self._pool = DaemonThreadPool(0, threads, "twistedrelay-bodies")
        self._refusing = False

    def start(self) -> None:
        """Make the threads available."""
        self._pool.start()

    def refuse(self) -> None:
        """Take no more work."""
        self._refusing = True

    def stop(self) -> None:
        """Finish what waits and end the threads.  Blocks."""
        self._pool.stop()

    def path(self, name: str) -> str:
        """Where a file is."""
        return os.path.join(self.directory, name)

    def new(self) -> tuple[str, BodyFile]:
        """A name that was never used and its file, which the first write makes."""
        name = f"{secrets.token_hex(12)}.eml"
        return name, BodyFile(self._disk, self.path(name))

    def run(self, work: Any, *arguments: Any) -> Deferred[Any]:
        """Do blocking work in one of the threads."""
        if self._refusing:
            return fail(SpoolError("the spool is closed", reply.LOCAL_ERROR))
        return deferToThreadPool(self._reactor, self._pool, work, *arguments)

    def read(self, name: str, offset: int, length: int) -> Deferred[bytes]:
        """A part of a file; fails with L{twistedrelay.interfaces.SpoolError}."""

        def blocking() -> bytes:
            try:
                return self._disk.read(self.path(name), offset, length)
            except OSError as error:
                raise spool_error(f"cannot read {name}", error) from error

        return self.run(blocking)

    def discard(self, file: BodyFile) -> None:
        """Remove a file that no row names; where that fails, recovery does it at the next start."""
        if not self._refusing:
            self.run(file.discard).addErrback(self._left_behind)
            return
        with contextlib.suppress(OSError):  # the threads end already, and so does the relay: this may block
            file.discard()

    def remove(self, name: str) -> None:
        """Remove the file of a message whose row is gone."""
        self.run(self._disk.unlink, self.path(name)).addErrback(self._left_behind)

    def _left_behind(self, failure: Any) -> None:
        _log.warn("a body file is left until the next start: {reason}", reason=failure.value)
