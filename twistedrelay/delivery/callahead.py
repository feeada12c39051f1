"""Asks a next hop about addresses over a few connections, which are kept for the next question.

Decides whom to connect to, and what a failure is worth: a server that could not be reached is left alone for a moment, so that not every
recipient waits for it.  TLS is used where it is offered, as for mail within the organisation.  Every question ends when whoever asks
cancels it.

Source: postconf(5) (reject_unverified_recipient).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import attrs
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory

from twistedrelay.delivery.probe import CallAheadFailed, Probe
from twistedrelay.interfaces import IResolver
from twistedrelay.values.address import Address
from twistedrelay.values.route import Hop, Route, Target, TLSPolicy
from twistedrelay.wire.client_values import ClientSettings

CONNECTIONS = 4
MAX_TARGETS = 4
CONNECT_TIMEOUT = 5.0
GREETING_TIMEOUT = 8.0  #: for the greeting, EHLO and TLS; there must be time for another address
LEFT_ALONE = 10.0  #: seconds that a server which could not be reached is not asked

ClientCreator = Callable[[TLSPolicy, str], IOpenSSLClientConnectionCreator]


class NextHop(Protocol):
    """The next hop of an accepted domain, as the configuration has it."""

    @property
    def kind(self) -> str:
        """C{"smtp"} or C{"lmtp"}."""

    @property
    def host(self) -> str:
        """A name or an address."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def path(self) -> str:
        """The UNIX socket, where there is one."""


def call_ahead(reactor: Any, resolver: IResolver, client_creator: ClientCreator, helo: str) -> Callable[[NextHop], CallAhead]:
    """What makes the L{CallAhead} of a next hop."""

    def make(hop: NextHop) -> CallAhead:
        kind: Literal["smtp", "lmtp"] = "lmtp" if hop.kind == "lmtp" else "smtp"
        hops = () if hop.path else (Hop(hop.host, hop.port),)
        route = Route("", hop.host or hop.path, "SmtpDeliveryToMailbox", kind=kind, hops=hops, path=hop.path, helo=helo)
        return CallAhead(reactor, resolver, client_creator, route)

    return make


@attrs.define(slots=True, eq=False)
class CallAhead:
    """Questions to one next hop."""

    reactor: Any
    resolver: IResolver
    client_creator: ClientCreator
    route: Route
    _turns: DeferredSemaphore = attrs.Factory(lambda: DeferredSemaphore(CONNECTIONS))
    _idle: list[Probe] = attrs.Factory(list)
    _down: tuple[float, str] = (0.0, "")
    _stopped: bool = False

    def ask(self, address: Address) -> Deferred[bool | None]:
        """Whether the next hop takes mail for an address; None where it cannot tell, a failure where it cannot be asked."""
        return Deferred.fromCoroutine(self._ask(address))

    def stop(self) -> None:
        """Close the connections."""
        self._stopped = True
        for session in list(self._idle):
            session.quit()

    async def _ask(self, address: Address) -> bool | None:
        await self._turns.acquire()
        try:
            while self._idle:
                try:
                    return await self._over(self._idle.pop(), address)
                except CallAheadFailed:  # a kept connection may have gone stale
                    continue
            return await self._over(await self._connect(), address)
        finally:
            self._turns.release()

    async def _over(self, session: Probe, address: Address) -> bool | None:
        try:
            answer = await session.ask(address)
        except Exception:
            session.abort()
            raise
        if session.usable and not self._stopped:
            self._idle.append(session)
            session.rest(self._gone)
        else:
            session.abort()
        return answer

    def _gone(self, session: Probe) -> None:
        if session in self._idle:
            self._idle.remove(session)

    async def _connect(self) -> Probe:
        until, why = self._down
        if until > self.reactor.seconds():
            raise CallAheadFailed(why)
        try:
            targets: list[Target | None] = [None] if self.route.path else [*await self.resolver.targets(self.route)]
            return await self._first(targets[:MAX_TARGETS])
        except CancelledError:
            raise
        except Exception as error:  # of the resolver, an endpoint or a session: nobody answers there
            why = "it does not greet" if isinstance(error, defer.TimeoutError) else str(error)
            self._down = self.reactor.seconds() + LEFT_ALONE, why
            raise CallAheadFailed(why) from error

    async def _first(self, targets: list[Target | None]) -> Probe:
        """A connection to the first of them that answers."""
        trouble: Exception = CallAheadFailed("it has no address")
        for target in targets:
            try:
                return await self._at(target)
            except CancelledError:
                raise
            except Exception as error:
                trouble = error
        raise trouble

    async def _at(self, target: Target | None) -> Probe:
        probe = await self._open(target, secure=target is not None)
        try:
            await probe.established.addTimeout(GREETING_TIMEOUT, self.reactor)
        except CallAheadFailed:
            if not probe.handshake_failed:
                raise
            probe = await self._open(target, secure=False)
            await probe.established.addTimeout(GREETING_TIMEOUT, self.reactor)
        return probe

    async def _open(self, target: Target | None, *, secure: bool) -> Probe:
        settings = ClientSettings(self.route.helo, self.route.kind == "lmtp", "may" if secure else "never")
        creator = self.client_creator(TLSPolicy("may"), target.host) if secure and target is not None else None
        factory: Factory = Factory.forProtocol(lambda: Probe(self.reactor, settings, creator))
        factory.noisy = False
        endpoint: Any
        if target is None:
            unix: Any = UNIXClientEndpoint
            endpoint = unix(self.reactor, self.route.path, timeout=CONNECT_TIMEOUT)
        else:
            kind = TCP6ClientEndpoint if ":" in target.address else TCP4ClientEndpoint
            endpoint = kind(self.reactor, target.address, target.port, timeout=CONNECT_TIMEOUT)
        probe: Probe = await endpoint.connect(factory)
        return probe
