"""The receiver of BDAT: takes a message in chunks whose length is told, and checks line ends as the receiver of DATA does.

Nothing in a chunk ends it but the count of its octets, and dots are not stuffed.  A line end may be divided between two chunks.  Under
BODY=BINARYMIME the octets are taken as they are.  Whatever is wrong with a message, its chunks are read to their end in bounded memory,
so that nothing in them can be taken for a command.

Source: RFC 3030 sections 2 and 3.
"""

from __future__ import annotations

import re

import attrs

from twistedrelay.values.reply import BARE_LINE_ENDING, MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.events import Event
from twistedrelay.wire.lineends import only_crlf

_ARGUMENT = re.compile(rb"([0-9]{1,19})(?: +(LAST))?", re.IGNORECASE)


@attrs.frozen(slots=True)
class Chunk:
    """What a BDAT command says: the chunk's octets, and whether it is the last of its message."""

    size: int
    last: bool


def parse_chunk(argument: bytes) -> Chunk | None:
    """What stands behind BDAT; None where it is not well formed."""
    found = _ARGUMENT.fullmatch(argument.strip(b" "))
    return None if found is None else Chunk(int(found[1]), found[2] is not None)


@attrs.define(slots=True)
class RefusedChunk:
    """Counts the octets of a chunk that nobody wants.

    @ivar left: octets that are still to come.
    @ivar then: what follows them: an event for the session, or what to say.
    """

    left: int
    then: Event | bytes

    def feed(self, data: bytes) -> bytes:
        """Take octets of the chunk, no more than C{left}.  Nothing comes of them."""
        self.left -= len(data)
        return b""


class ChunkReceiver:
    """Receives one message.

    @ivar left: octets of the chunk in progress that are still to come.
    @ivar last: the chunk in progress is the last one.
    @ivar fault: the reply that the content calls for, or None so far.
    @ivar size: octets of content so far.
    """

    __slots__ = ("_binary", "_held", "_limit", "_reject", "fault", "last", "left", "size")

    def __init__(self, limit: int | None = None, reject_bare: bool = True, binary: bool = False) -> None:
        """Begin in front of the first chunk.

        @param limit: the most octets of content, or None.
        @param reject_bare: a bare CR or LF is a fault, else it becomes CRLF.
        @param binary: the octets are taken as they are.
        """
        self.left = 0
        self.last = False
        self.fault: Reply | None = None
        self.size = 0
        self._limit = limit
        self._reject = reject_bare
        self._binary = binary
        self._held = b""  # a CR whose LF may come next

    def begin(self, chunk: Chunk) -> None:
        """A chunk follows.  One that makes the message too large is a fault at once."""
        self.left = chunk.size
        self.last = chunk.last
        if self.fault is None and self._limit is not None and self.size + chunk.size > self._limit:
            self.fault = MESSAGE_TOO_LARGE

    def feed(self, data: bytes) -> bytes:
        """Take octets of the chunk, no more than C{left}; none at the end of a chunk of none.

        @return: octets of content, perhaps none; always none once there is a fault.
        """
        self.left -= len(data)
        if self.fault is not None:
            return b""
        if not self._binary:
            data = self._text(data)
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            self.fault = MESSAGE_TOO_LARGE
            return b""
        return data

    def _text(self, data: bytes) -> bytes:
        data = self._held + data
        self._held = b""
        if data.endswith(b"\r") and not (self.last and not self.left):
            self._held = b"\r"
            data = data[:-1]
        bare = not only_crlf(data)
        if b"\0" in data or (bare and self._reject):
            self.fault = BARE_LINE_ENDING
            return b""
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n") if bare else data
