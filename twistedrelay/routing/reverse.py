"""Names of clients in the DNS, for people who look at the ledger.

It decides how many are asked for at a time and how long that may take: what is not known then is left out, and will be known the next time.
The answers are kept apart from those that mail depends on, and nothing here is ever asked for the sake of mail.

Sources: RFC 1035 section 3.5 (in-addr.arpa), RFC 3596 section 2.5 (ip6.arpa).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import dns.exception
import dns.reversename
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twistedrelay.interfaces import INames
from twistedrelay.routing.names import Names

T = TypeVar("T")

AT_A_TIME = 20
PATIENCE = 3.0  #: seconds for all of a question
MOST = 1000  #: addresses of a question


class ReverseNames:
    """See the module."""

    def __init__(self, reactor: Any, servers: Sequence[str], names: INames | None = None) -> None:
        """
        @param servers: as L{Names} takes them.
        @param names: for tests.
        """
        self._reactor = reactor
        self._servers = servers
        self._names = names

    def __call__(self, addresses: Collection[str]) -> Deferred[dict[str, str]]:
        """The names of addresses, as far as they can be had soon.  Never fails."""
        found: dict[str, str] = {}
        semaphore = DeferredSemaphore(AT_A_TIME)
        answered: Deferred[dict[str, str]] = Deferred()

        def enough(_: object = None) -> None:
            # What is under way goes on: its answer is kept for the next time.
            if not answered.called:
                answered.callback(dict(found))

        def ask(address: str) -> Deferred[None] | None:
            return None if answered.called else self._ask(address, found)

        timer = self._reactor.callLater(PATIENCE, enough)
        answered.addCallback(_without(timer))
        asked = [semaphore.run(ask, address) for address in list(addresses)[:MOST]]
        DeferredList([each.addErrback(_nobody_knows) for each in asked]).addCallback(enough)
        return answered

    def _ask(self, address: str, found: dict[str, str]) -> Deferred[None] | None:
        try:
            name = dns.reversename.from_address(address).to_text(omit_final_dot=True)
        except (dns.exception.SyntaxError, ValueError):  # a network, or many clients
            return None
        if self._names is None:
            self._names = Names(self._reactor, self._servers)
        return self._names.query(name, "PTR").addCallback(_keep, address, found)


def _without(timer: IDelayedCall) -> Callable[[T], T]:
    """The same, and the timer is not needed any more."""

    def end(found: T) -> T:
        if timer.active():
            timer.cancel()
        return found

    return end


def _keep(answer: tuple[Any, bool, float], address: str, found: dict[str, str]) -> None:
    records = answer[0]
    if records:
        found[address] = min(record.target.to_text(omit_final_dot=True) for record in records)


def _nobody_knows(failure: Failure) -> None:
    return None
