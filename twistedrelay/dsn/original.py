"""The message that a report is about, read in pieces: its header section, whether it has 8-bit octets, its octets as they are."""

from __future__ import annotations

import email.policy
import re
from collections.abc import AsyncIterator

from twistedrelay.interfaces import IContent
from twistedrelay.values.printable import masked

PIECE = 65536
HEADER_LIMIT = 262_144  #: octets of a header section that a report holds
SUBJECT_LIMIT = 2000  #: octets of a subject that are decoded

_SUBJECT = re.compile(rb"^subject[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE)


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


async def is_seven_bit(content: IContent, limit: int) -> bool:
    """Whether the first C{limit} octets are all ASCII."""
    async for piece in pieces(content, limit):
        if not piece.isascii():
            return False
    return True


def subject(header: bytes) -> str:
    """The decoded subject on one line, C{""} where there is none to be read.

    Only its beginning is looked at: the time that decoding takes grows with the square of the length.
    """
    found = _SUBJECT.search(header)
    if found is None:
        return ""
    written = found[1][:SUBJECT_LIMIT].decode("ascii", "surrogateescape")
    try:
        value = str(email.policy.SMTP.header_factory("Subject", written.replace("\r", "").replace("\n", "")))
    except Exception:  # what senders put there is anybody's guess, and no report may fail for it
        return ""
    text = " ".join(value.encode("utf-8", "replace").decode().split())
    return masked(text)[:200]
