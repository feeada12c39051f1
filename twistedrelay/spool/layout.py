"""Where things are in a spool directory, and who may see them: the owner only.

C{spool.db} (with C{-wal}, C{-shm}): envelopes, states, small contents.  C{bodies/}: large contents.  C{lock}: who holds it.
C{at-work}, C{last-words}: see L{twistedrelay.spool.blame}.
"""

from __future__ import annotations

import os
import stat

import attrs

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.disk import Disk
from twistedrelay.values import reply


@attrs.frozen(slots=True)
class Layout:
    """The paths under one directory."""

    directory: str

    @property
    def database(self) -> str:
        """The SQLite file."""
        return os.path.join(self.directory, "spool.db")

    @property
    def bodies(self) -> str:
        """The directory of large contents."""
        return os.path.join(self.directory, "bodies")

    @property
    def lock(self) -> str:
        """The file to lock."""
        return os.path.join(self.directory, "lock")

    @property
    def probe(self) -> str:
        """A file that is written and removed to see whether the disk works."""
        return os.path.join(self.directory, "probe")

    def make(self, disk: Disk) -> None:
        """Make the directories, or close them to others where they are open.

        @raise SpoolError: one of them belongs to someone else.
        """
        for path in (self.directory, self.bodies):
            os.makedirs(path, mode=0o700, exist_ok=True)
            found = os.stat(path)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                text = "does not belong to the user that the relay runs as; give it to that user, or set server.state_directory"
                raise SpoolError(f"{path} {text}", reply.LOCAL_ERROR)
            if stat.S_IMODE(found.st_mode) != 0o700:
                os.chmod(path, 0o700)
        disk.sync_directory(self.directory)
        disk.sync_directory(os.path.dirname(self.directory))
