"""The receiver of DATA: finds the end of the message, unstuffs dots, and checks line ends, over whole reads and never line by line.

Only CRLF.CRLF ends a message, and only a dot behind a CRLF is unstuffed (RFC 5321 sections 4.1.1.4 and 4.5.2).  A bare CR or LF is a
fault or becomes CRLF, as the connector says; it never ends anything.  A NUL is always a fault.  Whatever is wrong with a message, it
is read to its true end in bounded memory, so that nothing in it can be taken for a command.
"""

from __future__ import annotations

from twistedrelay.values.reply import BARE_LINE_ENDING, MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.lineends import only_crlf

_END = b"\r\n.\r\n"
_DOT = b"\r\n."
_BEGINNINGS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
_LAST = frozenset((b"\r", b"\n", b"."))


class DataReceiver:
    """Receives one message.

    @ivar finished: the end was seen.
    @ivar rest: what came behind the end.
    @ivar fault: the reply that the content calls for, or None so far.
    @ivar size: octets of content so far.
    """

    __slots__ = ("_begun", "_held", "_limit", "_reject", "fault", "finished", "rest", "size")

    def __init__(self, limit: int | None = None, reject_bare: bool = True) -> None:
        """Begin behind the CRLF of the 354.

        @param limit: the most octets of content, or None.
        @param reject_bare: a bare CR or LF is a fault, else it becomes CRLF.
        """
        self.finished = False
        self.rest = b""
        self.fault: Reply | None = None
        self.size = 0
        self._limit = limit
        self._reject = reject_bare
        # The message begins at the start of a line, so it is read as if a CRLF stood in front of it.
        self._held = b"\r\n"
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Take the next octets of the connection.

        @return: octets of content, perhaps none; always none once there is a fault.
        """
        data = self._held + data
        # One search serves both ends: without a dot at the start of a line there is nothing to unstuff, and no end.
        # One octet is found far faster than three, and encoded attachments have no dots.
        dot = data.find(_DOT) if b"." in data else -1
        end = dot if dot < 0 or data.startswith(_END, dot) else data.find(_END, dot + 1)
        if end >= 0:
            self.finished = True
            self.rest = data[end + 5 :]
            self._held = b""
            chunk = data[: end + 2]
        else:
            # What may be the beginning of the end waits for the next read.  It starts with a CR, so no CRLF and no CRLF with
            # a dot behind it is ever divided between two chunks, and each chunk can be looked at by itself.
            self._held = next((part for part in _BEGINNINGS if data.endswith(part)), b"") if data[-1:] in _LAST else b""
            chunk = data[: len(data) - len(self._held)]
        return self._content(chunk, dot != end) if chunk and self.fault is None else b""

    def _content(self, chunk: bytes, stuffed: bool) -> bytes:
        bare = not only_crlf(chunk)
        if b"\0" in chunk or (bare and self._reject):
            self.fault = BARE_LINE_ENDING
            return b""
        if stuffed:
            chunk = chunk.replace(_DOT, b"\r\n")
        if bare:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        if not self._begun:
            self._begun = True
            chunk = chunk[2:]
        self.size += len(chunk)
        if self._limit is not None and self.size > self._limit:
            self.fault = MESSAGE_TOO_LARGE
            return b""
        return chunk
