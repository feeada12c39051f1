"""Replies of a remote server: bytes to codes and lines.

Decides where a reply ends and refuses what is none.  Everything is bounded, so a hostile server costs a few kilobytes.  Tolerated,
because servers do it: a code alone, a code and a space, LF without CR, and more text than anybody reads, of which the beginning is kept:
what a reply decides is in its code.  Beyond C{MAX_OCTETS} nobody waits for its end.  It never interprets a reply.

Source: RFC 5321 sections 4.2 and 4.5.3.1.5 (which allows 512 octets a line; real servers send more).
"""

from __future__ import annotations

import attrs

from twistedrelay.values.reply import Reply

MAX_LINE = 2048  #: octets kept of a line
MAX_LINES = 128  #: lines kept of a reply
MAX_TEXT = 2048  #: octets of a reply's text that are shown, stored and reported
MAX_OCTETS = 32768  #: a reply that is longer is none


class ReplyError(Exception):
    """The server sent something that is no reply; C{str()} says what, without quoting it."""


@attrs.frozen(slots=True)
class RawReply:
    """A complete reply: its code and the octets of its lines, not yet decoded (most replies are read by their code alone)."""

    code: int
    lines: list[bytes]

    def parse(self) -> Reply:
        """The reply as a value, its text made safe and cut to a length that fits a log and a report."""
        lines, left = [], MAX_TEXT
        for line in self.lines:
            lines.append(line[:left].decode("utf-8", "replace"))
            left -= len(line)
            if left <= 0:
                break
        return Reply.parse(self.code, lines)


class ReplyParser:
    """Collects octets and cuts them into replies."""

    __slots__ = ("_buffer", "_lines", "_octets", "_offset")

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0
        self._lines: list[bytes] = []
        self._octets = 0

    def feed(self, data: bytes) -> None:
        """Take octets from the server."""
        self._buffer = self._buffer[self._offset :] + data
        self._offset = 0

    @property
    def pending(self) -> bool:
        """Whether octets are left that belong to no reply given out yet."""
        return self._offset < len(self._buffer) or bool(self._lines)

    def next(self) -> RawReply | None:
        """The next complete reply, or None.  Raises L{ReplyError}."""
        while True:
            buffer, start = self._buffer, self._offset
            end = buffer.find(b"\n", start)
            if self._octets + (end if end >= 0 else len(buffer)) - start > MAX_OCTETS:
                raise ReplyError("reply too long")
            if end < 0:
                return None
            self._offset = end + 1
            line = buffer[start : end - 1] if buffer[end - 1 : end] == b"\r" and end > start else buffer[start:end]
            code, separator = line[:3], line[3:4]
            if len(code) != 3 or not code.isdigit() or code[0] not in b"2345" or separator not in (b"", b" ", b"-"):
                raise ReplyError("not an SMTP reply")
            if not self._lines and separator != b"-":
                return RawReply(int(code), [line[4:MAX_LINE]])
            if self._lines and self._lines[0][:3] != code:
                raise ReplyError("reply lines with different codes")
            self._octets += self._offset - start
            if len(self._lines) < MAX_LINES:
                self._lines.append(line[:MAX_LINE])
            if separator != b"-":
                lines, self._lines, self._octets = self._lines, [], 0
                return RawReply(int(code), [one[4:] for one in lines])
