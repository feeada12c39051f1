"""Answers the HTTP-01 challenges of an ACME server, and nothing else.

What it says is public; it reads no files, takes no body, and lets few connections in at once.

Source: RFC 8555 section 8.3.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.protocols.policies import ThrottlingFactory
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

#: Where challenges are asked for.
PREFIX = b"/.well-known/acme-challenge/"

#: Connections at once: an authority looks from a handful of places.
MAX_CONNECTIONS = 50

#: Seconds that a client may take for its request.
TIMEOUT = 10.0


class Challenges(Resource):
    """The answers to the challenges that are open; filled from any thread."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[bytes, bytes] = {}

    def open(self, token: str, answer: str) -> None:
        """Answer a challenge from now on."""
        self._answers[token.encode()] = answer.encode()

    def close(self, token: str) -> None:
        """Answer it no more."""
        self._answers.pop(token.encode(), None)

    def render(self, request: HTTPRequest) -> bytes:
        """The answer to a challenge, or 404."""
        path: bytes = request.path
        answer = self._answers.get(path[len(PREFIX) :]) if path.startswith(PREFIX) else None
        if request.method not in (b"GET", b"HEAD"):
            request.setResponseCode(405)
            answer = b"not allowed\n"
        elif answer is None:
            request.setResponseCode(404)
            answer = b"not found\n"
        request.setHeader(b"content-type", b"application/octet-stream")
        return answer


class _BodylessRequest(Request):
    """A request that ends its connection when a body follows."""

    def gotLength(self, length: int | None) -> None:
        """A body would be kept until its end."""
        super().gotLength(0)
        if length != 0:
            self.channel.loseConnection()

    def handleContentChunk(self, data: bytes) -> None:
        """Forget it."""


class _ChallengeSite(Site):
    noisy = False
    displayTracebacks = False
    requestFactory = _BodylessRequest

    def log(self, request: Any) -> None:
        """Nothing: who looks at the port is none of the relay's events."""


def challenge_site(challenges: Challenges, reactor: Any) -> IProtocolFactory:
    """The web site that answers challenges."""
    site = _ChallengeSite(challenges, timeout=TIMEOUT, reactor=reactor)
    limited = ThrottlingFactory(site, maxConnectionCount=MAX_CONNECTIONS)
    limited.noisy = False
    return limited
