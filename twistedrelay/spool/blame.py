"""Which messages our own code was at work on when the process died, so that one that kills it is found out (the poison queue).

Two files beside the spool.  C{at-work} is mapped into memory: code that works on the inside of a message (its routing, conversion, report)
has its id there meanwhile, which costs no system call and survives any end of the process.  C{last-words} gets a traceback where the
process dies of a fatal signal (SIGSEGV, SIGABRT and the like), or stands still for so long that whoever kills it then has a reason.

Only both together are evidence: a process that is killed from outside (kill -9, a power loss, a full memory) leaves no last words, and the
messages that it happened to be at work on are blamed for nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

SLOTS = 64  #: pieces of work at the same time; more leave no mark
STALL = 20.0  #: seconds that the reactor may stand still

_ID = struct.Struct("=q")
_UNMARKED = contextlib.nullcontext()
_MOST_WORDS = 64 * 1024


class _Work:
    """One piece of work; the objects are used again and again, for each message passes through a few."""

    __slots__ = ("_blame", "_slot", "message")

    def __init__(self, blame: Blame, slot: int) -> None:
        self._blame = blame
        self._slot = slot
        self.message = 0

    def __enter__(self) -> None:
        self._blame.marks[self._slot] = self.message

    def __exit__(self, *_: object) -> None:
        blame = self._blame
        blame.marks[self._slot] = 0
        blame.free.append(self)


class Blame:
    """The marks.  Reactor thread only.

    @ivar suspects: ids of messages that were worked on when the last process died of itself.
    @ivar words: what it left, C{""} where it did not.
    @ivar marks: the ids of the messages that are worked on now, 0 in a free slot.
    @ivar free: the pieces of work that nobody does.
    """

    def __init__(self, directory: str) -> None:
        self.suspects: list[int] = []
        self.words = ""
        self.marks: array[int] | memoryview = array("q", (0,) * SLOTS)
        self.free: list[_Work] = []
        self._path = os.path.join(directory, "at-work")
        self._last_words = os.path.join(directory, "last-words")
        self._map: mmap.mmap | None = None
        self._file: BinaryIO | None = None
        self._watching = False

    def open(self, watch: bool = False) -> None:
        """Read what the last process left, and begin anew.  Blocks.

        @param watch: from now on fatal signals leave a traceback, and so does a reactor that stands still.
        @raise OSError: the files cannot be used.
        """
        marks = self._map = _mapped(self._path)
        self.words = _read(self._last_words)
        found = {number for (number,) in _ID.iter_unpack(marks[:]) if number > 0}
        self.suspects = sorted(found) if self.words else []
        marks[:] = bytes(len(marks))
        if self.words:
            os.replace(self._last_words, f"{self._last_words}.old")
        self._file = open(self._last_words, "wb", buffering=0, opener=_private)  # noqa: SIM115 (closed by close)
        self.marks = memoryview(marks).cast("q")
        self.free = [_Work(self, slot) for slot in range(SLOTS)]
        self._watching = watch
        if watch:
            faulthandler.enable(self._file)

    def at_work(self, message: int) -> AbstractContextManager[None]:
        """A context, to be entered at once: our own code works on a message."""
        if not self.free:
            return _UNMARKED
        work = self.free.pop()
        work.message = message
        return work

    def alive(self) -> bool:
        """The reactor turns: to be called each second.  False: it had stood still for too long."""
        if not self._watching or self._file is None:
            return True
        faulthandler.dump_traceback_later(STALL, file=self._file)
        stood = os.fstat(self._file.fileno()).st_size > 0
        if stood:
            os.ftruncate(self._file.fileno(), 0)
            self._file.seek(0)
        return not stood

    def close(self) -> None:
        """The process ends in good order, or goes on without marks.  Idempotent."""
        if self._watching:
            self._watching = False
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._map is not None:
            if isinstance(self.marks, memoryview):
                self.marks.release()
            self.marks, self.free = array("q", (0,) * SLOTS), []  # what is still at work leaves no mark
            self._map[:] = bytes(len(self._map))
            self._map.close()
            self._map = None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _mapped(path: str) -> mmap.mmap:
    descriptor = _private(path, os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(descriptor, SLOTS * _ID.size)
        return mmap.mmap(descriptor, SLOTS * _ID.size)
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        return file.read(_MOST_WORDS).decode("utf-8", "replace").strip()
    return ""


def notices(blame: Blame) -> Iterator[tuple[str, str]]:
    """What is to be told of the last end: a level and a text."""
    if not blame.words:
        return
    yield "error", f"the last process failed: {blame.words.splitlines()[0]}; its traceback is in last-words.old of the spool's directory"
    if blame.suspects:
        yield "error", f"the last process failed while it processed {', '.join(map(str, blame.suspects))}"
