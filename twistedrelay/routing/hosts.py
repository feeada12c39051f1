"""The addresses of fixed hops, found as the system finds them (C{/etc/hosts}, then DNS), in the reactor's threads.

Answers are kept for a short time, and a name is asked for once however many want to know.  Once there is a hop to go to, the others are
not waited for long.  A hop that is not found is our own configuration's trouble: mail waits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing.gather import gathered
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Hop, Target

TIMEOUT = 30.0  #: seconds for one name
GRACE = 5.0  #: seconds for the other names, once one has an address
GOOD_FOR = 30.0  #: seconds an answer is kept


@implementer(IResolutionReceiver)
class _Receiver:
    """Gathers the addresses of a name."""

    def __init__(self) -> None:
        self.complete: Deferred[list[str]] = Deferred()
        self._addresses: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See L{IResolutionReceiver}."""

    def addressResolved(self, address: IAddress) -> None:
        """See L{IResolutionReceiver}."""
        host: str = address.host  # type: ignore[attr-defined]
        if host not in self._addresses:
            self._addresses.append(host)

    def resolutionComplete(self) -> None:
        """See L{IResolutionReceiver}."""
        self.complete.callback(self._addresses)


class SystemHosts:
    """See the module."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._known: dict[str, tuple[float, list[str]]] = {}  # bounded: only names of the configuration get here
        self._asking: dict[str, list[Deferred[list[str]]]] = {}

    def targets(self, hops: Sequence[Hop]) -> Deferred[list[Target]]:
        """The addresses of hops, in their order.  Fails with L{ResolutionError} where none is found."""
        found = gathered([self._addresses(hop.host) for hop in hops], bool, GRACE, TIMEOUT, self._reactor)
        return found.addCallback(self._together, hops)

    def _together(self, found: list[list[str] | None], hops: Sequence[Hop]) -> list[Target]:
        each = zip(hops, found, strict=True)
        targets = [Target(hop.host, address, hop.port) for hop, addresses in each for address in addresses or ()]
        if not targets:
            names = ", ".join(hop.host for hop in hops)
            raise ResolutionError(Reply(451, "4.4.3", f"The next hop {names} has no address"))
        return targets

    def _addresses(self, host: str) -> Deferred[list[str]]:
        try:
            return succeed([str(ipaddress.ip_address(host))])
        except ValueError:
            pass
        known = self._known.get(host)
        if known is not None and known[0] > self._reactor.seconds():
            return succeed(known[1])
        waiting: Deferred[list[str]] = Deferred()
        others = self._asking.setdefault(host, [])
        others.append(waiting)
        if len(others) == 1:
            receiver = _Receiver()
            self._reactor.nameResolver.resolveHostName(receiver, host)
            receiver.complete.addTimeout(TIMEOUT, self._reactor).addErrback(self._none).addCallback(self._learn, host)
        return waiting

    def _none(self, failure: Failure) -> list[str]:
        """The system did not answer in time."""
        return []

    def _learn(self, addresses: list[str], host: str) -> None:
        if addresses:
            self._known[host] = (self._reactor.seconds() + GOOD_FOR, addresses)
        for waiting in self._asking.pop(host):
            waiting.callback(addresses)
