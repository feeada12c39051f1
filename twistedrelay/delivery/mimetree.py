"""The parts of a MIME message, found while its octets pass by.

Decides only where header sections, bodies and delimiters begin and end: whoever walks along (a L{Visitor}) is shown them in order, so
that what it is shown, put together, is the message again, octet by octet.  Bodies are searched, not cut into lines; what is held back is
a header section or the beginning of a delimiter.  The same octets are always the same parts, however they are cut into chunks.

A C{message/rfc822} is walked into; other composite C{message/} types are taken as they are.

Sources: RFC 2045, RFC 2046 section 5.1 (multipart) and 5.2.1 (message/rfc822), RFC 1847 (multipart/signed).
"""

from __future__ import annotations

import email.message
import email.parser
from typing import Protocol

import attrs

MAX_HEADER = 262_144  #: octets of one header section
MAX_HEADERS = 1_048_576  #: octets of all header sections
MAX_PARTS = 5_000
MAX_DEPTH = 50
MAX_DELIMITER = 1000  #: octets of a line that may be a delimiter
MAX_PARAMETERS = 200  #: of a Content-Type; the standard library's parser takes the square of their number in time

_PARSER = email.parser.BytesHeaderParser()
#: What a chunk may end with that is the beginning of a delimiter, CRLF included.
_BEGINNINGS = (b"\r\n-", b"\n-", b"\r\n", b"\n", b"\r")


class TooComplex(Exception):
    """The message is beyond the bounds."""


@attrs.define(slots=True, eq=False)
class Part:
    """A message or a body part.

    @ivar index: its place in the message, from 0 (the message itself).
    @ivar kind: C{"leaf"}, C{"multipart"}, or C{"message"} with another message inside.
    @ivar type: the media type in lower case.
    @ivar encoding: the Content-Transfer-Encoding in lower case, C{""} where there is none.
    @ivar signed: it is inside of a multipart/signed.
    @ivar is_message: its header section is that of a message.
    @ivar is_mime: it says so, by MIME-Version or by a Content-Type.
    """

    index: int
    kind: str
    type: str
    encoding: str
    signed: bool
    is_message: bool
    is_mime: bool


class Visitor(Protocol):
    """Who is shown the message."""

    def header(self, part: Part, raw: bytes) -> None:
        """A part begins: its header section with the empty line, if there is one."""

    def body(self, part: Part, chunk: bytes) -> None:
        """Some of the body of a leaf."""

    def end(self, part: Part) -> None:
        """The body of a leaf is complete."""

    def between(self, part: Part, chunk: bytes) -> None:
        """What belongs to no part of a multipart: a delimiter with the line break in front of it, preamble, epilogue."""


@attrs.define(slots=True, eq=False)
class _Open:
    """A multipart that has not ended."""

    part: Part
    boundary: bytes
    depth: int


class Walker:
    """Walks through one message.

    @param visitor: is shown it.
    """

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._buffer = b""
        self._header: list[bytes] | None = []  # lines of the header section being read, None in a body
        self._header_size = 0
        self._line_start = True
        self._leaf: Part | None = None
        self._around: Part | None = None  # the multipart whose preamble or epilogue this is
        self._open: list[_Open] = []
        self._delimiters: dict[bytes, tuple[_Open, bool]] = {}  # of all that are open
        self._parts = 0
        self._headers = 0
        self._depth = 0
        self._is_message = True
        self._signed = False
        self._digest = False

    def feed(self, chunk: bytes) -> None:
        """The next octets."""
        self._buffer += chunk
        self._run(False)

    def finish(self) -> None:
        """That was all."""
        self._run(True)
        if self._header is not None:
            self._header_done()
        self._end_leaf()

    def _run(self, final: bool) -> None:
        going = True
        while going and self._buffer:
            going = self._in_body(final) if self._header is None else self._in_header(final)

    # header sections

    def _in_header(self, final: bool) -> bool:
        """Take lines of the header section; whether what follows them can be looked at."""
        assert self._header is not None
        buffer, begin, going = self._buffer, 0, True
        while going and begin < len(buffer):
            end = buffer.find(b"\n", begin) + 1
            if not end and not final and len(buffer) - begin <= MAX_HEADER:
                break
            end = end or len(buffer)
            line = buffer[begin:end]
            if line.startswith(b"--") and self._delimited(line) is not None:  # a part without a body
                going = False
                break
            begin = end
            self._header.append(line)
            self._header_size += len(line)
            if self._header_size > MAX_HEADER:
                raise TooComplex("a header section is too long")
            going = line not in (b"\r\n", b"\n")
        self._buffer = buffer[begin:]
        if not going:
            self._header_done()
        return not going

    def _header_done(self) -> None:
        raw = b"".join(self._header or ())
        self._headers += len(raw)
        self._header, self._header_size, self._line_start = None, 0, True
        if self._parts >= MAX_PARTS or self._depth > MAX_DEPTH or self._headers > MAX_HEADERS:
            raise TooComplex("too many parts")
        try:
            fields = _PARSER.parsebytes(raw)
            if self._digest:
                fields.set_default_type("message/rfc822")
            part, boundary = self._part(fields)
        except TooComplex:
            raise
        except Exception as error:  # what senders put there is anybody's guess
            raise TooComplex("a header section cannot be read") from error
        self._parts += 1
        self._visitor.header(part, raw)
        if part.kind == "multipart":
            self._open.append(_Open(part, boundary, self._depth))
            self._learn_delimiters()
            self._around = part
        elif part.kind == "message":
            self._depth += 1
            self._begin(is_message=True)
        else:
            self._leaf = part

    def _part(self, fields: email.message.Message) -> tuple[Part, bytes]:
        mime = not self._is_message or "MIME-Version" in fields or "Content-Type" in fields
        if str(fields.get("Content-Type", "")).count(";") > MAX_PARAMETERS:
            raise TooComplex("too many parameters")
        media = fields.get_content_type() if mime else "text/plain"
        encoding = str(fields.get("Content-Transfer-Encoding", "")).strip().lower() if mime else ""
        boundary = str(fields.get_boundary() or "").encode("ascii", "surrogateescape") if media.startswith("multipart/") else b""
        opaque = encoding not in ("", "7bit", "8bit", "binary")
        kind = "multipart" if boundary and not opaque else "message" if media == "message/rfc822" and not opaque else "leaf"
        return Part(self._parts, kind, media, encoding, self._signed, self._is_message, mime), boundary

    def _begin(self, *, is_message: bool) -> None:
        """A header section follows."""
        self._header = []
        self._is_message = is_message
        inside = [one.part for one in self._open]
        self._signed = any(part.type == "multipart/signed" for part in inside)
        self._digest = not is_message and bool(inside) and inside[-1].type == "multipart/digest"

    # bodies

    def _in_body(self, final: bool) -> bool:
        """Pass a body on as far as its next delimiter; whether what follows that can be looked at."""
        buffer = self._buffer
        if not self._open:
            self._show(buffer)
            self._buffer = b""
            return False
        line = -1
        while True:
            if line < 0 and self._line_start and (buffer.startswith(b"--") or (buffer == b"-" and not final)):
                start = line = 0
            else:
                line = buffer.find(b"\n--", line + 2 if line >= 0 else 0) + 1
                if not line:
                    self._pass_on(final)
                    return False
                start = line - 2 if buffer[line - 2 : line - 1] == b"\r" and line > 1 else line - 1
            end = buffer.find(b"\n", line) + 1
            if not end and not final and len(buffer) - line < MAX_DELIMITER:
                self._show(buffer[:start])
                self._buffer = buffer[start:]
                self._line_start = self._line_start and not start
                return False
            end = end or len(buffer)
            if (found := self._delimited(buffer[line:end])) is not None:
                self._show(buffer[:start])
                self._buffer = buffer[end:]
                self._delimiter(*found, buffer[start:end])
                return True

    def _pass_on(self, final: bool) -> None:
        """There is no delimiter, though perhaps the beginning of one."""
        buffer = self._buffer
        held = b"" if final else next((part for part in _BEGINNINGS if buffer.endswith(part)), b"")
        self._show(buffer[: len(buffer) - len(held)])
        self._buffer = held
        self._line_start = False

    def _delimited(self, line: bytes) -> tuple[_Open, bool] | None:
        """Which multipart a line is a delimiter of, and whether it is the last one."""
        return self._delimiters.get(line.rstrip(b" \t\r\n"))

    def _learn_delimiters(self) -> None:
        """Of two that are equal that of the inner multipart counts."""
        known = self._delimiters = {}
        for one in self._open:
            known[b"--" + one.boundary] = one, False
            known[b"--" + one.boundary + b"--"] = one, True

    def _delimiter(self, multipart: _Open, last: bool, raw: bytes) -> None:
        self._end_leaf()
        while self._open[-1] is not multipart:
            self._open.pop()
        self._visitor.between(multipart.part, raw)
        self._line_start = True
        if last:
            self._open.pop()
            self._around = multipart.part
            self._depth = multipart.depth
        else:
            self._around = None
            self._depth = multipart.depth + 1
            self._begin(is_message=False)
        self._learn_delimiters()

    def _end_leaf(self) -> None:
        leaf, self._leaf = self._leaf, None
        if leaf is not None:
            self._visitor.end(leaf)

    def _show(self, chunk: bytes) -> None:
        if not chunk:
            return
        if self._leaf is not None:
            self._visitor.body(self._leaf, chunk)
        elif self._around is not None:
            self._visitor.between(self._around, chunk)
