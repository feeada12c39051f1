"""A client's connection with an end: so many octets and so many seconds, whatever the other side does.

An HTTP client bounds the body that it was told to read; it does not bound headers, what comes behind the body, or how long a peer may
take to agree to the end of TLS.  This does, below TLS: beyond the bounds the connection is dropped.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer


class _Bounded(ProtocolWrapper):
    factory: _BoundedFactory
    _octets = 0
    _end: IDelayedCall

    def connectionMade(self) -> None:
        self._end = self.factory.clock.callLater(self.factory.seconds, self.abortConnection)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._octets += len(data)
        if self._octets > self.factory.octets:
            self.abortConnection()
        else:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._end.active():
            self._end.cancel()
        super().connectionLost(reason)


class _BoundedFactory(WrappingFactory):
    noisy = False
    protocol = _Bounded

    def __init__(self, factory: Any, clock: Any, octets: int, seconds: float) -> None:
        super().__init__(factory)
        self.clock = clock
        self.octets = octets
        self.seconds = seconds


@implementer(IStreamClientEndpoint)
class BoundedEndpoint:
    """Makes such connections.

    @param endpoint: by which they are made.
    @param octets: that may come.
    @param seconds: that one may last.
    """

    def __init__(self, endpoint: Any, clock: Any, octets: int, seconds: float) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._octets = octets
        self._seconds = seconds

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        factory = protocolFactory
        while factory is not None:  # each would tell the log of each connection
            factory.noisy = False
            factory = getattr(factory, "wrappedFactory", None)
        made: Deferred[Any] = self._endpoint.connect(_BoundedFactory(protocolFactory, self._clock, self._octets, self._seconds))
        return made.addCallback(lambda connection: connection.wrappedProtocol)
