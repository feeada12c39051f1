"""Dot-stuffing: message content on its way out by DATA.

Decides where a dot is doubled and which terminator ends the content, as one state machine over the whole stream: how the stream is cut into
chunks never shows on the wire.  It never lets a bare CR, a bare LF or a NUL through: content in the spool has CRLF line ends only,
but a defect elsewhere must not become SMTP smuggling here.  So a bare CR or LF leaves as CRLF (and a dot behind it is
doubled), a NUL as a space.

Source: RFC 5321 sections 2.3.8 and 4.5.2.
"""

from __future__ import annotations

import re

from twistedrelay.wire.lineends import only_crlf

_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")
_DOT = 0x2E


class Stuffer:
    """The content of one message, chunk by chunk."""

    __slots__ = ("_at_line_start", "_cr_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._cr_held = False  # a CR that ended a chunk: the next octet says whether it is bare

    def feed(self, chunk: bytes) -> bytes:
        """The octets to send for the next chunk of content."""
        if not chunk:
            return chunk
        if self._cr_held:
            chunk = b"\r" + chunk
        self._cr_held = chunk.endswith(b"\r")
        if self._cr_held:
            chunk = chunk[:-1]
            if not chunk:
                return chunk
        if b"\0" in chunk or not only_crlf(chunk):
            chunk = _ANY_LINE_END.sub(b"\r\n", chunk).replace(b"\0", b" ")
        first = self._at_line_start and chunk[0] == _DOT
        self._at_line_start = chunk.endswith(b"\n")
        if b"." in chunk:  # one octet is found far faster than three, and encoded attachments have no dots
            chunk = chunk.replace(b"\r\n.", b"\r\n..")
        return b"." + chunk if first else chunk

    def finish(self) -> bytes:
        """The terminator: what completes the last line, and the line with the dot."""
        if self._cr_held or not self._at_line_start:
            return b"\r\n.\r\n"
        return b".\r\n"
