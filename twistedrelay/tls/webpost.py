"""Posts to web servers: HTTPS with a verified certificate (or HTTP, where that is asked for), bounded in size and time, no redirects.

Source: RFC 9110 (Retry-After), RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import treq
from OpenSSL import crypto
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistedrelay import __version__
from twistedrelay.tls.bounded import BoundedEndpoint
from twistedrelay.tls.serverside import reason_text

#: Seconds for a whole request.
TIMEOUT = 10.0

#: Octets of an answer that are looked at, and that may come.
SHOWN = 1000
LONGEST = 64 * 1024

_TIMED_OUT = (ConnectingCancelledError, TimeoutError, ConnectTimeout)
_TOO_LATE = f"no answer within {TIMEOUT:.0f} seconds"
_SECONDS = re.compile(r"\d{1,6}")


class PostError(Exception):
    """There is no answer; C{str()} says why."""


def trust(path: str) -> BrowserLikePolicyForHTTPS:
    """Whom to trust: the authorities of a file, the system's where there is no path.

    @raise ValueError: there are none in it.
    @raise OSError: it cannot be read.
    """
    if not path:
        return BrowserLikePolicyForHTTPS()
    marker = b"-----BEGIN CERTIFICATE-----"
    with open(path, "rb") as stream:
        parts = stream.read().split(marker)[1:]
    try:
        found = [Certificate.loadPEM(marker + part) for part in parts]
    except crypto.Error:
        found = []
    if not found:
        raise ValueError(f"there is no certificate in {path}")
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(found))


def poster(reactor: Any, url: str, ca_file: str) -> Callable[[bytes, dict[str, str]], Deferred[tuple[int, float, str]]]:
    """What posts to an address: gives the status, how many seconds to wait where that was said, and the beginning of the body.

    It fails with L{PostError}; cancelled, with L{CancelledError}.

    @raise ValueError: C{ca_file} has no certificates.
    @raise OSError: it cannot be read.
    """
    pool = HTTPConnectionPool(reactor, persistent=False)
    client = HTTPClient(Agent.usingEndpointFactory(reactor, _Endpoints(reactor, trust(ca_file)), pool))

    async def post(body: bytes, headers: dict[str, str]) -> tuple[int, float, str]:
        answer = bytearray()
        given = Headers({name: [value] for name, value in headers.items()})
        given.setRawHeaders("user-agent", [f"twistedrelay/{__version__}"])
        try:
            response = await client.post(
                url, data=body, headers=given, allow_redirects=False, unbuffered=True, timeout=TIMEOUT, reactor=reactor
            )
            if 200 <= response.code < 300:
                # Its body is nobody's business, and may never end.
                _drop(response)
            else:
                await treq.collect(response, answer.extend).addTimeout(TIMEOUT, reactor)
        except Exception as error:  # of connecting, TLS, HTTP: all mean that there is no answer
            if isinstance(error, CancelledError):
                raise
            raise PostError(_reason(error)) from None
        asked = (response.headers.getRawHeaders("retry-after") or [""])[0].strip()
        seconds = float(asked) if _SECONDS.fullmatch(asked) else 0.0
        return response.code, seconds, bytes(answer[:SHOWN]).decode("utf-8", "replace")

    return lambda body, headers: Deferred.fromCoroutine(post(body, headers))


def _drop(response: Any) -> None:
    """End the connection of an answer whose body nobody wants."""
    collected = treq.collect(response, lambda octets: None)
    collected.addErrback(lambda failure: None)  # it was cut off


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Connections that have an end."""

    def __init__(self, reactor: Any, policy: BrowserLikePolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> Any:
        """See L{IAgentEndpointFactory}."""
        endpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=TIMEOUT)
        bounded = BoundedEndpoint(endpoint, self._reactor, LONGEST, 2 * TIMEOUT)
        if uri.scheme == b"http":
            return bounded
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), bounded)


def _reason(error: Exception) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, _TIMED_OUT):
        return _TOO_LATE
    if isinstance(error, RequestTransmissionFailed | ResponseFailed):  # ResponseNeverReceived is one
        if all(failure.check(CancelledError, *_TIMED_OUT) for failure in error.reasons):
            return _TOO_LATE
        return "the connection failed: " + "; ".join(dict.fromkeys(reason_text(failure.value) for failure in error.reasons))
    if isinstance(error, DNSLookupError):
        return "its name cannot be resolved"
    if isinstance(error, ConnectError):
        return f"it cannot be connected to: {error}"
    return f"{type(error).__name__}: {error}"
