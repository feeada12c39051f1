"""Questions to the DNS: asked by dnspython over the reactor, answers kept as long as they say.

Decides how long an answer is good for: its TTL, where there is none that of the zone's SOA (RFC 2308), between bounds; a TTL of 0 is not
kept at all.  A question is asked once however many want to know, and the server that answered last is asked first.  Aliases are followed
where the server does not do it.  That a name does not exist is an answer; SERVFAIL, silence and nonsense are none, and are never kept.

Sources: RFC 1034 section 3.6.2 (aliases), RFC 2308 (negative answers), RFC 6840 section 5.7 (AD in queries).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import attrs
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.rrset
from dns.nameserver import Do53Nameserver
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.config.units import dns_server
from twistedrelay.interfaces import INames, ResolutionError
from twistedrelay.routing.dnsbackend import TwistedBackend
from twistedrelay.routing.memory import Expiring
from twistedrelay.values.reply import Reply

_log = Logger()

LIFETIME = 12.0  #: seconds for one question with all its tries
LEAST_TTL, MOST_TTL, MOST_NEGATIVE_TTL = 5.0, 3600.0, 900.0
REMEMBERED = 20_000
LARGEST_KEPT = 4096  #: characters; larger answers are asked for each time, so that nobody fills the memory with them
MAX_ALIASES = 8  #: followed by ourselves, besides those that are in one answer
RESOLV_CONF = "/etc/resolv.conf"


def unanswered(name: str) -> Reply:
    """Why mail waits for the DNS."""
    return Reply(451, "4.4.3", f"The DNS gave no answer about {name}")


@attrs.frozen(slots=True, eq=False)
class Answer:
    """What the DNS says about one type of a name.

    @ivar rrset: the records, behind all aliases; None where there are none.
    @ivar exists: whether the name does; it may have other types.
    @ivar canonical: the name that aliases lead to, in lower case without the final dot.
    @ivar authenticated: the server's AD bit.
    @ivar until: how long it is good for, by the reactor's clock.
    """

    rrset: dns.rrset.RRset | None
    exists: bool
    canonical: str
    authenticated: bool
    until: float


@implementer(INames)
class Names:
    """See the module.

    @param servers: C{ip} or C{ip:port}; the system's where empty.
    @ivar asked: how many questions went to a server, C{remembered} how many were answered from memory.
    @ivar failed: how many nobody answered.
    """

    def __init__(self, reactor: Any, servers: Sequence[str] = ()) -> None:
        self.asked = self.remembered = self.failed = 0
        self._reactor = reactor
        self._backend = TwistedBackend(reactor)
        self._known: Expiring[tuple[str, str], Answer]
        self._asking: dict[tuple[str, str], list[Deferred[Answer]]] = {}
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.use_edns(0, 0, 1232)
        self._resolver.flags = dns.flags.RD | dns.flags.AD  # ask whether the answer was validated
        self.change(servers)

    def change(self, servers: Sequence[str]) -> None:
        """Ask these servers, or the system's, from now on."""
        asked = [dns_server(text) for text in servers] or self._servers_of_the_system()
        self.local = all(ip_address(address.partition("%")[0]).is_loopback for address, _ in asked)
        self._servers = [Do53Nameserver(address, port) for address, port in asked]
        self._resolver.nameservers = self._servers
        self._known = Expiring(self._reactor, REMEMBERED)

    def _servers_of_the_system(self) -> list[tuple[str, int]]:
        """The servers of C{/etc/resolv.conf}, with its options."""
        try:
            self._resolver.read_resolv_conf(RESOLV_CONF)
        except dns.resolver.NoResolverConfiguration:
            return [("127.0.0.1", 53)]
        return [(str(server), 53) for server in self._resolver.nameservers]

    def _prefer(self, answer: dns.resolver.Answer) -> None:
        """Ask the server first that answered: one that is dead costs time at each question, and should do so only once."""
        first = self._servers[0]
        if (first.address, first.port) != (answer.nameserver, answer.port):
            self._servers.sort(key=lambda server: (server.address, server.port) != (answer.nameserver, answer.port))
            self._resolver.nameservers = self._servers

    def query(self, name: str, kind: str) -> Deferred[tuple[Any, bool, float]]:
        """See L{INames.query}."""
        return self.ask(name, kind).addCallback(self._as_tuple)

    def _as_tuple(self, answer: Answer) -> tuple[Any, bool, float]:
        return (answer.rrset, answer.authenticated, max(answer.until - self._reactor.seconds(), 0.0))

    def ask(self, name: str, kind: str) -> Deferred[Answer]:
        """An answer from memory or from the DNS.  Fails with L{ResolutionError} (4xx)."""
        question = (name.lower(), kind)
        known = self._known.get(question)
        if known is not None:
            self.remembered += 1
            return succeed(known)
        waiting: Deferred[Answer] = Deferred()
        others = self._asking.setdefault(question, [])
        others.append(waiting)
        if len(others) == 1:
            self.asked += 1
            Deferred.fromCoroutine(self._asked(*question)).addBoth(self._tell, question)
        return waiting

    def _tell(self, result: Answer | Failure, question: tuple[str, str]) -> None:
        waiting = self._asking.pop(question)
        if isinstance(result, Failure):
            self.failed += 1
            if not result.check(dns.exception.DNSException, OSError):
                _log.failure("a defect while looking up {question}", result, question=question)
            error = ResolutionError(unanswered(question[0]))
            for deferred in waiting:
                deferred.errback(error)
            return
        if result.rrset is None or len(result.rrset.to_text()) <= LARGEST_KEPT:
            self._known.put(question, result, result.until)
        for deferred in waiting:
            deferred.callback(result)

    async def _asked(self, name: str, kind: str) -> Answer:
        """Ask, and go on where an answer is only an alias."""
        authenticated, until = True, float("inf")
        for _ in range(MAX_ALIASES):
            try:
                found = await self._resolver.resolve(
                    name + ".", kind, raise_on_no_answer=False, search=False, lifetime=LIFETIME, backend=self._backend
                )
                self._prefer(found)
                response = found.response
            except dns.resolver.NXDOMAIN as error:
                response = next(iter(error.responses().values()))
            except (dns.name.EmptyLabel, dns.name.LabelTooLong, dns.name.NameTooLong):  # no such name can exist
                return Answer(None, False, name, False, self._until(LEAST_TTL, MOST_NEGATIVE_TTL))
            exists = response.rcode() == 0
            chain = response.resolve_chaining()
            authenticated = authenticated and bool(response.flags & dns.flags.AD)
            until = min(until, self._until(chain.minimum_ttl, MOST_NEGATIVE_TTL if chain.answer is None else MOST_TTL))
            alias = chain.canonical_name.to_text(omit_final_dot=True).lower()
            if chain.answer is not None or not exists or not chain.cnames or _is_final(response):
                return Answer(chain.answer, exists, alias, authenticated, until)
            name = alias
        raise dns.message.ChainTooLong

    def _until(self, ttl: float, most: float) -> float:
        """Until when an answer is good: its TTL between bounds, and not at all where that is 0."""
        now: float = self._reactor.seconds()
        return now + min(most, max(LEAST_TTL, ttl)) if ttl else now


def _is_final(response: dns.message.Message) -> bool:
    """Whether the server says that there is nothing behind the alias (a SOA), instead of leaving it to us to ask on."""
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
