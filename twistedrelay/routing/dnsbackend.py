"""dnspython's asynchronous functions on a Twisted reactor: sockets made of Deferreds, without threads and without asyncio.

Queries go out by UDP from a socket of their own (a random port that only hears the server asked), by TCP where an answer was truncated.
Every wait has the time-out that dnspython gives it.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Awaitable
from typing import Any

import dns.asyncbackend
import dns.exception
import dns.inet
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

MAX_PENDING = 70_000  #: octets; more than the largest DNS message with its length


async def _within(waiting: Deferred[Any], timeout: float | None, reactor: Any) -> Any:
    if timeout is not None:
        waiting.addTimeout(timeout, reactor)
    try:
        return await waiting
    except DeferredTimeout:
        raise dns.exception.Timeout(timeout=timeout) from None


@implementer(IReadDescriptor)
class _Datagrams:
    """Datagrams from one server.  No UDP port of Twisted's, which writes four lines into the log for each question."""

    LIMIT = 16

    def __init__(self, reactor: Any, family: int, peer: tuple[str, int]) -> None:
        self._reactor = reactor
        self._received: deque[bytes | OSError] = deque(maxlen=self.LIMIT)
        self._waiting: Deferred[bytes] | None = None
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.connect(peer)
        except OSError:
            self.socket.close()
            raise
        reactor.addReader(self)

    def fileno(self) -> int:
        """See C{IFileDescriptor}."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """See C{ILoggingContext}."""
        return "dns"

    def doRead(self) -> None:
        """Something came, or the server's port is closed."""
        for _ in range(self.LIMIT):
            try:
                self._put(self.socket.recv(65535))
            except BlockingIOError:
                return
            except OSError as error:
                self._put(error)
                return

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self.close()

    def close(self) -> None:
        """Read no more."""
        self._reactor.removeReader(self)
        self.socket.close()

    def _put(self, item: bytes | OSError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._received.append(item)
        elif isinstance(item, OSError):
            waiting.errback(item)
        else:
            waiting.callback(item)

    def get(self) -> Deferred[bytes]:
        """The next one."""
        if self._received:
            item = self._received.popleft()
            return fail(item) if isinstance(item, OSError) else succeed(item)
        self._waiting = Deferred(self._given_up)
        return self._waiting

    def _given_up(self, _: Deferred[bytes]) -> None:
        self._waiting = None


class DatagramSocket(dns.asyncbackend.DatagramSocket):  # type: ignore[misc, name-defined]
    """One UDP socket, connected to a server."""

    def __init__(self, reactor: Any, family: int, datagrams: _Datagrams, peer: tuple[str, int]) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self._reactor = reactor
        self._datagrams = datagrams
        self._peer = peer

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:
        """Send to the server the socket is connected to."""
        return self._datagrams.socket.send(what)

    async def recvfrom(self, size: int, timeout: float | None) -> tuple[bytes, Any]:
        """The next datagram and where it came from."""
        data = await _within(self._datagrams.get(), timeout, self._reactor)
        return data, dns.inet.low_level_address_tuple(self._peer, self.family)

    async def close(self) -> None:
        """Close it."""
        self._datagrams.close()

    async def getpeername(self) -> Any:
        """The server's address."""
        return self._peer

    async def getsockname(self) -> Any:
        """Our address."""
        return self._datagrams.socket.getsockname()[:2]


class _Stream(Protocol):
    """A TCP connection to a server."""

    def __init__(self) -> None:
        self._pending = b""
        self._closed = False
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) > MAX_PENDING:
            self.transport.abortConnection()  # type: ignore[union-attr]
        self._wake()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _given_up(self, _: Deferred[None]) -> None:
        self._waiting = None

    def ready(self) -> Deferred[None]:
        """Fires when there is something to read, or nothing will come."""
        if self._pending or self._closed:
            return succeed(None)
        self._waiting = Deferred(self._given_up)
        return self._waiting

    def read(self, size: int) -> bytes:
        data, self._pending = self._pending[:size], self._pending[size:]
        return data


class StreamSocket(dns.asyncbackend.StreamSocket):  # type: ignore[misc, name-defined]
    """One TCP connection."""

    def __init__(self, reactor: Any, family: int, protocol: _Stream) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._reactor = reactor
        self._protocol = protocol

    async def sendall(self, what: bytes, timeout: float | None) -> None:
        """Send it; the transport buffers."""
        self._protocol.transport.write(what)  # type: ignore[union-attr]

    async def recv(self, size: int, timeout: float | None) -> bytes:
        """At most C{size} octets; none at the end."""
        await _within(self._protocol.ready(), timeout, self._reactor)
        return self._protocol.read(size)

    async def close(self) -> None:
        """Close it; nobody waits for that."""
        self._protocol.transport.abortConnection()  # type: ignore[union-attr]

    async def getpeername(self) -> Any:
        """The server's address."""
        peer: Any = self._protocol.transport.getPeer()  # type: ignore[union-attr]
        return (peer.host, peer.port)

    async def getsockname(self) -> Any:
        """Our address."""
        host: Any = self._protocol.transport.getHost()  # type: ignore[union-attr]
        return (host.host, host.port)


class TwistedBackend(dns.asyncbackend.Backend):  # type: ignore[misc, name-defined]
    """What dnspython needs of an event loop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def name(self) -> str:
        """For dnspython."""
        return "twisted"

    def datagram_connection_required(self) -> bool:
        """UDP sockets are connected, so that the kernel drops what others send."""
        return True

    async def make_socket(
        self,
        af: int,
        socktype: int,
        proto: int = 0,
        source: Any = None,
        destination: Any = None,
        timeout: float | None = None,
        ssl_context: Any = None,
        server_hostname: str | None = None,
    ) -> DatagramSocket | StreamSocket:
        """A socket to a server."""
        host, port = destination
        if socktype == socket.SOCK_DGRAM:
            return DatagramSocket(self._reactor, af, _Datagrams(self._reactor, af, (host, port)), (host, port))
        endpoint = (TCP6ClientEndpoint if af == socket.AF_INET6 else TCP4ClientEndpoint)(self._reactor, host, port, timeout or 30)
        stream: _Stream = await _within(endpoint.connect(Factory.forProtocol(_Stream)), timeout, self._reactor)
        return StreamSocket(self._reactor, af, stream)

    async def sleep(self, interval: float) -> None:
        """Wait."""
        await deferLater(self._reactor, interval)

    async def wait_for(self, awaitable: Awaitable[Any], timeout: float | None) -> Any:
        """Wait for something, not longer than C{timeout}."""
        return await _within(ensureDeferred(awaitable), timeout, self._reactor)  # type: ignore[arg-type]
