"""What Twisted's TCP listener does not do by itself: V6ONLY, a longer backlog, and replies that leave once per reactor turn.

Source: RFC 3493 section 5.3 (IPV6_V6ONLY).
"""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger

#: Connections that wait to be accepted.  Twisted's default of 50 is lost in the first burst of a morning.
BACKLOG = 1024


class Turn:
    """The transports that have something to send at the end of this turn of the reactor."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[TurnTransport] = []

    def add(self, transport: TurnTransport) -> None:
        """Send for it when all that is readable now has been read."""
        if not self._waiting:
            self._clock.callLater(0, self._end)
        self._waiting.append(transport)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            try:
                transport.send()
            except Exception:  # of one session, which must not keep the others waiting
                self._log.failure("sending to {peer} failed", peer=transport.getPeer())
                transport.abortConnection()


class TurnTransport(Server):
    """A server transport that sends what was written in clear text at the end of the reactor's turn, in one piece.

    Twisted asks epoll first whether the socket can be written to: two system calls and two passes through the reactor for each reply,
    though a reply nearly always fits.  Here the reactor is asked only about what did not fit, and about errors.  Under TLS, whose layer
    gathers writes itself, nothing is changed.
    """

    turn: Turn
    _overflowed = False  # the reactor has something to send, and what comes now stands behind it

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._written: list[bytes] = []
        self._size = 0

    def write(self, bytes: bytes) -> None:
        """Send it at the end of the turn."""
        if self.TLS or self._overflowed or not self.connected:
            super().write(bytes)
            return
        if not self._written:
            self.turn.add(self)
        self._written.append(bytes)
        self._size += len(bytes)
        if self._size > self.bufferSize:  # what does not fit is for the reactor, which stops the session
            self.send()

    def send(self) -> None:
        """Send what was written."""
        written = self._written
        if not written or not self.connected:
            return
        data = written[0] if len(written) == 1 else b"".join(written)
        written.clear()
        self._size = 0
        sent = self.writeSomeData(data)
        if sent != len(data):
            self._overflowed = True
            super().write(data if isinstance(sent, Exception) else data[sent:])

    def stopWriting(self) -> None:
        """The reactor has sent all that it had."""
        self._overflowed = False
        super().stopWriting()

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """What was written before goes in clear text."""
        self.send()
        super().startTLS(ctx, normal)

    def loseConnection(self) -> None:
        """Close behind what was written."""
        self.send()
        super().loseConnection()


class ListeningPort(Port):
    """A TCP listener.  An IPv6 one takes IPv6 only, so that C{0.0.0.0:25} and C{[::]:25} are two listeners with their own connectors."""

    def __init__(self, port: int, factory: IProtocolFactory, interface: str, turn: Turn, reactor: Any) -> None:
        super().__init__(port, factory, BACKLOG, interface, reactor)
        self.transport = cast("type[Server]", type("ListeningTransport", (TurnTransport,), {"turn": turn}))

    def createInternetSocket(self) -> socket.socket:
        """The socket before it is bound."""
        made: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made
