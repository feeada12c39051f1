"""Command lines out of a stream of octets, in bounded memory.

Only CRLF ends a line (RFC 5321 section 2.3.8): to take a bare LF as well would let two servers disagree on where a command begins.
A line that is too long is dropped up to its CRLF, and counts as one line.
"""

from __future__ import annotations

from twistedrelay.wire.settings import AUTH_LIMIT, COMMAND_LIMIT, MAIL_LIMIT, RCPT_LIMIT, XCLIENT_LIMIT

_MANY_PIECES = 256  # of them one is made: an object for each octet would take fifty times its memory

_LIMITS = {b"MAIL": MAIL_LIMIT, b"RCPT": RCPT_LIMIT, b"AUTH": AUTH_LIMIT, b"XCLI": XCLIENT_LIMIT}


class LineTooLong(Exception):
    """A line was longer than its command allows; it is gone.

    @ivar verb: its first four octets, in upper case.
    """

    def __init__(self, verb: bytes) -> None:
        super().__init__("line too long")
        self.verb = verb


class LineBuffer:
    """What arrived and was not used yet."""

    __slots__ = ("_at", "_buffer", "_dropping", "_pieces", "_searched", "_waiting")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0  # where the next line begins
        self._searched = 0  # before this there is no CRLF
        self._pieces: list[bytes] = []  # arrived later, not joined yet
        self._waiting = 0  # octets in _pieces
        self._dropping = b""  # the beginning of the line inside which we are, if it is too long

    def __len__(self) -> int:
        """Octets held."""
        return len(self._buffer) - self._at + self._waiting

    def feed(self, data: bytes) -> None:
        """Add octets at the end."""
        if self._pieces or self._at < len(self._buffer):
            self._pieces.append(data)
            self._waiting += len(data)
            if len(self._pieces) >= _MANY_PIECES:  # a peer may send octets one by one
                self._join()
        else:
            self._buffer = data
            self._at = self._searched = 0

    def line(self, *, response: bool = False) -> bytes | None:
        """The next line without its CRLF, or None until more arrives.

        @param response: the line answers a SASL challenge, not a command.
        @raise LineTooLong: instead of such a line, once it has ended.
        """
        if self._pieces:
            self._join()
        buffer = self._buffer
        end = buffer.find(b"\r\n", self._searched)
        if end < 0:
            if self._at < len(buffer):
                self._hold(response)
            return None
        line = buffer[self._at : end]
        self._at = self._searched = end + 2
        if self._dropping or (len(line) > COMMAND_LIMIT - 2 and len(line) + 2 > _limit(line, response)):
            verb, self._dropping = self._dropping or line[:4], b""
            raise LineTooLong(verb.upper())
        return line

    def take(self, most: int | None = None) -> bytes:
        """All that is held, or the first octets of it.

        @param most: how many octets to take at most.
        """
        if self._pieces:
            self._join()
        if most is not None and most < len(self._buffer) - self._at:
            data = self._buffer[self._at : self._at + most]
            self._at += most
            self._searched = self._at
            return data
        data = self._buffer[self._at :]
        self._buffer = b""
        self._at = self._searched = 0
        return data

    def put_back(self, data: bytes) -> None:
        """Return the rest of what a L{take} of everything gave, before anything else arrived."""
        self._buffer = data

    def clear(self) -> None:
        """Throw everything away."""
        self._pieces.clear()
        self._waiting = 0
        self._dropping = b""
        self.take()

    def _join(self) -> None:
        rest = self._buffer[self._at :]
        self._searched -= self._at
        self._at = 0
        self._buffer = b"".join((rest, *self._pieces)) if rest or len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        self._waiting = 0

    def _hold(self, response: bool) -> None:
        """There is no whole line: keep the beginning of one, or what may be half a CRLF of one that is dropped."""
        if self._dropping or len(self) > _limit(self._buffer[self._at : self._at + 4], response):
            self._dropping = self._dropping or self._buffer[self._at : self._at + 4]
            self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
            self._at = self._searched = 0
        else:
            self._searched = max(self._at, len(self._buffer) - 1)


def _limit(line: bytes, response: bool) -> int:
    return AUTH_LIMIT if response else _LIMITS.get(line[:4].upper(), COMMAND_LIMIT)
