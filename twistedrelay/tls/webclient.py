"""Posts to web servers: HTTPS with a verified certificate (or HTTP, where that is asked for), bounded in size and time, no redirects.

It decides what an answer is and how a request that got none reads; it never looks into an answer.

Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import treq
from OpenSSL import crypto
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Cooperator
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from twistedrelay import __version__
from twistedrelay.tls.bounded import BoundedEndpoint
from twistedrelay.tls.serverside import reason_text

_MARKER = b"-----BEGIN CERTIFICATE-----"


class WebError(Exception):
    """There is no answer, or not all of it; C{str()} says why.

    @ivar status: of an answer whose body did not come to its end; 0: there is none.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


def trust(pem: bytes) -> BrowserLikePolicyForHTTPS:
    """Whom to trust: these authorities.

    @raise ValueError: there are none.
    """
    try:
        found = [Certificate.loadPEM(_MARKER + part) for part in pem.split(_MARKER)[1:]]
    except crypto.Error:
        found = []
    if not found:
        raise ValueError("there is no certificate in it")
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(found))


class WebClient:
    """Sends requests."""

    def __init__(
        self, reactor: Any, policy: BrowserLikePolicyForHTTPS | None = None, *, seconds: float, octets: int, clear: bool = False
    ) -> None:
        """
        @param policy: whom to trust; None: the system's authorities.
        @param seconds: that the answer may take, and again its body.
        @param octets: that may come on one connection.
        @param clear: HTTP without TLS is as good, where the address says so.
        """
        self._reactor = reactor
        self._seconds = seconds
        self._turns = Cooperator(scheduler=lambda work: reactor.callLater(0, work))
        endpoints = _Endpoints(reactor, policy or BrowserLikePolicyForHTTPS(), seconds, octets, clear)
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, HTTPConnectionPool(reactor, persistent=False))

    async def post(self, url: str, body: bytes, fields: Mapping[str, str], take: Callable[[bytes], None]) -> IResponse:
        """The answer, when all of it is there.

        @param take: gets the body; may raise L{WebError}.
        @raise WebError: there is no answer, or not all of it.
        @raise CancelledError: the request was cancelled.
        """
        headers = Headers({name: [value] for name, value in fields.items()})
        headers.setRawHeaders("user-agent", [f"twistedrelay/{__version__}"])
        clock, seconds = self._reactor, self._seconds
        began, status = clock.seconds(), 0
        try:
            asked = self._agent.request(b"POST", url.encode("ascii"), headers, FileBodyProducer(io.BytesIO(body), self._turns))
            response: IResponse = await asked.addTimeout(seconds, clock)
            status = response.code
            await treq.collect(response, take).addTimeout(seconds, clock)
        except WebError:
            raise
        except Exception as error:  # of connecting, TLS, HTTP: all mean that there is no answer
            late = clock.seconds() - began >= seconds  # what it was doing then has many names
            if isinstance(error, CancelledError) and not late:
                raise
            raise WebError(f"no answer within {seconds:.0f} seconds" if late else _reason(error), status) from None
        return response


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Connections that have an end."""

    def __init__(self, reactor: Any, policy: BrowserLikePolicyForHTTPS, seconds: float, octets: int, clear: bool) -> None:
        self._reactor = reactor
        self._policy = policy
        self._seconds = seconds
        self._octets = octets
        self._clear = clear

    def endpointForURI(self, uri: URI) -> Any:
        """See L{IAgentEndpointFactory}."""
        endpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=self._seconds)
        bounded = BoundedEndpoint(endpoint, self._reactor, self._octets, 2 * self._seconds)
        if self._clear and uri.scheme == b"http":
            return bounded
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), bounded)


def _reason(error: Exception) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, RequestTransmissionFailed | ResponseFailed):  # ResponseNeverReceived is one
        return "the connection failed: " + "; ".join(dict.fromkeys(reason_text(failure.value) for failure in error.reasons))
    if isinstance(error, DNSLookupError):
        return "its name cannot be resolved"
    if isinstance(error, ConnectError):
        return f"it cannot be connected to: {error}"
    return f"{type(error).__name__}: {error}"
