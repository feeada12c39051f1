"""A message made fit for a next hop that takes no 8-bit or no binary content.

Decides which body parts are encoded, and refuses what cannot be without harm: anything inside of a multipart/signed, C{message/partial}
and its kind, a part that claims an encoding and does not have it, a header section that is no text, and a message beyond the walker's
bounds.  Texts become quoted-printable, or base64 where that is shorter; all else becomes base64.  Every header field but
Content-Transfer-Encoding stays as it is; octets above 127 in a header section, which no encoding helps, stay too.  A message that is not
MIME becomes so, with the charset C{unknown-8bit}.

Nothing here does I/O, but it takes its time: it runs in a thread (C{delivery.fit}).  Two passes, the same octets twice: L{Survey}, then
L{Rewriter}.

Sources: RFC 6152 section 3, RFC 3030 section 3, RFC 2045 section 6, RFC 2046 section 5.2 (message), RFC 6532 section 3.7 (message/global),
RFC 1847 section 2.1 (signed parts never change), RFC 1428 (unknown-8bit).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import attrs

from twistedrelay.delivery.encoders import Base64, Encoder, QuotedPrintable
from twistedrelay.delivery.mimetree import Part, TooComplex, Walker
from twistedrelay.values.reply import Reply
from twistedrelay.wire.lineends import only_crlf

Form = Literal["7bit", "8bit"]

MAX_LINE = 998  #: octets of a line of text (RFC 5321 section 4.5.3.1.6)
_ASCII = bytes(range(128))
_MASK = bytes(range(128)) + b"?" * 128
_BROKEN = re.compile(rb"\r(?!\n)|\0").search
_ENCODING = re.compile(rb"^content-transfer-encoding[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_EMPTY_LINE = re.compile(rb"((?:(?<![^\n])\r?\n)?)\Z")  #: behind the fields; none where a message ends with them


def refusal(why: str) -> Reply:
    """Why a message returns that would have to be converted."""
    return Reply(554, "5.6.3", f"Conversion required but not supported: {why}")


@attrs.define(slots=True)
class _Found:
    """What a survey finds in the body of a leaf."""

    size: int = 0
    eight_bit: int = 0
    binary: bool = False  # NUL, a bare CR or LF, or a line that is too long
    line: int = 0  # octets of the last line so far
    last: bytes = b""


class Survey:
    """The first pass: what is to be done with each part.

    @param form: what the next hop takes.
    @ivar problem: why it cannot be done, or None.
    @ivar encodings: what becomes of each part that changes, by its index.
    @ivar utf8_header: a header section holds octets above 127.
    @ivar incomplete: the message is beyond the walker's bounds; not all of it was seen.
    @ivar needed: something has to change, not only a label.
    """

    def __init__(self, form: Form) -> None:
        self.problem: Reply | None = None
        self.encodings: dict[int, str] = {}
        self.utf8_header = False
        self.incomplete = False
        self.needed = False
        self._form = form
        self._found = _Found()
        self._walker = Walker(self)

    def feed(self, chunk: bytes) -> None:
        """The next octets of the message."""
        self._walk(self._walker.feed, chunk)

    def finish(self) -> None:
        """That was all."""
        self._walk(self._walker.finish)

    def _walk(self, step: Callable[..., None], *arguments: bytes) -> None:
        if not self.incomplete:
            try:
                step(*arguments)
            except TooComplex as error:
                self.incomplete = True
                self.problem = refusal(str(error))

    def header(self, part: Part, raw: bytes) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        self._found = _Found()
        self.utf8_header = self.utf8_header or not raw.isascii()
        if _BROKEN(raw) or (part.signed and not only_crlf(raw)):
            self.problem = self.problem or refusal("a header section holds a NUL or a bare CR or LF")
        if part.kind != "leaf" and not part.signed and part.encoding in ("8bit", "binary") and part.encoding != self._form:
            self.encodings[part.index] = self._form

    def body(self, part: Part, chunk: bytes) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        found = self._found
        found.size += len(chunk)
        if not chunk.isascii():
            found.eight_bit += len(chunk.translate(None, _ASCII))
        if not found.binary:
            self._look_at_lines(found, chunk)

    def _look_at_lines(self, found: _Found, chunk: bytes) -> None:
        seen = found.last + chunk
        found.last = b"\r" if seen.endswith(b"\r") else b""  # the next chunk says whether it is bare
        lines = chunk.split(b"\n")
        longest = max(found.line + len(lines[0]), max(map(len, lines)))
        found.line = len(lines[-1]) + (found.line if len(lines) == 1 else 0)
        found.binary = b"\0" in chunk or not only_crlf(seen[: len(seen) - len(found.last)]) or longest > MAX_LINE + 1

    def end(self, part: Part) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        found = self._found
        found.binary = found.binary or bool(found.last)
        if found.binary or (found.eight_bit and self._form == "7bit"):
            self._encode(part, found)
        elif not part.signed and (part.encoding == "binary" or (part.encoding == "8bit" and self._form == "7bit")):
            self.encodings[part.index] = "8bit" if found.eight_bit else "7bit"

    def between(self, part: Part, chunk: bytes) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        if not chunk.isascii() and self._form == "7bit":
            self._change(part, "a signed part")

    def _encode(self, part: Part, found: _Found) -> None:
        if part.encoding not in ("", "7bit", "8bit", "binary"):
            self.problem = self.problem or refusal(f"a part is not in its encoding {part.encoding[:40]}")
        elif part.type.startswith(("message/", "multipart/")) and not part.type.startswith("message/global"):
            self.problem = self.problem or refusal(f"a part of type {part.type[:60]} must not be encoded")
        elif self._change(part, "a signed part"):
            text = part.type.startswith("text/") and not found.binary and found.eight_bit * 4 < found.size
            self.encodings[part.index] = "quoted-printable" if text else "base64"

    def _change(self, part: Part, what: str) -> bool:
        """A part has to change: whether it may."""
        if part.signed:
            self.problem = self.problem or refusal(f"{what} must not be changed")
            return False
        self.needed = True
        return True


class Rewriter:
    """The second pass: the message as it leaves.

    @param encodings: of L{Survey}.
    @param write: takes the octets.
    """

    def __init__(self, form: Form, encodings: dict[int, str], write: Callable[[bytes], object]) -> None:
        self._form = form
        self._encodings = encodings
        self._write = write
        self._encoder: Encoder | None = None
        self._walker = Walker(self)
        self._last = b""

    def feed(self, chunk: bytes) -> None:
        """The next octets of the message."""
        self._walker.feed(chunk)

    def finish(self) -> None:
        """That was all."""
        self._walker.finish()
        if not self._last.endswith(b"\n"):
            self._write(b"\r\n")

    def _put(self, data: bytes) -> None:
        if data:
            self._last = data[-1:]
            self._write(data)

    def header(self, part: Part, raw: bytes) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        encoding = self._encodings.get(part.index)
        if encoding is None:
            self._put(raw)
            return
        field = f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii")
        if not part.is_mime:
            field = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n" + field
        kept = _ENCODING.sub(b"", raw if raw.endswith(b"\n") else raw + b"\r\n")
        end = len(kept) - len(_EMPTY_LINE.search(kept)[1])  # type: ignore[index]  # it finds nothing, too
        self._put(kept[:end] + field + kept[end:])
        if encoding in ("base64", "quoted-printable"):
            self._encoder = Base64() if encoding == "base64" else QuotedPrintable()

    def body(self, part: Part, chunk: bytes) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        self._put(chunk if self._encoder is None else self._encoder.feed(chunk))

    def end(self, part: Part) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            self._put(encoder.finish())

    def between(self, part: Part, chunk: bytes) -> None:
        """See L{twistedrelay.delivery.mimetree.Visitor}.  What nobody is meant to read may lose its bits."""
        self._put(chunk if part.signed or self._form == "8bit" else chunk.translate(_MASK))
