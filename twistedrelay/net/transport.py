"""What Twisted's TCP listener does not do by itself: V6ONLY, a longer backlog, rest where descriptors run out, and replies that leave
once per reactor turn.

Sources: RFC 3493 section 5.3 (IPV6_V6ONLY), accept(2).
"""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.net.descriptors import EXHAUSTED, REST, Reserve

#: Connections that wait to be accepted.  Twisted's default of 50 is lost in the first burst of a morning.
BACKLOG = 1024

#: Connections to accept before others have their turn.
ACCEPTS = 128

#: Octets that a peer may send behind our last words.
MOST_DISCARDED = 4 * 1024 * 1024


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

    def lingering_close(self) -> None:
        """Close for writing behind what was written, then throw away what the peer still sends, until it closes.

        A socket that is closed over unread input is reset, and the peer may lose what was said last.
        """
        self.protocol = _Deaf(self, self.protocol)
        self.send()
        self.loseWriteConnection()


class _Deaf(Protocol):
    """The protocol of a transport whose peer may only close it."""

    def __init__(self, transport: TurnTransport, protocol: Any) -> None:
        self.transport: TurnTransport = transport
        self._protocol = protocol
        self._left = MOST_DISCARDED

    def dataReceived(self, data: bytes) -> None:
        """Throw it away, within bounds."""
        self._left -= len(data)
        if self._left < 0:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of the session."""
        self._protocol.connectionLost(reason)


class ListeningPort(Port):
    """A TCP listener.  An IPv6 one takes IPv6 only, so that C{0.0.0.0:25} and C{[::]:25} are two listeners with their own connectors.

    Where descriptors run out, Twisted accepts and drops all who wait, without a word and as fast as it can; here they hear C{last_words},
    some at a time.
    """

    _log = Logger()

    def __init__(
        self, port: int, factory: IProtocolFactory, interface: str, turn: Turn, reactor: Any, reserve: Reserve, last_words: bytes = b""
    ) -> None:
        super().__init__(port, factory, BACKLOG, interface, reactor)
        self._reserve = reserve
        self._last_words = last_words
        self._clock: IReactorTime = reactor
        self._sessions: Any = factory
        self._resting: Any = None
        self.transport = cast("type[Server]", type("ListeningTransport", (TurnTransport,), {"turn": turn}))

    def createInternetSocket(self) -> socket.socket:
        """The socket before it is bound."""
        made: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made

    def bind(self, *, beside: bool = False) -> None:
        """Take the address, so that nobody else can; who connects is not let in yet.  L{CannotListenError} where it cannot be had.

        @param beside: a listener of ours has it, or a part of it, and is told so (L{share}).
        """
        made: socket.socket | None = None
        try:
            made = self.createInternetSocket()
            if beside:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind(socket.getaddrinfo(self.interface, self.port, self.addressFamily, socket.SOCK_STREAM)[0][4])
        except OSError as error:
            if made is not None:
                made.close()
            raise CannotListenError(self.interface, self.port, error) from None
        self._preexistingSocket: socket.socket | None = made

    def share(self, shared: bool) -> None:
        """Let another listener of ours have a part of the address, or no more."""
        taken = self._preexistingSocket if self._preexistingSocket is not None else self.socket
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))

    def startListening(self) -> None:
        """Listen, on the address that was taken where L{bind} has been called."""
        if self._preexistingSocket is None:
            self.bind()
        assert self._preexistingSocket is not None
        try:
            self._preexistingSocket.listen(self.backlog)
        except OSError as error:
            self.give_back()
            raise CannotListenError(self.interface, self.port, error) from None
        super().startListening()

    @property
    def is_bound(self) -> bool:
        """Whether the address is taken, and nobody is let in yet."""
        return self._preexistingSocket is not None

    def give_back(self) -> None:
        """Leave an address that was only taken."""
        if self._preexistingSocket is not None:
            self._preexistingSocket.close()
            self._preexistingSocket = None

    def change(self, factory: Any, last_words: bytes) -> None:
        """Those who are accepted from now on are another factory's."""
        old: Any = self.factory
        self.factory = factory
        factory.doStart()
        old.doStop()
        self._sessions, self._last_words = factory, last_words

    def finish(self) -> Any:
        """Accept who is here already, then listen no more."""
        for _ in range(BACKLOG // ACCEPTS):
            if self._resting is None:
                self.doRead()
        return self.stopListening()

    def doRead(self) -> None:
        """Accept who waits."""
        self._reserve.hold()
        for _ in range(ACCEPTS):
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._reserve.refuse(self.socket, self._last_words, error)
                    self.stopReading()
                    self._resting = self._clock.callLater(REST, self._rested)
                    return
                continue
            try:
                self._begin(accepted, address)
            except Exception:
                self._log.failure("a connection could not begin")
                accepted.close()

    def _begin(self, accepted: socket.socket, address: Any) -> None:
        if len(address) == 4 and address[3]:  # a link-local peer is shown with its scope
            address = (socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], *address[1:])
        protocol = self._sessions.buildProtocol(self._buildAddr(address))
        number = self.sessionno
        self.sessionno = number + 1
        transport = self.transport(accepted, protocol, address, self, number, self.reactor)
        try:
            protocol.makeConnection(transport)
        except Exception:
            self._log.failure("the session of {peer} could not begin", peer=transport.getPeer())
            transport.abortConnection()

    def _rested(self) -> None:
        self._resting = None
        self.startReading()

    def loseConnection(self, *arguments: Any) -> Any:
        """Listen no more."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        return super().loseConnection(*arguments)

    stopListening = loseConnection
