"""Connections of web clients that cannot keep others out.

It decides how long a connection may take: so many seconds for each request, from the beginning of the connection or the answer before, and
however it spends them; and as many to read its answer.  Where all places are taken, who has waited longest makes room (C{places}).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Site

from twistedrelay.observe.places import Places


class BoundedChannel(HTTPChannel):
    """HTTP/1.1, whose time for a request is not prolonged by what comes of it.

    @ivar places: where it takes one.
    @ivar seconds: what time it is.
    """

    places: Places
    seconds: Callable[[], float]
    _waiting: float | None = None  # since when, for a request
    _unread: float | None = None  # since when, for the client to read

    def connectionMade(self) -> None:
        """Take a place, or say that there is none."""
        super().connectionMade()
        self._waiting = self.seconds()
        if not self.places.enter(self, self.is_privileged()):
            self.turn_away()

    def is_privileged(self) -> bool:
        """Whether there are places for this client that others do not get."""
        return False

    def turn_away(self) -> None:
        """There is no place."""
        self.evict()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give it back."""
        self.places.leave(self)
        super().connectionLost(reason)

    def waiting_since(self) -> float | None:
        """See L{twistedrelay.observe.places.Guest}."""
        return self._waiting if self._waiting is not None else self._unread

    def evict(self) -> None:
        """See L{twistedrelay.observe.places.Guest}."""
        transport: Any = self.transport
        transport.abortConnection()

    def timeoutConnection(self) -> None:
        """There is nothing to wait for: what was to be said was said."""
        self.evict()

    def resetTimeout(self) -> None:
        """A request that comes in drops is complete in time, or not at all."""

    def allContentReceived(self) -> None:
        """The request is complete."""
        self._waiting = None
        super().allContentReceived()

    def requestDone(self, request: HTTPRequest) -> None:
        """It was answered: the next one has its time, or the client to read the last answer."""
        self._waiting = self.seconds()
        super().requestDone(request)
        if not self.persistent:
            self.setTimeout(self._savedTimeOut)

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._unread = self.seconds()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """It does again."""
        self._unread = None
        super().resumeProducing()


class BoundedSite(Site):
    """A site of such connections, without an access log."""

    protocol = BoundedChannel  # type: ignore[assignment]
    displayTracebacks = False
    noisy = False

    def __init__(self, resource: Any, reactor: Any, places: Places, timeout: float) -> None:
        super().__init__(resource, timeout=timeout, reactor=reactor)
        self.places = places
        self._seconds = reactor.seconds

    def buildProtocol(self, addr: Any) -> Any:
        """A connection."""
        made: Any = super().buildProtocol(addr)
        made.places, made.seconds = self.places, self._seconds
        return made

    def log(self, request: HTTPRequest) -> None:
        """Nothing: lines for each question help nobody."""
