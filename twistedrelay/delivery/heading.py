"""Content with another header section in front of its body.

Decides where the header section of a message ends, has it rewritten, and serves the new one with the old body behind it, which is neither
copied nor read.  A header section beyond C{MAX_HEADER} is not rewritten: then the message waits, since as it is it must not go.

Source: RFC 5322 section 2.1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from twistedrelay.delivery.content import PIECE, read_pieces
from twistedrelay.interfaces import IContent
from twistedrelay.values.reply import Reply

MAX_HEADER = 16 * 1024 * 1024

TOO_LONG = Reply(451, "4.3.0", "The header section of the message is too long to be rewritten for the next hop")


@implementer(IContent)
class Headed:
    """A new header section, and the content behind the old one.

    @param skipped: octets of the old one.
    """

    def __init__(self, header: bytes, content: IContent, skipped: int) -> None:
        self._header = header
        self._content = content
        self._skipped = skipped
        self.size = len(header) + content.size - skipped

    def in_memory(self) -> Sequence[bytes] | None:
        """See L{IContent.in_memory}."""
        chunks = self._content.in_memory()
        if chunks is None:
            return None
        left, rest = self._skipped, [self._header]
        for chunk in chunks:
            if left < len(chunk):
                rest.append(chunk[left:])
            left = max(0, left - len(chunk))
        return rest

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """See L{IContent.read}."""
        if offset < len(self._header):
            return succeed(self._header[offset : offset + length])
        return self._content.read(offset - len(self._header) + self._skipped, length)


async def _header_of(content: IContent) -> bytes | None:
    """The header section with the empty line behind it (or all of it, where there is no body); None where it is too long."""
    header, searched = b"", 0
    chunks = content.in_memory()
    if chunks is not None:
        for chunk in chunks:
            for start in range(0, len(chunk), PIECE):
                header += chunk[start : start + PIECE]
                if (end := _end(header, searched)) or len(header) > MAX_HEADER:
                    return header[:end] if end else None
                searched = max(0, len(header) - 3)
        return header
    async for piece in read_pieces(content):
        header += piece
        if (end := _end(header, searched)) or len(header) > MAX_HEADER:
            return header[:end] if end else None
        searched = max(0, len(header) - 3)
    return header


def _end(header: bytes, start: int) -> int:
    """Where the body begins, 0 where it does not yet."""
    if header.startswith(b"\r\n"):
        return 2
    found = header.find(b"\r\n\r\n", start)
    return found + 4 if found >= 0 else 0


async def with_header(content: IContent, rewrite: Callable[[bytes], Awaitable[bytes]]) -> IContent | Reply:
    """Content with its header section rewritten, or why it cannot be.  Fails with L{SpoolError}, and as C{rewrite} fails.

    @param rewrite: makes the new one; that may take long.
    """
    header = await _header_of(content)
    if header is None:
        return TOO_LONG
    new = await rewrite(header)
    return content if new == header else Headed(new, content, len(header))
