"""Where a recipient's mail goes: the next hop of an accepted domain, else the send connector that fits best.

Of the enabled send connectors the most specific address space wins (the domain itself, then the longest C{*.domain}, which means the domain
and its subdomains, then C{*}), then the lowest cost, then the name.  An accepted domain C{*.x} means subdomains of x only.  Where no
connector fits, mail waits and says so.  Nothing is looked up in the DNS here.

Sources: Exchange Server, "Send connector selection", Set-AcceptedDomain; RFC 5321 section 4.1.3 (address literals).
"""

from __future__ import annotations

import ipaddress
from typing import Literal, cast

import attrs
from zope.interface import implementer

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import Config, SendConnector
from twistedrelay.config.units import AddressSpace, NextHopValue
from twistedrelay.interfaces import IRouter
from twistedrelay.routing.logins import login_of
from twistedrelay.routing.tlspolicy import tls_policy
from twistedrelay.values.envelope import Message, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import DeliveryType, Hop, Route

NO_CONNECTOR = Reply(451, "4.4.4", "A matching connector cannot be found to route the external recipient")
BAD_LITERAL = Reply(550, "5.1.3", "The address literal of the recipient is no IP address")

SMTP_PORT = 25
REMEMBERED = 10_000  #: domains whose ways are kept
UNLIMITED = 1000  #: connections to one next hop where the configuration sets no limit

Kind = Literal["smtp", "lmtp", "maildir"]


def _shown(host: str, port: int) -> str:
    """A hop as queue views show it: C{[10.0.0.1]}, C{relay.x.com}, with a port that is not 25."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        name = host.lower()
    else:
        name = f"[{host}]"
    return name if port == SMTP_PORT else f"{name}:{port}"


def hops_shown(hops: list[NextHopValue]) -> str:
    """The name of the lane for fixed hops: C{"[10.0.0.1],relay.x.com"}, C{"lmtp:[127.0.0.1]:24"}, C{"maildir:/path"}."""
    first = hops[0]
    if first.kind == "maildir":
        return f"maildir:{first.path}"
    if first.path:
        return f"lmtp:unix:{first.path}"
    prefix = "lmtp:" if first.kind == "lmtp" else ""
    return prefix + ",".join(_shown(hop.host, hop.port) for hop in hops)


@implementer(IRouter)
class Router:
    """Decides by the configuration, and remembers."""

    def __init__(self, config: Config) -> None:
        self._config = config
        best: dict[str, tuple[int, str]] = {}  # address space -> (cost, connector name)
        for name, connector in config.send_connectors.items():
            if connector.enabled:
                for text in connector.address_spaces:
                    space = AddressSpace.parse(text)
                    candidate = (space.cost, name)
                    best[space.pattern] = min(best.get(space.pattern, candidate), candidate)
        connectors = {pattern: name for pattern, (_, name) in best.items()}
        self._everywhere = connectors.pop("*", None)
        with_parents = {pattern[2:]: name for pattern, name in connectors.items() if pattern.startswith("*.")}  # *.x is x, too
        self._spaces = DomainIndex({**with_parents, **connectors})
        self._accepted = DomainIndex(config.accepted_domains)
        self._fixed: dict[tuple[str, str], Route] = {}
        self._known: dict[str, Route | Reply] = {}
        self._secure: dict[Route, Route] = {}

    def route(self, message: Message, recipient: Recipient) -> Route | Reply:
        """See L{IRouter.route}."""
        domain = recipient.address.domain
        way = self._known.get(domain) or self.way(domain)
        return self._secured(way) if message.parameters.require_tls else way

    def _secured(self, way: Route | Reply) -> Route | Reply:
        """The same way for mail with REQUIRETLS, which has a lane of its own; the delivery into mailboxes (LMTP, maildir) needs none."""
        if isinstance(way, Reply) or way.kind != "smtp":
            return way
        secured = self._secure.get(way)
        if secured is None:
            secured = self._secure[way] = attrs.evolve(way, require_tls=True)
        return secured

    def way(self, domain: str) -> Route | Reply:
        """The way to a domain (lower case, A-labels) or address literal in brackets."""
        way = self._known.get(domain)
        if way is None:
            if len(self._known) >= REMEMBERED:
                self._secure.clear()
                self._known.clear()  # lanes go by Route.key, so a new object for the same way does no harm
            way = self._known[domain] = self._decide(domain)
        return way

    def connector_for(self, domain: str) -> str | None:
        """The send connector that mail for a domain outside leaves by, or None."""
        return self._spaces.find(domain) or self._everywhere

    def _decide(self, domain: str) -> Route | Reply:
        accepted = self._accepted.find(domain)
        if accepted is not None and accepted.next_hop is not None:
            return self._to_next_hop(accepted.next_hop)
        name = self.connector_for(domain)
        if name is None:
            return NO_CONNECTOR
        connector = self._config.send_connectors[name]
        return self._to_smart_hosts(name, connector) if connector.smart_hosts else self._to_domain(name, connector, domain)

    def _to_next_hop(self, hop: NextHopValue) -> Route:
        return self._to_hops("", [hop], "SmtpDeliveryToMailbox", Route("", "", "SmtpDeliveryToMailbox", helo=self._config.server.fqdn))

    def _to_smart_hosts(self, name: str, connector: SendConnector) -> Route:
        draft = attrs.evolve(self._draft(name, connector), implicit_tls=connector.implicit_tls, login=login_of(name, connector))
        return self._to_hops(name, connector.smart_hosts, "SmartHostConnectorDelivery", draft)

    def _to_hops(self, name: str, hops: list[NextHopValue], delivery_type: DeliveryType, draft: Route) -> Route:
        """The one route of these hops, from a draft with everything but them."""
        shown = hops_shown(hops)
        route = self._fixed.get((name, shown))
        if route is None:
            first = hops[0]
            route = self._fixed[name, shown] = attrs.evolve(
                draft,
                next_hop=shown,
                delivery_type="MaildirDelivery" if first.kind == "maildir" else delivery_type,
                kind=cast(Kind, first.kind),
                hops=() if first.path else tuple(Hop(hop.host, hop.port) for hop in hops),
                path=first.path,
                max_connections=self._max_connections,
            )
        return route

    def _to_domain(self, name: str, connector: SendConnector, domain: str) -> Route | Reply:
        draft = self._draft(name, connector)
        if not domain.startswith("["):
            return attrs.evolve(draft, next_hop=domain, mx_domain=domain)
        try:
            address = str(ipaddress.ip_address(domain[1:-1].removeprefix("ipv6:")))
        except ValueError:
            return BAD_LITERAL
        return attrs.evolve(draft, next_hop=f"[{address}]", hops=(Hop(address, SMTP_PORT),))

    def _draft(self, name: str, connector: SendConnector) -> Route:
        helo = connector.fqdn or self._config.server.fqdn
        policy = tls_policy(connector)
        return Route(name, "", "DnsConnectorDelivery", helo=helo, tls=policy, max_connections=self._max_connections)

    @property
    def _max_connections(self) -> int:
        return self._config.transport.max_per_domain_outbound_connections or UNLIMITED
