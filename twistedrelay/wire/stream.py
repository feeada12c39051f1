"""One connection as the engine sees it: octets in, replies out, and one question to the session at a time.

The rest of the engine stands on this: L{twistedrelay.wire.chunking} and L{twistedrelay.wire.server}.  It knows no command.

Sources: RFC 5321 section 4.1.1, RFC 2920 (replies in the order of the commands), RFC 2034 (enhanced codes).
"""

from __future__ import annotations

import attrs

from twistedrelay.values.reply import Reply
from twistedrelay.wire.bdat import ChunkReceiver, RefusedChunk
from twistedrelay.wire.body import DataReceiver
from twistedrelay.wire.events import Event
from twistedrelay.wire.lines import LineBuffer
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.state import SessionState

#: Replies that are given before they have to be sent: a flood of short commands is answered in portions, so that it can be stopped.
MANY_REPLIES = 256


class Stream:
    """See L{twistedrelay.wire.server.SMTPServer}."""

    __slots__ = (
        "_close_after_reply",
        "_discarded",
        "_greeted",
        "_lines",
        "_out",
        "_queued",
        "_receiver",
        "_replies",
        "_state",
        "_waiting",
        "awaiting_tls",
        "closing",
        "settings",
    )

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._replies = settings.replies
        self.closing = False
        self.awaiting_tls = False
        self._state = SessionState(secure=settings.implicit_tls)
        self._lines = LineBuffer()
        self._out: list[bytes] = []
        self._greeted = False
        self._waiting: Event | None = None
        self._queued: Event | None = None  # follows the last event, before anything more is read
        self._close_after_reply = False
        self._receiver: DataReceiver | ChunkReceiver | RefusedChunk | None = None  # inside DATA or BDAT
        self._discarded = 0  # octets of refused chunks

    @property
    def buffered(self) -> int:
        """Octets received and not used yet: stop reading from the client above a bound."""
        return len(self._lines)

    @property
    def congested(self) -> bool:
        """Many replies were not taken by L{data_to_send} yet; until then no event follows."""
        return len(self._out) >= MANY_REPLIES

    @property
    def secure(self) -> bool:
        """The connection is under TLS."""
        return self._state.secure

    @property
    def authenticated(self) -> bool:
        """AUTH succeeded."""
        return self._state.authenticated

    @property
    def in_transaction(self) -> bool:
        """MAIL was accepted, and the message has not ended."""
        return self._state.in_transaction

    @property
    def in_content(self) -> bool:
        """The client is sending a message."""
        return self._receiver is not None

    def greet(self, reply: Reply) -> None:
        """Say the first word; a negative one is also the last.  Commands that came before it are read from now on."""
        self._say(reply)
        self._greeted = True
        if not reply.is_positive:
            self._close()

    def receive_data(self, data: bytes) -> None:
        """Take octets from the client."""
        if self.awaiting_tls and data:
            # In the clear behind STARTTLS: someone wants it executed as if it had come under TLS.
            self._close()
        elif not self.closing:
            self._lines.feed(data)

    def data_to_send(self) -> bytes:
        """All replies since the last call."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def dismiss(self, reply: Reply) -> None:
        """Say something unasked (421), and read nothing any more."""
        self._say(reply)
        self._close()

    def _say(self, reply: Reply) -> None:
        code, replies = reply.code, self._replies
        replies[code] = replies.get(code, 0) + 1
        self._out.append(reply.wire if self.settings.enhanced_status_codes else self._wire(reply))

    def _count(self, code: int, number: int = 1) -> None:
        replies = self._replies
        replies[code] = replies.get(code, 0) + number

    def _wire(self, reply: Reply) -> bytes:
        """The octets of a reply, without the enhanced code where the connector has none."""
        return reply.wire if self.settings.enhanced_status_codes else attrs.evolve(reply, enhanced="").wire

    def _wait(self, event: Event) -> Event:
        self._waiting = event
        return event

    def _cut_off(self, event: Event) -> Event:
        """Nothing that was or will be received is read: the connection ends with the reply to the event."""
        self._lines.clear()
        self._close_after_reply = True
        return event

    def _close(self) -> None:
        self.closing = True
        self.awaiting_tls = False
        self._queued = None
        self._receiver = None
        self._lines.clear()
