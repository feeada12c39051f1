"""Large content on its way out: piece by piece, as fast as the peer takes it.

Decides when the next piece is read and written.  It holds two pieces at most (one on its way, one read ahead) whatever the size.
It never reports the end before every octet was handed over: content that turns out short or long is a failure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IContent, SpoolError
from twistedrelay.values.reply import LOCAL_ERROR, Reply

PIECE = 256 * 1024


def _pieces(chunks: Sequence[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for offset in range(0, len(chunk), PIECE):
            yield chunk[offset : offset + PIECE]


async def read_pieces(content: IContent) -> AsyncIterator[bytes]:
    """Content that lies on the disk, piece by piece; one that is shorter than it says is a L{SpoolError}."""
    offset = 0
    while offset < content.size:
        piece = await content.read(offset, PIECE)
        if not piece:
            raise SpoolError("content is shorter than its size", LOCAL_ERROR)
        offset += len(piece)
        yield piece


@implementer(IPushProducer)
class ContentSender:
    """Hands the content of one message to a connection.

    @param write: takes a piece.
    @param finished: called once, after the last piece.
    @param failed: called once with a 4xx reply where the content cannot be read.
    """

    def __init__(
        self,
        content: IContent,
        write: Callable[[bytes], None],
        finished: Callable[[], None],
        failed: Callable[[Reply], None],
    ) -> None:
        chunks = content.in_memory()
        self._content = content
        self._size = content.size
        self._memory = _pieces(chunks) if chunks is not None else None
        self._write = write
        self._finished = finished
        self._failed = failed
        self._sent = 0
        self._read_to = 0
        self._ahead: bytes | None = None
        self._reading = False
        self._paused = False
        self._stopped = False
        self._pumping = False

    def pauseProducing(self) -> None:
        """The transport has enough for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport wants more."""
        self._paused = False
        self._pump()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._stopped = True
        self._ahead = None

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        while not (self._paused or self._stopped):
            if self._sent == self._size:
                if self._memory is not None and next(self._memory, None) is not None:
                    self._fail(LOCAL_ERROR)
                    break
                self._stopped = True
                self._finished()
                break
            piece = self._next()
            if piece is None:
                break
            self._sent += len(piece)
            if not piece or self._sent > self._size:
                self._fail(LOCAL_ERROR)
                break
            self._write(piece)
        self._pumping = False

    def _next(self) -> bytes | None:
        """The next piece; None where it is still being read."""
        if self._memory is not None:
            return next(self._memory, b"")
        if self._ahead is None:
            self._read()
        piece, self._ahead = self._ahead, None
        if piece is not None:
            self._read()
        return piece

    def _read(self) -> None:
        if self._reading or self._stopped or self._read_to >= self._size:
            return
        self._reading = True
        left = self._size - self._read_to
        self._content.read(self._read_to, PIECE if left > PIECE else left + 1).addCallbacks(self._was_read, self._not_read)

    def _was_read(self, piece: bytes) -> None:
        self._reading = False
        if not self._stopped:
            self._read_to += len(piece)
            self._ahead = piece
            self._pump()

    def _not_read(self, failure: Failure) -> None:
        self._reading = False
        if not self._stopped:
            error = failure.value
            self._fail(error.reply if isinstance(error, SpoolError) else LOCAL_ERROR)

    def _fail(self, reply: Reply) -> None:
        self._stopped = True
        self._failed(reply)
