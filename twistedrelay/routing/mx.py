"""Finds the addresses of a route: MX with their addresses, or those of fixed hops.

MX come from the DNS (dnspython), in order of preference, equal ones shuffled; a host's IPv6 and IPv4 addresses alternate.  A domain
without MX is its own mail host; a null MX takes no mail.  Where we are among the MX ourselves, only better ones count.  Fixed hops are
looked up as the system does it, so that C{/etc/hosts} works.  A name that does not exist is a 5xx; a DNS that does not answer, or a fixed
hop that is not found (our configuration), is a 4xx.

Whether the DNS answer was signed is kept, since mail with REQUIRETLS needs that (RFC 8689 section 2).

Sources: RFC 5321 section 5.1, RFC 7505 (null MX), RFC 3463, RFC 6840 section 5.7 (AD in queries).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

import attrs
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.resolver
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.config.units import dns_server
from twistedrelay.interfaces import IResolver, ResolutionError
from twistedrelay.routing.dnsbackend import TwistedBackend
from twistedrelay.routing.hosts import SystemHosts
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, Target

_log = Logger()

LIFETIME = 20.0  #: seconds for one DNS question with all its retries
LEAST_TTL, MOST_TTL = 30.0, 3600.0
NEGATIVE_TTL = 60.0
REMEMBERED = 10_000
MAX_HOSTS = 20  #: of one MX set
MAX_ADDRESSES = 10  #: of one host
SMTP_PORT = 25


def _unanswered(domain: str) -> Reply:
    return Reply(451, "4.4.3", f"The DNS gave no answer about {domain}")


@attrs.frozen(slots=True)
class MailHost:
    """One MX host with its addresses.  C{proven}: see L{Target}."""

    preference: int
    name: str
    addresses: tuple[str, ...]
    proven: bool = True


@attrs.frozen(slots=True)
class _Known:
    """What is known of a domain, and until when."""

    until: float
    answer: tuple[MailHost, ...] | Reply


@implementer(IResolver)
class Resolver:
    """See the module."""

    def __init__(self, reactor: Any, servers: Sequence[str] = (), shuffle: Callable[[list[MailHost]], None] = random.shuffle) -> None:
        self._reactor = reactor
        self._shuffle = shuffle
        self._backend = TwistedBackend(reactor)
        self._hosts = SystemHosts(reactor)
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, list[Deferred[tuple[MailHost, ...] | Reply]]] = {}
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(*dns_server(text)) for text in servers]
        else:
            try:
                self._resolver.read_resolv_conf("/etc/resolv.conf")
            except dns.resolver.NoResolverConfiguration:
                self._resolver.nameservers = ["127.0.0.1"]
        self._resolver.use_edns(0, 0, 1232)
        self._resolver.flags = dns.flags.RD | dns.flags.AD  # ask whether the answer was validated

    def targets(self, route: Route) -> Deferred[list[Target]]:
        """See L{IResolver.targets}."""
        if route.hops:
            return self._hosts.targets(route.hops)
        if not route.mx_domain:
            return succeed([])
        return self._mail_hosts(route.mx_domain).addCallback(self._ordered, route)

    def _mail_hosts(self, domain: str) -> Deferred[tuple[MailHost, ...] | Reply]:
        """What the DNS says about a domain, asked once however many want to know."""
        known = self._known.get(domain)
        if known is not None and known.until > self._reactor.seconds():
            return succeed(known.answer)
        waiting: Deferred[tuple[MailHost, ...] | Reply] = Deferred()
        others = self._asking.setdefault(domain, [])
        others.append(waiting)
        if len(others) == 1:
            Deferred.fromCoroutine(self._ask(domain)).addErrback(self._failed, domain).addCallback(self._learn, domain)
        return waiting

    def _learn(self, found: tuple[tuple[MailHost, ...] | Reply, float], domain: str) -> None:
        answer, ttl = found
        if ttl:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[domain] = _Known(self._reactor.seconds() + min(MOST_TTL, max(LEAST_TTL, ttl)), answer)
        for waiting in self._asking.pop(domain):
            waiting.callback(answer)

    def _failed(self, failure: Failure, domain: str) -> tuple[Reply, float]:
        error = failure.value
        if isinstance(error, ResolutionError):
            reply = error.reply
            return reply, NEGATIVE_TTL if reply.is_permanent else 0.0
        if not isinstance(error, dns.exception.DNSException | OSError):
            _log.failure("a defect while looking up {domain}", failure, domain=domain)
        return _unanswered(domain), 0.0

    def _ordered(self, answer: tuple[MailHost, ...] | Reply, route: Route) -> list[Target]:
        if isinstance(answer, Reply):
            raise ResolutionError(answer)
        ours = min((host.preference for host in answer if host.name == route.helo.lower()), default=None)
        hosts = [host for host in answer if ours is None or host.preference < ours]
        if not hosts:
            raise ResolutionError(Reply(554, "5.4.6", f"Mail for {route.mx_domain} loops back to this relay"))
        self._shuffle(hosts)
        hosts.sort(key=lambda host: host.preference)
        return [Target(host.name, address, SMTP_PORT, host.proven) for host in hosts for address in host.addresses]

    async def _ask(self, domain: str) -> tuple[tuple[MailHost, ...], float]:
        """The hosts that take mail for a domain, and how long that is good for.  Fails with L{ResolutionError}."""
        answer = await self._query(domain, "MX")
        if answer is None:
            raise ResolutionError(Reply(550, "5.4.4", f"The domain {domain} does not exist"))
        records = [(record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in answer]
        if records and all(name in ("", ".") for _, name in records):
            raise ResolutionError(Reply(556, "5.1.10", f"The domain {domain} takes no mail (null MX)"))
        wanted = sorted(record for record in records if record[1] not in ("", "."))[:MAX_HOSTS] or [(0, domain)]
        signed = bool(answer.response.flags & dns.flags.AD)  # the resolver's word; the way to it is the administrator's
        looked_up: list[tuple[bool, Any]] = await DeferredList(
            [Deferred.fromCoroutine(self._addresses(name)) for _, name in wanted], consumeErrors=True
        )
        ttl = float(answer.rrset.ttl) if answer.rrset is not None else MOST_TTL
        hosts = []
        for (preference, name), (found, result) in zip(wanted, looked_up, strict=True):
            if found and result[0]:
                hosts.append(MailHost(preference, name, result[0], signed or name == domain))
                ttl = min(ttl, result[1])
        if hosts:
            return tuple(hosts), max(ttl, 1.0)
        if not all(found for found, _ in looked_up):
            raise ResolutionError(_unanswered(domain))
        what = "none of its mail hosts has an address" if records else "it has neither MX nor address"
        raise ResolutionError(Reply(550, "5.4.4", f"No mail can be sent to {domain}: {what}"))

    async def _addresses(self, name: str) -> tuple[tuple[str, ...], float]:
        """A host's addresses, IPv6 and IPv4 in turn."""
        both: list[tuple[bool, Any]] = await DeferredList(
            [Deferred.fromCoroutine(self._query(name, kind)) for kind in ("AAAA", "A")], consumeErrors=True
        )
        answers = [answer for found, answer in both if found and answer is not None and answer.rrset is not None]
        if not answers and not all(found for found, _ in both):
            raise ResolutionError(_unanswered(name))
        texts = [[record.address for record in answer] for answer in answers]
        mixed = [address for address in chain.from_iterable(zip_longest(*texts)) if address is not None]
        return tuple(mixed[:MAX_ADDRESSES]), min((float(answer.rrset.ttl) for answer in answers), default=MOST_TTL)

    async def _query(self, name: str, kind: str) -> dns.resolver.Answer | None:
        """An answer, perhaps empty; None where the name does not exist.  Anything else fails."""
        try:
            return await self._resolver.resolve(
                name + ".", kind, raise_on_no_answer=False, search=False, lifetime=LIFETIME, backend=self._backend
            )
        except (dns.resolver.NXDOMAIN, dns.name.EmptyLabel, dns.name.LabelTooLong, dns.name.NameTooLong):
            return None
