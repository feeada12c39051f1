"""What Twisted's TCP listener does not do by itself: V6ONLY, a longer backlog, and replies that leave once per reactor turn.

Source: RFC 3493 section 5.3 (IPV6_V6ONLY).
"""

from __future__ import annotations

import socket
from typing import Any

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
    """A server transport whose writes go to the socket at the end of the turn.

    Twisted asks epoll first whether the socket can be written to: two system calls and a pass through the reactor for each reply, though
    a reply nearly always fits.  Here the reactor is asked only for what did not fit, and for closing.
    """

    turn: Turn
    _queued = False

    def startWriting(self) -> None:
        """There is something to send."""
        if self.disconnecting:
            super().startWriting()
        elif not self._queued:
            self._queued = True
            self.turn.add(self)

    def send(self) -> None:
        """Send what fits; the rest, an error or a close is the reactor's business."""
        self._queued = False
        if self.connected and (self.disconnecting or self.doWrite() is not None or self.dataBuffer):
            super().startWriting()


class ListeningPort(Port):
    """A TCP listener.  An IPv6 one takes IPv6 only, so that C{0.0.0.0:25} and C{[::]:25} are two listeners with their own connectors."""

    def __init__(self, port: int, factory: IProtocolFactory, interface: str, turn: Turn, reactor: Any) -> None:
        super().__init__(port, factory, BACKLOG, interface, reactor)

        class Transport(TurnTransport):
            pass

        Transport.turn = turn
        self.transport = Transport

    def createInternetSocket(self) -> socket.socket:
        """The socket before it is bound."""
        made: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made
