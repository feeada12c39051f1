"""BDAT in a session: the commands, the octets behind them, and the replies to each chunk.

Whatever a BDAT command meets, the octets that it announces are taken out of the stream, so that they can never be read as commands; where
their number cannot be read, or is absurd, the connection ends.  A chunk that is refused ends its transaction, recipients and all.

Sources: RFC 3030 section 2, RFC 2033 section 4.2 (a reply for each recipient).
"""

from __future__ import annotations

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.bdat import Chunk, ChunkReceiver, RefusedChunk, parse_chunk
from twistedrelay.wire.commands import RESET, refuse
from twistedrelay.wire.events import Bdat, Content, EndOfContent, Event
from twistedrelay.wire.stream import Stream

#: Octets of refused chunks that a session may send besides one message of the greatest size.
_DISCARD_LIMIT = 256 * 1024 * 1024


class Chunking(Stream):
    """The part of the engine that knows BDAT."""

    __slots__ = ()

    def _read_bdat(self, argument: bytes, line: bytes) -> Event | None:
        chunk = parse_chunk(argument)
        if chunk is None:
            return self._cut_off(refuse(replies.BAD_CHUNK, line))
        state = self._state
        if state.refused is not None:
            return self._discard(chunk, self._refusal(chunk, *state.refused))
        if state.chunks is not None:
            return self._begin_chunk(state.chunks, chunk)
        refusal = state.refuse_bdat(self.settings)
        if refusal is None:
            return Bdat(chunk.size, chunk.last)
        event = self._discard(chunk, refuse(refusal, line))
        if state.in_transaction and event is None:
            state.forget_transaction()
            if not chunk.last:
                state.refused = (refusal, 1)
            return RESET
        return event

    def _answer_bdat(self, event: Bdat, reply: Reply) -> None:
        """The session has decided on the first chunk of a message."""
        state, settings = self._state, self.settings
        chunk = Chunk(event.size, event.last)
        if reply.is_positive:
            binary = state.parameters.body == "BINARYMIME"
            state.chunks = ChunkReceiver(settings.max_message_size, settings.bare_linefeed_rejection_enabled, binary)
            self._queued = self._begin_chunk(state.chunks, chunk)
            return
        recipients = state.recipients if settings.lmtp else 1
        state.forget_transaction()
        state.refused = (reply, recipients)
        self._queued = self._discard(chunk, self._refusal(chunk, reply, recipients)) or RESET

    def _refusal(self, chunk: Chunk, reply: Reply, recipients: int) -> bytes:
        """What is said behind a chunk that was refused with its message; the last one ends the matter."""
        if not chunk.last:
            return self._wire(reply)
        self._state.refused = None
        return self._wire(reply) * recipients

    def _begin_chunk(self, receiver: ChunkReceiver, chunk: Chunk) -> Event | None:
        receiver.begin(chunk)
        if receiver.fault is not None and not self._affordable(chunk):
            return self._cut_off(EndOfContent(receiver.fault))
        self._receiver = receiver
        return None

    def _discard(self, chunk: Chunk, then: Event | bytes) -> Event | None:
        """Throw the octets of a chunk away, and go on with C{then}."""
        if not self._affordable(chunk):
            return self._cut_off(then if isinstance(then, Event) else refuse(replies.MESSAGE_TOO_LARGE, b"BDAT"))
        self._receiver = RefusedChunk(chunk.size, then)
        return None

    def _affordable(self, chunk: Chunk) -> bool:
        """Whether so many octets may be thrown away."""
        self._discarded += chunk.size
        return self._discarded <= _DISCARD_LIMIT + (self.settings.max_message_size or 0)

    def _read_chunk(self, receiver: ChunkReceiver | RefusedChunk) -> Event | None:
        """Take what there is of a chunk."""
        data = b""
        if receiver.left:
            if not self._lines:
                return None
            data = self._lines.take(receiver.left)
        content = receiver.feed(data)
        if receiver.left:
            return Content(content) if content else None
        self._receiver = None
        if isinstance(receiver, RefusedChunk):
            if isinstance(receiver.then, Event):
                return self._wait(receiver.then)
            if receiver.then:
                self._count(int(receiver.then[:3]))
            self._out.append(receiver.then)
            return None
        if receiver.fault is None and not receiver.last:
            self._say(replies.CHUNK_ACCEPTED)
            return Content(content) if content else None
        end = EndOfContent(receiver.fault)
        if not content:
            return self._wait(end)
        self._queued = end
        return Content(content)

    def _end_message(self, reply: Reply) -> None:
        """The session has decided on a message: the transaction is over, and its recipients in LMTP each have a reply."""
        state = self._state
        last = state.chunks is None or state.chunks.last
        recipients = state.recipients if self.settings.lmtp and reply.code != 421 else 1
        self._count(reply.code, recipients if last else 1)
        self._out.append(self._wire(reply) * recipients if last else self._wire(reply))
        state.forget_transaction()
        if not last:
            state.refused = (reply, recipients)
