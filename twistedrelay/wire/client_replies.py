"""Replies of a remote server: bytes to codes and lines.

Decides where a reply ends and refuses what is none.  Everything is bounded (length of a line, lines and octets of a reply), so a
hostile server costs a few kilobytes.  Tolerated, because servers do it: a code alone, a code and a space, LF without CR.
It never interprets a reply.

Source: RFC 5321 sections 4.2 and 4.5.3.1.5 (which allows 512 octets a line; real servers send more).
"""

from __future__ import annotations

import attrs

from twistedrelay.values.reply import Reply

MAX_LINE = 2048
MAX_LINES = 128
MAX_OCTETS = 16384


class ReplyError(Exception):
    """The server sent something that is no reply; C{str()} says what, without quoting it."""


@attrs.frozen(slots=True)
class RawReply:
    """A complete reply: its code and the octets of its lines, not yet decoded (most replies are read by their code alone)."""

    code: int
    lines: list[bytes]

    def parse(self) -> Reply:
        """The reply as a value, its text made safe."""
        return Reply.parse(self.code, [line.decode("utf-8", "replace") for line in self.lines])


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
            if end < 0:
                if len(buffer) - start > MAX_LINE:
                    raise ReplyError("reply line too long")
                return None
            self._offset = end + 1
            if end - start > MAX_LINE:
                raise ReplyError("reply line too long")
            line = buffer[start : end - 1] if buffer[end - 1 : end] == b"\r" and end > start else buffer[start:end]
            code, separator = line[:3], line[3:4]
            if len(code) != 3 or not code.isdigit() or code[0] not in b"2345" or separator not in (b"", b" ", b"-"):
                raise ReplyError("not an SMTP reply")
            if not self._lines and separator != b"-":
                return RawReply(int(code), [line[4:]])
            self._octets += len(line)
            self._lines.append(line)
            if len(self._lines) > MAX_LINES or self._octets > MAX_OCTETS:
                raise ReplyError("reply too long")
            if self._lines[0][:3] != code:
                raise ReplyError("reply lines with different codes")
            if separator != b"-":
                lines, self._lines, self._octets = self._lines, [], 0
                return RawReply(int(code), [one[4:] for one in lines])
