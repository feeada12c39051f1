"""Finds the addresses of a route: the mail hosts of a domain by MX, or those of fixed hops.

MX come in order of preference, equal ones shuffled, a host's addresses likewise, IPv6 and IPv4 in turn.  A domain without MX is its own
mail host; a null MX takes no mail.  Where we are among the hosts ourselves, by name or by address, only better ones count.  Addresses that
mean this host or a private network are left out where the route wants that.  A domain that does not exist is a 5xx, a DNS that does not
answer a 4xx.  The whole search has one time budget: hosts whose addresses do not come in it are left out, and it is cut short once there
is a host to go to.

What failed lately is tried last, whatever its preference (RFC 5321 section 4.5.4.1: keep a list of unreachable hosts).

Whether the DNS answer was signed is kept, since mail with REQUIRETLS needs that (RFC 8689 section 2).

Sources: RFC 5321 section 5.1, RFC 7505 (null MX), RFC 3463; Exchange Set-SendConnector (ErrorPolicies).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IDomainSecurity, IResolver, ResolutionError
from twistedrelay.routing.gather import gathered
from twistedrelay.routing.hosts import SystemHosts
from twistedrelay.routing.memory import Expiring
from twistedrelay.routing.names import Answer, Names, unanswered
from twistedrelay.routing.ourselves import Ourselves
from twistedrelay.routing.special import is_special
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, Target

_log = Logger()

BUDGET = 20.0  #: seconds for a domain with all its hosts
FAMILY_GRACE = 2.0  #: seconds for the addresses of the other family, once there is one
HOST_GRACE = 5.0  #: seconds for the other hosts of a set, once one has an address
INCOMPLETE_TTL = 30.0  #: of a set some of whose hosts the DNS said nothing of
REMEMBERED = 10_000
MAX_HOSTS = 20  #: of one MX set that are looked up, the best ones
MAX_RECORDS = 100  #: of one MX set that are kept, to see whether we are among them
MAX_ADDRESSES = 10  #: of one family of one host
SMTP_PORT = 25
FAILURE_MEMORY = 300.0  #: seconds
FAILURES_REMEMBERED = 2_000

Shuffle = Callable[[list[Any]], None]


@attrs.frozen(slots=True)
class MailHost:
    """One host of an MX set.

    @ivar canonical: the name behind aliases.
    @ivar addresses: the IPv6 and the IPv4 addresses.
    @ivar proven: see L{Target}.
    @ivar answered: whether the DNS said anything of it.
    """

    preference: int
    name: str
    canonical: str = ""
    addresses: tuple[tuple[str, ...], ...] = ()
    proven: bool = True
    answered: bool = True


@attrs.frozen(slots=True)
class Addresses:
    """What the DNS says of one host."""

    canonical: str
    families: tuple[tuple[str, ...], ...]
    until: float


Found = tuple[MailHost, ...] | Reply


@implementer(IResolver)
class Resolver:
    """See the module.

    @ivar names: the DNS.
    @ivar security: what is asked about each MX route's targets at the end, or None; set once it is made, since it asks C{names}, too.
    @param ourselves: who we are; None: only by the EHLO names of the routes.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[str] = (),
        ourselves: Ourselves | None = None,
        shuffle: Shuffle = random.shuffle,
        security: IDomainSecurity | None = None,
    ) -> None:
        self._reactor = reactor
        self._shuffle = shuffle
        self._ourselves = ourselves
        self.security = security
        self.names = Names(reactor, servers)
        self._hosts = SystemHosts(reactor)
        self._known: Expiring[str, Found] = Expiring(reactor, REMEMBERED)
        self._asking: dict[str, list[Deferred[Found]]] = {}
        self._failed: Expiring[tuple[str, int], bool] = Expiring(reactor, FAILURES_REMEMBERED)

    def change(self, servers: Sequence[str] | None, ourselves: Ourselves) -> None:
        """We are somebody else now.

        @param servers: whom to ask from now on, None: the same as before.
        """
        self._ourselves = ourselves
        if servers is not None:
            self.names.change(servers)
            self._known = Expiring(self._reactor, REMEMBERED)

    def targets(self, route: Route) -> Deferred[list[Target]]:
        """See L{IResolver.targets}."""
        return Deferred.fromCoroutine(self._targets(route))

    async def _targets(self, route: Route) -> list[Target]:
        if route.hops:
            hops = list(route.hops)
            if route.shuffle:
                self._shuffle(hops)
            targets = self._not_ourselves(await self._hosts.targets(hops), route)
        elif route.mx_domain:
            targets = self._ordered(await self._mail_hosts(route.mx_domain), route)
            if self.security is not None:
                targets = await self.security.secure(route, targets)
        else:
            targets = []
        return self._failed_last(targets)

    def failed(self, target: Target) -> None:
        """See L{IResolver.failed}."""
        self._failed.put((target.address, target.port), True, self._reactor.seconds() + FAILURE_MEMORY)

    def worked(self, target: Target) -> None:
        """See L{IResolver.worked}."""
        if len(self._failed):
            self._failed.forget((target.address, target.port))

    def _failed_last(self, targets: list[Target]) -> list[Target]:
        if len(self._failed):
            return sorted(targets, key=lambda target: bool(self._failed.get((target.address, target.port))))
        return targets

    def _listens(self, address: str, port: int) -> bool:
        return self._ourselves is not None and self._ourselves.listens(address, port)

    def _not_ourselves(self, targets: list[Target], route: Route) -> list[Target]:
        """Fixed hops but for this relay itself."""
        left = [target for target in targets if not self._listens(target.address, target.port)]
        if left:
            return left
        if route.delivery_type == "DnsConnectorDelivery":  # an address literal, which is the sender's fault
            raise ResolutionError(_loop(route.next_hop))
        raise ResolutionError(Reply(451, "4.4.6", f"The next hop {route.next_hop} is this relay itself"))

    # MX

    def _mail_hosts(self, domain: str) -> Deferred[Found]:
        """What the DNS says about a domain, asked once however many want to know."""
        known = self._known.get(domain)
        if known is not None:
            return succeed(known)
        waiting: Deferred[Found] = Deferred()
        others = self._asking.setdefault(domain, [])
        others.append(waiting)
        if len(others) == 1:
            Deferred.fromCoroutine(self._ask(domain)).addErrback(self._unanswered, domain).addCallback(self._learn, domain)
        return waiting

    def _learn(self, result: tuple[Found, float], domain: str) -> None:
        found, until = result
        self._known.put(domain, found, until)
        for waiting in self._asking.pop(domain):
            waiting.callback(found)

    def _unanswered(self, failure: Failure, domain: str) -> tuple[Reply, float]:
        if isinstance(failure.value, ResolutionError):
            return failure.value.reply, 0.0
        _log.failure("a defect while looking up {domain}", failure, domain=domain)
        return unanswered(domain), 0.0

    def _ordered(self, found: Found, route: Route) -> list[Target]:
        if isinstance(found, Reply):
            raise ResolutionError(_waiting(found) if route.dns_failures_wait else found)
        ours = min((host.preference for host in found if self._is_ours(host, route)), default=None)
        hosts = [host for host in found if ours is None or host.preference < ours]
        reachable = [host for host in hosts if any(host.addresses)]
        if not reachable:
            if any(not host.answered for host in hosts):
                raise ResolutionError(unanswered(route.mx_domain))
            if ours is not None:
                raise ResolutionError(_loop(route.mx_domain))
            nowhere = Reply(550, "5.4.4", f"No mail can be sent to {route.mx_domain}: none of its mail hosts has an address")
            raise ResolutionError(_waiting(nowhere) if route.dns_failures_wait else nowhere)
        self._shuffle(reachable)
        reachable.sort(key=lambda host: host.preference)
        targets = [Target(host.name, address, SMTP_PORT, host.proven) for host in reachable for address in self._mixed(host)]
        if not route.private_targets:
            targets = [target for target in targets if not is_special(target.address)]
            if not targets:
                text = f"No mail can be sent to {route.mx_domain}: the addresses of its mail hosts are private or of this host"
                raise ResolutionError(Reply(550, "5.4.4", text))
        return targets

    def _mixed(self, host: MailHost) -> list[str]:
        """A host's addresses, IPv6 and IPv4 in turn."""
        families = [list(family) for family in host.addresses]
        for family in families:
            self._shuffle(family)
        return [address for address in chain.from_iterable(zip_longest(*families)) if address is not None]

    def _is_ours(self, host: MailHost, route: Route) -> bool:
        names = {host.name, host.canonical}
        if route.helo.lower() in names or (self._ourselves is not None and not self._ourselves.names.isdisjoint(names)):
            return True
        return any(self._listens(address, SMTP_PORT) for family in host.addresses for address in family)

    async def _ask(self, domain: str) -> tuple[Found, float]:
        """The hosts that take mail for a domain, and until when that is good.  Fails with L{ResolutionError}."""
        latest = self._reactor.seconds() + BUDGET
        answer = await self.names.ask(domain, "MX")
        if not answer.exists:
            return Reply(550, "5.4.4", f"The domain {domain} does not exist"), answer.until
        records = sorted((record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in answer.rrset or ())
        if records and all(name in ("", ".") for _, name in records):
            return Reply(556, "5.1.10", f"The domain {domain} takes no mail (null MX)"), answer.until
        wanted = [record for record in records if record[1] not in ("", ".")][:MAX_RECORDS] or [(0, domain)]
        asked = [Deferred.fromCoroutine(self._addresses(name, latest)) for _, name in wanted[:MAX_HOSTS]]
        known = await gathered(
            asked, lambda addresses: any(addresses.families), HOST_GRACE, latest - self._reactor.seconds(), self._reactor
        )
        hosts, until = [], answer.until
        for (preference, name), addresses in zip(wanted, known, strict=False):
            proven = answer.authenticated or name == domain  # the resolver's word; the way to it is the administrator's
            if addresses is None:
                hosts.append(MailHost(preference, name, proven=proven, answered=False))
                until = min(until, self._reactor.seconds() + INCOMPLETE_TTL)
            else:
                hosts.append(MailHost(preference, name, addresses.canonical, addresses.families, proven))
                until = min(until, addresses.until)
        # Those beyond the limit have no address here, but one of them may be ourselves.
        hosts += [MailHost(preference, name) for preference, name in wanted[MAX_HOSTS:]]
        if not any(any(host.addresses) for host in hosts):
            if not all(host.answered for host in hosts):
                until = 0.0
            elif not records:
                return Reply(550, "5.4.4", f"No mail can be sent to {domain}: it has neither MX nor address"), until
        return tuple(hosts), until

    async def _addresses(self, name: str, latest: float) -> Addresses:
        """A host's addresses.  Fails with L{ResolutionError} where there is none, and the DNS said nothing of one family."""
        if name.rpartition(".")[2].isdigit():  # an address where a name belongs; no top-level domain is a number
            return Addresses(name, (), self._reactor.seconds() + INCOMPLETE_TTL)
        longest = latest - self._reactor.seconds()
        asked = [self.names.ask(name, kind) for kind in ("AAAA", "A")]
        answers = await gathered(asked, lambda answer: answer.rrset is not None, FAMILY_GRACE, longest, self._reactor)
        families = tuple(_texts(answer) for answer in answers)
        if not any(families) and None in answers:
            raise ResolutionError(unanswered(name))
        given = [answer for answer in answers if answer is not None]
        until = min(answer.until for answer in given)
        if len(given) < len(answers):
            until = min(until, self._reactor.seconds() + INCOMPLETE_TTL)
        return Addresses(given[0].canonical, families, until)


def _texts(answer: Answer | None) -> tuple[str, ...]:
    """The addresses of an answer."""
    if answer is None or answer.rrset is None:
        return ()
    return tuple(record.address for record in answer.rrset)[:MAX_ADDRESSES]


def _loop(domain: str) -> Reply:
    return Reply(554, "5.4.6", f"Mail for {domain} loops back to this relay")


def _waiting(reply: Reply) -> Reply:
    """A name that does not exist as a reason to wait (DowngradeDnsFailures); a null MX is no failure of the DNS."""
    return Reply(451, "4.4.4", reply.text) if reply.enhanced == "5.4.4" else reply
