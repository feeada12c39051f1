"""What monitoring asks by HTTP: C{/metrics}, C{/healthz} (the reactor turns) and C{/readyz} (fit for work; 503 where not).

It decides how the answers look, and that nothing can be changed here; who may ask is decided by the address it listens on.  It counts as
trusted, but is bounded all the same: so many connections, of which the one that does nothing makes room for another, so long for each
request, and no bodies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from twistedrelay.observe.channel import BoundedSite
from twistedrelay.observe.health import Check, Health
from twistedrelay.observe.metrics import Metrics
from twistedrelay.observe.places import Places

MAX_CONNECTIONS = 32
REQUEST_TIMEOUT = 30.0  #: seconds for a request, from the beginning of a connection or from the answer before; and to read the answer
MAX_BODY = 1024  #: octets that a request may have behind its header for no reason


def readiness(checks: Sequence[Check]) -> dict[str, object]:
    """The document of C{/readyz}."""
    shown = [{"name": check.name, "ok": check.ok, "reason": check.reason} for check in checks]
    return {"ready": all(check.ok for check in checks), "checks": shown}


class _Page(Resource):
    """One answer."""

    isLeaf = True
    _log = Logger()

    def render_GET(self, request: Request) -> int:
        """Answer, now or when it is known."""
        gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _: gone.append(True))

        def write(answer: tuple[int, str, bytes]) -> None:
            if gone:
                return
            status, content_type, body = answer
            request.setResponseCode(status)
            request.setHeader(b"content-type", content_type.encode("ascii"))
            request.setHeader(b"cache-control", b"no-store")
            request.setHeader(b"content-length", b"%d" % len(body))
            request.write(body)
            request.finish()

        self.answer(request).addErrback(self._failed).addCallback(write)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> tuple[int, str, bytes]:
        self._log.failure("a question of the monitoring failed", failure)
        return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", b"The relay failed to answer; its log says why.\n"

    def answer(self, request: Request) -> Deferred[tuple[int, str, bytes]]:
        """Status, content type and body."""
        return Deferred.fromCoroutine(self._answer(request))

    async def _answer(self, request: Request) -> tuple[int, str, bytes]:
        """The reactor turns: else nobody would say so."""
        return HTTPStatus.OK, "text/plain; charset=utf-8", b"alive\n"


class _Ready(_Page):
    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    async def _answer(self, request: Request) -> tuple[int, str, bytes]:
        found = readiness(await self._health.check())
        status = HTTPStatus.OK if found["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", json.dumps(found).encode() + b"\n"


class _Metrics(_Page):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    async def _answer(self, request: Request) -> tuple[int, str, bytes]:
        accept = request.getHeader(b"accept") or b""
        content_type, body = await self._metrics.exposition(accept.decode("ascii", "replace"))
        return HTTPStatus.OK, content_type, body


class _Request(Request):
    """A request without a body."""

    _taken = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Nothing wants it; one that is long ends the connection."""
        self._taken += len(data)
        if self._taken > MAX_BODY:
            self.channel.loseConnection()


class MonitoringSite(BoundedSite):
    """The site."""

    requestFactory = _Request


def monitoring_factory(metrics: Metrics, health: Health, reactor: Any) -> MonitoringSite:
    """What listens."""
    root = Resource()
    root.putChild(b"metrics", _Metrics(metrics))
    root.putChild(b"healthz", _Page())
    root.putChild(b"readyz", _Ready(health))
    return MonitoringSite(root, reactor, Places(MAX_CONNECTIONS, 0), REQUEST_TIMEOUT)
