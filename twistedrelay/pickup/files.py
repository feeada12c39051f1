"""The files of a pickup or replay directory, on the disk; all of it blocks.

Decides which files are taken, by which names they go, and which of them are not to be trusted.  A file is C{NAME.eml} (in any case) until
it is taken, then C{NAME.<id>.tmp} with the id that its message gets in the queue, and is deleted once that message is there for good; what
cannot be sent becomes C{NAME.bad}.  Symbolic links, pipes, devices and files with a second name are never read: whoever may write here must
not make the relay send what only the relay may read.

Source: Exchange Server, "Pickup directory and Replay directory".
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
from collections.abc import Callable
from typing import BinaryIO

import attrs

from twistedrelay.pickup.lines import LetterError, Lines

#: Files looked at in one round; those behind them come next.
MANY = 1000

#: A file that was written to so lately may still be being written.
AT_REST = 1.0

_TAKEN = re.compile(r"(.*)\.([0-9A-F]{16})\.tmp", re.DOTALL)
_PIECE = 64 * 1024

#: Octets of a name that can be had with an id behind it; of a longer one the end is lost.
_LONGEST = 255 - len(".0123456789ABCDEF.tmp")

#: What ails us and not the file.
_OUR_TROUBLE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOENT))


@attrs.frozen(slots=True)
class Opened:
    """A file that was taken.

    @ivar header: its header section, with CRLF line ends, without the empty line behind it.
    @ivar body: the beginning of what follows: the empty line, and some of the text.
    @ivar owner: whose file it is (a user id).
    """

    stream: BinaryIO
    lines: Lines
    header: bytes
    body: bytes
    owner: int


class Files:
    """One directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def waiting(self, seconds: Callable[[], float], limit: int) -> list[str]:
        """The names of files to take, the oldest first.

        @param seconds: the time of the clock.
        """
        found: list[tuple[float, str]] = []
        with os.scandir(self.path) as entries:
            for entry in itertools.islice((entry for entry in entries if entry.name.lower().endswith(".eml")), MANY):
                with contextlib.suppress(FileNotFoundError):
                    changed = entry.stat(follow_symlinks=False).st_mtime
                    if abs(seconds() - changed) >= AT_REST:  # what comes from the future has another clock, and is taken
                        found.append((changed, entry.name))
        return [name for _, name in sorted(found)[:limit]]

    def taken(self) -> list[tuple[str, int]]:
        """The files that were taken and are still there, with the ids of their messages."""
        matches = [_TAKEN.fullmatch(name) for name in os.listdir(self.path)]
        return [(found[0], int(found[2], 16)) for found in matches if found is not None]

    def take(self, name: str, id: int) -> str:
        """Take a file for a message; its new name."""
        stem = os.fsdecode(os.fsencode(name[: -len(".eml")])[:_LONGEST])
        taken = f"{stem}.{id:016X}.tmp"
        os.rename(self._at(name), self._at(taken))
        return taken

    def give_back(self, taken: str) -> None:
        """It was not sent and waits again."""
        found = _TAKEN.fullmatch(taken)
        assert found is not None
        self._rename(taken, f"{found[1]}.eml", f"{found[1]}.{found[2]}.eml")

    def reject(self, taken: str) -> str:
        """It cannot be sent; its new name."""
        found = _TAKEN.fullmatch(taken)
        assert found is not None
        return self._rename(taken, f"{found[1]}.bad", f"{found[1]}.{found[2]}.bad")

    def remove(self, taken: str) -> None:
        """It is in the queue.  Returns once it cannot come back, not even after a power cut."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(taken))
        sync_directory(self.path)

    def open(self, taken: str, max_header_size: int) -> Opened:
        """Open a file that was taken, and read its header section.

        @raise LetterError: it is none that may be read, or its header section does not end.
        @raise OSError: it cannot be read now, or it is gone.
        """
        try:
            descriptor = os.open(self._at(taken), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _OUR_TROUBLE:
                raise
            raise LetterError(f"it cannot be read: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            # Asked by its name: had somebody else's file just lost the name that it got here, its descriptor would know of one name, too.
            named = os.lstat(self._at(taken))
            if not stat.S_ISREG(status.st_mode) or named.st_nlink != 1 or not os.path.samestat(status, named):
                raise LetterError("it is not a plain file with one name")
            stream = os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
        lines = Lines()
        try:
            header, body = _header(stream, lines, max_header_size)
        except BaseException:
            stream.close()
            raise
        return Opened(stream, lines, header, body, status.st_uid)

    def _rename(self, old: str, new: str, other: str) -> str:
        """Rename a file, to another name where there is a file of the first one."""
        new = other if os.path.lexists(self._at(new)) else new
        os.rename(self._at(old), self._at(new))
        return new

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)


def _header(stream: BinaryIO, lines: Lines, limit: int) -> tuple[bytes, bytes]:
    text = b""
    while True:
        piece = stream.read(_PIECE)
        text += lines.feed(piece) if piece else lines.end()
        if text.startswith(b"\r\n"):
            return b"", text
        end = text.find(b"\r\n\r\n")
        if (end if end >= 0 else len(text)) > limit:
            raise LetterError(f"its header section is larger than {limit} octets")
        if end >= 0:
            return text[: end + 2], text[end + 2 :]
        if not piece:
            return text, b"\r\n"


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
