"""Fetches small documents by HTTPS, bounded in size and time, without redirects.

Source: RFC 9110; RFC 7517 section 8.5 (media type), which many providers do not send and which is therefore not asked for.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from twistedrelay import __version__
from twistedrelay.policy.oauth.keys import KeysError

_LONGEST = 256 * 1024
_TIMEOUT = 10.0


class _Body(Protocol):
    """Collects the body of a response."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._chunks: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _LONGEST and not self.done.called:
            self.done.errback(KeysError(f"the answer is longer than {_LONGEST} octets"))
            self._stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):  # of an answer without a length: JSON shows whether it is whole
            self.done.callback(b"".join(self._chunks))
        else:
            self.done.errback(KeysError("the answer ended too early"))

    def _stop(self) -> None:
        if self.transport is not None:
            abort: Any = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            abort()


class Fetcher:
    """Fetches with certificates checked against the system's authorities."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._agent = Agent(reactor, connectTimeout=_TIMEOUT, pool=HTTPConnectionPool(reactor, persistent=False))

    def __call__(self, url: str) -> Deferred[bytes]:
        """The octets at an address.  Fails where they cannot be had."""
        return self._fetch(url).addTimeout(_TIMEOUT, self._reactor)

    @inlineCallbacks
    def _fetch(self, url: str) -> Any:
        headers = Headers({"User-Agent": [f"twistedrelay/{__version__}"], "Accept": ["application/json"]})
        response: Any = yield self._agent.request(b"GET", url.encode("ascii"), headers)
        if response.code != 200:
            raise KeysError(f"HTTP status {response.code}")
        body = _Body()
        response.deliverBody(body)
        return (yield body.done)
