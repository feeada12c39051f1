"""Fetches MTA-STS policies by HTTPS: C{https://mta-sts.<domain>/.well-known/mta-sts.txt}.

The certificate must be good for that very host.  Redirects are not followed; size and time are bounded, those of the header too; the
answer must be C{text/plain} and whole.  The host is looked up by the relay's own DNS servers, like mail hosts, and likewise it has no
private address: whoever sends mail says where we connect to.

Source: RFC 8461 section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistedrelay import __version__
from twistedrelay.interfaces import INames, ResolutionError
from twistedrelay.routing.mtasts import Policy, PolicyError, parse
from twistedrelay.routing.special import is_special
from twistedrelay.tls.bounded import BoundedEndpoint
from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.values.route import TLSPolicy

LONGEST = 64 * 1024  #: octets of a policy
MOST_OCTETS = 4 * LONGEST  #: of a connection, with TLS and HTTP
TIMEOUT = 20.0  #: seconds for all of it; the RFC's minute would keep mail waiting for long
CONNECT_TIMEOUT = 8.0  #: seconds for one address
MAX_ADDRESSES = 4
HTTPS = 443

_WEB_PKI = TLSPolicy("domain", source="mta-sts")
_LATE = "no answer in time"


def _failed(text: str) -> PolicyError:
    return PolicyError("sts-policy-fetch-error", f"the MTA-STS policy cannot be fetched: {text}")


class PolicyFetcher:
    """See the module.

    @param contexts: whom to trust.
    @param private: the hosts may have private, loopback or other special addresses.
    """

    def __init__(self, reactor: Any, names: INames, contexts: ClientContexts, port: int = HTTPS, *, private: bool = False) -> None:
        self._reactor = reactor
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._endpoints = _Endpoints(reactor, names, contexts, port, private)
        self._agent = Agent.usingEndpointFactory(reactor, self._endpoints, pool)

    def change(self, *, private: bool) -> None:
        """The hosts may have private addresses from now on, or no longer."""
        self._endpoints.private = private

    def __call__(self, domain: str) -> Deferred[Policy]:
        """The policy of a domain.  Fails with L{PolicyError}."""
        return Deferred.fromCoroutine(self._fetch(domain)).addTimeout(TIMEOUT, self._reactor, _late).addErrback(_classified)

    async def _fetch(self, domain: str) -> Policy:
        url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt".encode("ascii")
        response: Any = await self._agent.request(b"GET", url, Headers({"User-Agent": [f"twistedrelay/{__version__}"]}))
        body = _Body()
        kind = (response.headers.getRawHeaders("Content-Type") or [""])[0].partition(";")[0].strip().lower()
        if response.code != 200 or kind != "text/plain":
            body.done.addErrback(lambda _: None)
            response.deliverBody(body)
            body.stop()
            raise _failed(f"the answer is {response.code}" if response.code != 200 else f"it is {kind[:40]!r} and not text/plain")
        response.deliverBody(body)
        return parse(await body.done)


def _late(outcome: Any, seconds: float) -> Any:
    """Its time was over; what it was doing then has many names."""
    return Failure(_failed(_LATE)) if isinstance(outcome, Failure) else outcome


def _classified(failure: Failure) -> Failure:
    """Which kind of failure it was."""
    error = failure.value
    if isinstance(error, PolicyError):
        return failure
    reasons = [getattr(reason, "value", reason) for reason in getattr(error, "reasons", ())] or [error]
    for reason in reasons:
        if isinstance(reason, UntrustedPeer | SSL.Error):
            text = str(reason) or "no TLS"
            return Failure(PolicyError("sts-webpki-invalid", f"the MTA-STS policy cannot be fetched: {text}"))
    text = _LATE if isinstance(reasons[0], TimedOut | CancelledError) else str(reasons[0]) or type(reasons[0]).__name__
    return Failure(_failed(text[:200]))


class _Body(Protocol):
    """Collects the body of a response."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self.stop())
        self._octets = b""

    def dataReceived(self, data: bytes) -> None:
        self._octets += data
        if len(self._octets) > LONGEST and not self.done.called:
            self.done.errback(_failed(f"it is longer than {LONGEST} octets"))
            self.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(self._octets)
        else:  # also where nothing says that it was all: who cut it off may have meant to
            self.done.errback(_failed("the answer is not whole"))

    def stop(self) -> None:
        """No more of it is wanted."""
        if self.transport is not None:
            abort: Any = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            abort()


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, reactor: Any, names: INames, contexts: ClientContexts, port: int, private: bool) -> None:
        self._reactor = reactor
        self._names = names
        self._contexts = contexts
        self._port = port
        self.private = private

    def endpointForURI(self, uri: URI) -> Any:
        """See L{IAgentEndpointFactory}."""
        host = uri.host.decode("ascii")
        return wrapClientTLS(self._contexts.creator(_WEB_PKI, host), _Host(self._reactor, self._names, host, self._port, self.private))


@implementer(IStreamClientEndpoint)
class _Host:
    """The addresses of a host, tried in turn."""

    def __init__(self, reactor: Any, names: INames, host: str, port: int, private: bool) -> None:
        self._reactor = reactor
        self._names = names
        self._host = host
        self._port = port
        self._private = private

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> Any:
        asked = [self._names.query(self._host, kind) for kind in ("A", "AAAA")]
        answers: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        addresses = [record.address for found, answer in answers if found and answer[0] is not None for record in answer[0]]
        error: Exception = ResolutionError(answers[0][1].value.reply) if not any(found for found, _ in answers) else _failed("no address")
        if not self._private and addresses:
            addresses = [address for address in addresses if not is_special(address)]
            error = _failed("its addresses are private or of this host")
        for address in addresses[:MAX_ADDRESSES]:
            kind: Callable[..., Any] = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            try:
                endpoint = kind(self._reactor, address, self._port, timeout=CONNECT_TIMEOUT)
                return await BoundedEndpoint(endpoint, self._reactor, MOST_OCTETS, TIMEOUT).connect(factory)
            except (ConnectError, OSError) as refused:
                error = refused
        raise error
