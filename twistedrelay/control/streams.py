"""Server-sent events: answers that go on for as long as somebody listens.

It decides what becomes of a listener that does not keep up (the oldest records are dropped, and how many is said in their place), when a
quiet stream shows that it is alive, and how many there may be.  It never waits for a listener, and knows nothing of what it sends.

Source: HTML Living Standard, "Server-sent events" (text/event-stream).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.iweb import IRequest
from zope.interface import implementer

from twistedrelay.control.requests import RequestProblem

if TYPE_CHECKING:
    from twistedrelay.control.live import Relay

#: Listeners at a time; fewer than there are connections, so that streams cannot lock out everything else.
MAX_STREAMS = 16

#: Records that wait for a listener that does not read.
MAX_WAITING = 1000

#: Seconds between two signs of life: less than a client waits.
HEARTBEAT = 15.0

#: What tells a listener something; and what begins to tell, and returns how to end it.
Tell = Callable[[dict[str, Any]], None]
Subscribe = Callable[[Tell], Callable[[], None]]

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class Streams:
    """The streams of a relay."""

    def __init__(self) -> None:
        self._open: set[_Stream] = set()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, request: IRequest, clock: IReactorTime, subscribe: Subscribe) -> Deferred[bytes]:
        """Answer a request by a stream; fires when it is over.

        @raise RequestProblem: there are too many.
        """
        if len(self._open) >= MAX_STREAMS:
            raise RequestProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_STREAMS} streams are open already; end one of them and try again.")
        stream = _Stream(request, clock, self._open.discard)
        self._open.add(stream)
        try:
            stream.begin(subscribe)
        except BaseException:
            self._open.discard(stream)
            raise
        return stream.finished

    def close(self) -> None:
        """The relay stops: tell all listeners, and end."""
        for stream in list(self._open):
            stream.tell({"event": "end", "reason": "shutdown"})
            stream.end()


@implementer(IPushProducer)
class _Stream:
    """One listener."""

    def __init__(self, request: IRequest, clock: IReactorTime, gone: Callable[[_Stream], None]) -> None:
        self.finished: Deferred[bytes] = Deferred(self._cancelled)
        self._request: Any = request
        self._clock = clock
        self._gone = gone
        self._waiting: deque[dict[str, Any]] = deque()
        self._dropped = 0
        self._paused = False
        self._leave: Callable[[], None] | None = None
        self._heartbeat: IDelayedCall | None = None

    def begin(self, subscribe: Subscribe) -> None:
        """Say what this is, and listen."""
        self._leave = subscribe(self.tell)
        self._request.setHeader(b"content-type", b"text/event-stream")
        self._request.setHeader(b"cache-control", b"no-store")
        self._request.registerProducer(self, True)
        self._request.write(b": begins\n\n")  # so that a listener knows that nothing is missed from here on
        self._beat()

    def tell(self, record: dict[str, Any]) -> None:
        """Send a record, or keep it until the listener reads again."""
        if not self._paused:
            self._send(record)
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(record)

    def _send(self, record: dict[str, Any]) -> None:
        self._request.write(b"data: " + _encode(record).encode("ascii") + b"\n\n")

    def end(self) -> None:
        """Nothing follows."""
        if self._forget():
            self._request.unregisterProducer()
            self.finished.callback(b"")

    def _cancelled(self, finished: Deferred[bytes]) -> None:
        self._forget()

    def _forget(self) -> bool:
        """Listen no more; False where that is so already."""
        leave, self._leave = self._leave, None
        if leave is None:
            return False
        leave()
        self._gone(self)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        return True

    def _beat(self) -> None:
        self._heartbeat = self._clock.callLater(HEARTBEAT, self._beat)
        if not self._paused:
            self._request.write(b": lives\n\n")

    def pauseProducing(self) -> None:
        """The listener does not read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._paused = False
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self.tell({"event": "dropped", "count": dropped})
        while self._waiting and not self._paused:
            self._send(self._waiting.popleft())

    def stopProducing(self) -> None:
        """It is gone; the request's end follows."""
        self._forget()


def stream(request: IRequest, relay: Relay, subscribe: Subscribe) -> Deferred[bytes]:
    """An operation's answer that is a stream of what C{subscribe} tells.

    @raise RequestProblem: there are too many.
    """
    if request.method == b"HEAD":  # whose answer has an end
        return succeed(b"")
    return relay.streams.begin(request, relay.clock, subscribe)
