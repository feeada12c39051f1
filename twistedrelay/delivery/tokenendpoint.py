"""Requests to a token endpoint: HTTPS with a verified certificate, bounded in size and time, without redirects.

Needs the extra C{[oauth]}; imported only where a login needs a token.

Source: RFC 6749 section 3.2.
"""

from __future__ import annotations

from typing import Any

import treq
from OpenSSL import crypto
from treq.client import HTTPClient
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistedrelay import __version__
from twistedrelay.tls.bounded import BoundedEndpoint
from twistedrelay.values.oauth import HEADERS, LONGEST_ANSWER, OAuthError

#: Seconds for a whole request.
TIMEOUT = 20.0

_TOO_LATE = f"no answer within {TIMEOUT:.0f} seconds"


def authorities(pem: bytes) -> Any:
    """The trust in the certificates of a file.

    @raise OAuthError: there are none in it.
    """
    marker = b"-----BEGIN CERTIFICATE-----"
    try:
        found = [Certificate.loadPEM(marker + part) for part in pem.split(marker)[1:]]
    except crypto.Error:
        found = []
    if not found:
        raise OAuthError("there is no certificate in ca_file")
    return trustRootFromCertificates(found)


class TokenEndpoint:
    """Sends requests.

    @param reactor: TCP and time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    async def post(self, url: str, body: bytes, pem: bytes = b"") -> tuple[int, bytes]:
        """The status and the octets of an answer.

        @param pem: the authorities to trust, the system's where empty.
        @raise OAuthError: there is no answer.
        """
        policy = BrowserLikePolicyForHTTPS(authorities(pem)) if pem else BrowserLikePolicyForHTTPS()
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        client = HTTPClient(Agent.usingEndpointFactory(self._reactor, _Endpoints(self._reactor, policy), pool))
        headers = {**HEADERS, "User-Agent": f"twistedrelay/{__version__}"}
        answer = bytearray()

        def take(octets: bytes) -> None:
            answer.extend(octets)
            if len(answer) > LONGEST_ANSWER:
                raise OAuthError(f"the answer is longer than {LONGEST_ANSWER} octets")

        began = self._reactor.seconds()
        try:
            response = await client.post(
                url, data=body, headers=headers, allow_redirects=False, unbuffered=True, timeout=TIMEOUT, reactor=self._reactor
            )
            await treq.collect(response, take).addTimeout(TIMEOUT, self._reactor)
        except OAuthError:
            raise
        except Exception as error:  # of connecting, TLS, HTTP: all mean that there is no answer
            late = self._reactor.seconds() - began >= TIMEOUT  # what it was doing then has many names
            raise OAuthError(_TOO_LATE if late else _reason(error)) from None
        return response.code, bytes(answer)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """HTTPS and nothing else, over connections that have an end."""

    def __init__(self, reactor: Any, policy: BrowserLikePolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> Any:
        """See L{IAgentEndpointFactory}."""
        endpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=TIMEOUT)
        bounded = BoundedEndpoint(endpoint, self._reactor, 2 * LONGEST_ANSWER, 2 * TIMEOUT)
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), bounded)


def _reason(error: Exception) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, ResponseFailed | ResponseNeverReceived):
        inner = [str(failure.value) for failure in error.reasons]
        return "the connection failed: " + "; ".join(dict.fromkeys(inner))
    if isinstance(error, DNSLookupError):
        return "its name cannot be resolved"
    if isinstance(error, ConnectError):
        return f"it cannot be connected to: {error}"
    return f"{type(error).__name__}: {error}"
