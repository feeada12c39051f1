"""The octets of messages: arriving (L{ContentWriter}) and read back from the store (L{StoredContent}).

Decides when content leaves memory: above a bound it goes to a file piece by piece, and stays in memory beside that only as far
as L{HotCache} allows.  Never decides when the row is written; nothing here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IContent, IContentWriter, SpoolError
from twistedrelay.spool.bodies import BodyFile, BodyStore
from twistedrelay.spool.cache import HotCache
from twistedrelay.spool.disk import spool_error
from twistedrelay.values import reply
from twistedrelay.values.envelope import Message

PIECE = 256 * 1024  #: octets handed to a thread at once

#: Reads octets of stored content: C{(offset, length)}.
Reader = Callable[[int, int], Deferred[bytes]]


def slice_of(chunks: Sequence[bytes], offset: int, length: int) -> bytes:
    """Octets from the middle of a sequence of chunks."""
    parts = []
    for chunk in chunks:
        if length <= 0:
            break
        if offset < len(chunk):
            part = chunk[offset : offset + length]
            parts.append(part)
            length -= len(part)
            offset = 0
        else:
            offset -= len(chunk)
    return b"".join(parts)


@implementer(IContent)
class StoredContent:
    """Content of a message that was loaded.

    @ivar file: the name of its file, or C{""} where it is in the database.
    """

    def __init__(self, size: int, data: bytes | None, file: str, reader: Reader, cache: HotCache) -> None:
        self.size = size
        self.file = file
        self._data = data
        self._reader = reader
        self._cache = cache

    def loaded(self) -> None:
        """It is in the hands of the reactor's thread: count its memory."""
        if self._data is not None:
            self._cache.keep(self, len(self._data))

    def in_memory(self) -> Sequence[bytes] | None:
        """See L{IContent}."""
        return None if self._data is None else (self._data,)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """See L{IContent}."""
        if self._data is None:
            return self._reader(offset, length)
        return succeed(self._data[offset : offset + length])

    def removed(self) -> None:
        """Its message is no longer in the spool."""
        self._cache.release(self)
        self._data = None

    def forget(self) -> None:
        """See L{twistedrelay.spool.cache.Cached}."""
        self._data = None


@implementer(IContentWriter)
class ContentWriter:
    """Content that arrives; after the store it serves reads.

    @ivar file: the name of its file, or C{""} as long as it is small.
    """

    def __init__(self, bodies: BodyStore, cache: HotCache, inline_limit: int, on_trouble: Callable[[BaseException], None]) -> None:
        self.size = 0
        self.file = ""
        self._bodies = bodies
        self._cache = cache
        self._inline_limit = inline_limit
        self._on_trouble = on_trouble
        self._chunks: list[bytes] | None = []
        self._body: BodyFile | None = None
        self._reader: Reader | None = None
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._written = 0
        self._busy = False
        self._closed = False
        self._durable = False  # the file is whole, and nobody has taken it
        self._failure: SpoolError | None = None
        self._waiting: list[Deferred[None]] = []
        self._finished: Deferred[None] | None = None

    def write(self, chunk: bytes) -> None:
        """See L{IContentWriter}.  After a failure or an abort octets go nowhere."""
        if self._closed:
            return
        self.size += len(chunk)
        if self._body is None:
            assert self._chunks is not None
            self._chunks.append(chunk)
            if self.size > self._inline_limit:
                self._move_to_file()
            return
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._chunks is not None:
            if self._cache.grow(self, len(chunk)):
                self._chunks.append(chunk)
            else:
                self._chunks = None
        if self._pending_size >= PIECE and not self._busy:
            self._flush()

    def _move_to_file(self) -> None:
        self.file, self._body = self._bodies.new()
        assert self._chunks is not None
        self._pending = list(self._chunks)
        self._pending_size = self.size
        if not self._cache.grow(self, self.size):
            self._chunks = None
        if self._pending_size >= PIECE:
            self._flush()

    def backlog(self) -> int:
        """See L{IContentWriter}."""
        return 0 if self._body is None or self._closed else self.size - self._written

    def unwritten(self) -> int:
        """See L{IContentWriter}."""
        return 0 if self._closed else self.size - self._written

    def drained(self) -> Deferred[None]:
        """See L{IContentWriter}."""
        if self._failure is not None:
            return fail(self._failure)
        if not self.backlog():
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if not self._busy:
            self._flush()
        return waiting

    def finish(self) -> Deferred[None]:
        """See L{IContentWriter}.  The name of the file is not durable yet."""
        if self._failure is not None:
            return fail(self._failure)
        if self._durable or (self._body is None and not self._closed):
            return succeed(None)
        if self._closed or self._finished is not None:
            return fail(SpoolError("the content was thrown away or finished before", reply.LOCAL_ERROR))
        self._finished = Deferred()
        if not self._busy:
            self._flush()
        return self._finished

    def take(self, reader: Reader) -> bytes | None:
        """It is about to be stored, and only L{stored} or L{gone} follow: its octets where they are few, None where its file has them.

        @param reader: reads few octets back once they are stored.
        @raise ValueError: it is not finished, or was thrown away.
        """
        if self._durable:
            self._durable = False
            return None
        if self._body is not None or self._closed or self._chunks is None:
            raise ValueError("the content is not whole")
        self._closed = True
        data = b"".join(self._chunks)
        self._chunks = [data]
        self._reader = reader
        return data

    def _flush(self) -> None:
        assert self._body is not None
        pieces, self._pending = self._pending, []
        size, self._pending_size = self._pending_size, 0
        self._busy = True
        last = self._finished is not None
        work = self._body.finish if last else self._body.append
        self._bodies.run(work, pieces).addCallbacks(self._flushed, self._failed, callbackArgs=(size, last))

    def _flushed(self, _: None, size: int, last: bool) -> None:
        self._busy = False
        self._written += size
        if self._closed:
            self._discard()
        elif last:
            self._closed = self._durable = True
            self._fire_waiting()
            assert self._finished is not None
            self._finished.callback(None)
        elif self._finished is not None:
            self._flush()
        elif self._waiting:
            if self._pending:
                self._flush()
            else:
                self._fire_waiting()
        elif self._pending_size >= PIECE:
            self._flush()

    def _fire_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _failed(self, failure: Failure) -> None:
        self._busy = False
        cause = failure.value
        assert cause is not None
        error = spool_error("cannot write the content", cause)
        aborted = self._closed
        self._failure = error
        self._throw_away()
        self._tell(error)
        if not aborted:
            self._on_trouble(cause)

    def abort(self) -> None:
        """See L{IContentWriter}."""
        if self._durable or not self._closed:
            self._throw_away()
            self._tell(SpoolError("the content was thrown away", reply.LOCAL_ERROR))

    def gone(self) -> None:
        """The store of the finished content failed: remove it."""
        self._throw_away()

    def leave(self) -> None:
        """Nobody knows whether the store has this content: keep its file."""
        self._body = None
        self._throw_away()

    def _throw_away(self) -> None:
        self._closed = True
        self._durable = False
        self._pending = []
        self._pending_size = 0
        self._cache.release(self)
        self._chunks = None
        if not self._busy:
            self._discard()

    def _discard(self) -> None:
        if self._body is not None:
            body, self._body = self._body, None
            self._bodies.discard(body)

    def _tell(self, error: SpoolError) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.errback(error)
        if self._finished is not None and not self._finished.called:
            self._finished.errback(error)

    def stored(self) -> None:
        """The row that names this content is committed."""
        self._body = None
        if self.file:
            self._cache.settle(self)
        else:
            self._cache.keep(self, self.size)

    def removed(self) -> None:
        """Its message is no longer in the spool."""
        self._cache.release(self)
        self._chunks = None

    def forget(self) -> None:
        """See L{twistedrelay.spool.cache.Cached}."""
        self._chunks = None

    def in_memory(self) -> Sequence[bytes] | None:
        """See L{IContent}."""
        if self._chunks is None:
            return None
        self._cache.touch(self)
        return self._chunks

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """See L{IContent}."""
        if self._chunks is not None:
            return succeed(slice_of(self._chunks, offset, length))
        if self._failure is not None:
            return fail(self._failure)
        if self._reader is not None:
            return self._reader(offset, length)
        if self.backlog():
            return self.drained().addCallback(lambda _: self._bodies.read(self.file, offset, length))
        return self._bodies.read(self.file, offset, length)


def loaded(messages: list[Message]) -> list[Message]:
    """Messages that were read from disk, whose contents may be kept in memory from now on; for the reactor's thread."""
    for message in messages:
        cast(StoredContent, message.content).loaded()
    return messages
