"""The lock on a spool directory: one live daemon at a time.

C{flock} goes with the process, so a killed daemon never leaves a lock behind.  The file stays; it holds the owner's process id
for the error message only.
"""

from __future__ import annotations

import fcntl
import os

from twistedrelay.interfaces import SpoolError
from twistedrelay.values import reply


class SpoolHeld(SpoolError):
    """Another live process holds the spool."""


class DirectoryLock:
    """An exclusive lock, taken when made.

    @raise SpoolHeld: another process (or another spool object of this one) has it.
    """

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            by = f"process {owner}" if owner else "another process"
            text = f"the spool {os.path.dirname(path)} is in use by {by}; stop that relay first, or set server.state_directory"
            raise SpoolHeld(text, reply.LOCAL_ERROR) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it.  Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
