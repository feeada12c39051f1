"""The message that a report is about: its header section and what stands in there, whether it has 8-bit octets, its octets in pieces."""

from __future__ import annotations

import email.policy
import re
from collections.abc import AsyncIterator

from twistedrelay.interfaces import IContent
from twistedrelay.values.printable import masked

PIECE = 65536
HEADER_LIMIT = 262_144  #: octets of a header section that a report holds
VALUE_LIMIT = 2000  #: octets of a field that are looked at


def _field(name: bytes) -> re.Pattern[bytes]:
    """Finds the first field with a name, and its value in a group; a header section can be long, so this is all that is done with it."""
    return re.compile(rb"^" + name + rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE)


_SUBJECT, _CONTENT_TYPE, _MESSAGE_ID_FIELD = map(_field, (b"subject", b"content-type", b"message-id"))
_LINE_END = re.compile(rb"\r\n|\r|\n")
_MESSAGE_ID = re.compile(rb"<[!-;=?A-~]{1,240}@[!-;=?-~]{1,240}>")
_REPORT_TYPE = re.compile(rb';[ \t]*report-type[ \t]*=[ \t]*"?(?:global-)?delivery-status"?[ \t]*(?:[;(]|$)', re.IGNORECASE)


async def pieces(content: IContent, limit: int) -> AsyncIterator[bytes]:
    """The first C{limit} octets, in pieces."""
    memory = content.in_memory()
    if memory is not None:
        for chunk in memory:
            if limit <= 0:
                return
            yield chunk[:limit]
            limit -= len(chunk)
        return
    offset = 0
    while offset < limit:
        piece = await content.read(offset, min(PIECE, limit - offset))
        if not piece:
            return
        yield piece
        offset += len(piece)


async def header_section(content: IContent) -> bytes:
    """The header section with the CRLF of its last line, without the empty line."""
    read = bytearray()
    async for piece in pieces(content, HEADER_LIMIT):
        read += piece
        if b"\r\n\r\n" in read:
            break
    if read.startswith(b"\r\n"):
        return b""
    end = read.find(b"\r\n\r\n")
    return bytes(read[: end + 2] if end >= 0 else read)


def as_text(header: bytes) -> bytes:
    """A header section that came binary, as text may be: bare CR and LF are line ends, a NUL is a space."""
    return _LINE_END.sub(b"\r\n", header).replace(b"\0", b" ")


async def is_seven_bit(content: IContent, limit: int) -> bool:
    """Whether the first C{limit} octets are all ASCII."""
    async for piece in pieces(content, limit):
        if not piece.isascii():
            return False
    return True


def _first(header: bytes, field: re.Pattern[bytes]) -> bytes:
    """The beginning of the value of the first such field on one line, C{b""} where there is none."""
    found = field.search(header)
    return b"" if found is None else found[1][:VALUE_LIMIT].translate(None, b"\r\n").strip(b" \t")


def is_report(header: bytes) -> bool:
    """Whether it is a delivery report (RFC 3464), though its return path may not be null."""
    value = _first(header, _CONTENT_TYPE)
    return value.lower().startswith(b"multipart/report") and _REPORT_TYPE.search(value) is not None


def message_id_of(header: bytes) -> str:
    """The Message-ID with its brackets, C{""} where there is none that can be referred to."""
    value = _first(header, _MESSAGE_ID_FIELD)
    return value.decode("ascii") if len(value) < 500 and _MESSAGE_ID.fullmatch(value) else ""


def subject(header: bytes) -> str:
    """The decoded subject on one line, C{""} where there is none to be read.

    Only its beginning is looked at: the time that decoding takes grows with the square of the length.
    """
    written = _first(header, _SUBJECT).decode("ascii", "surrogateescape")
    try:
        value = str(email.policy.SMTP.header_factory("Subject", written)) if "=?" in written else written
    except Exception:  # what senders put there is anybody's guess, and no report may fail for it
        return ""
    text = " ".join(value.encode("utf-8", "replace").decode().split())
    return masked(text)[:200].rstrip()
