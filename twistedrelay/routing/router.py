"""Where a recipient's mail goes: the next hop of an accepted domain, else the send connector that fits best.

An accepted domain C{*.x} means subdomains of x only; its next hop comes before every send connector, also a linked one, since it is
where the mailboxes are.  Which send connector fits is C{selection}'s to say.  Where none fits, mail waits and says so.  A connector that
changes recipients (C{redirect_all_to}) sends to the MX of what they become.  Nothing is looked up in the DNS here.

Sources: Exchange Server, "Mail routing", Set-AcceptedDomain, Set-SendConnector; RFC 5321 section 4.1.3 (address literals).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Literal, cast
from weakref import WeakKeyDictionary

import attrs
from zope.interface import implementer

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import Config, SendConnector
from twistedrelay.config.units import NextHopValue, domain_name
from twistedrelay.interfaces import IRewrite, IRouter
from twistedrelay.routing.logins import login_of
from twistedrelay.routing.memory import Bounded
from twistedrelay.routing.selection import Scope, Selection
from twistedrelay.routing.special import is_special
from twistedrelay.routing.tlspolicy import tls_policy
from twistedrelay.values.envelope import Message, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import DeliveryType, Hop, Route

BAD_LITERAL = Reply(550, "5.1.3", "The address literal of the recipient is no IP address")
PRIVATE_LITERAL = Reply(550, "5.4.4", "The address literal of the recipient is private or means this host")

SMTP_PORT = 25
REMEMBERED = 10_000  #: domains whose ways are kept
UNLIMITED = 1000  #: connections to one next hop where the configuration sets no limit

Kind = Literal["smtp", "lmtp", "maildir"]
RewriteOf = Callable[[SendConnector], IRewrite | None]


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
    """Decides by the configuration, and remembers.

    @param rewrite_of: how the addresses change on the way of a send connector; None: on none.
    """

    def __init__(self, config: Config, rewrite_of: RewriteOf | None = None) -> None:
        self._config = config
        self._selection = Selection(config)
        self._accepted = DomainIndex(config.accepted_domains)
        self._rewrites: dict[str, IRewrite] = {}
        for name, connector in config.send_connectors.items():
            rewrite = rewrite_of(connector) if rewrite_of is not None else None
            if rewrite is not None:
                self._rewrites[name] = rewrite
        self._is_plain = self._selection.is_plain and not self._rewrites
        self._smallest = self._selection.smallest
        self._known: Bounded[str, Route | Reply] = Bounded(REMEMBERED)
        self._scoped: Bounded[tuple[Scope, str], str | Route | Reply] = Bounded(REMEMBERED)
        self._drafts: dict[str, Route] = {}
        self._fixed: dict[tuple[str, str], Route] = {}
        self._ways: Bounded[tuple[str, str], Route | Reply] = Bounded(REMEMBERED)
        self._secure: WeakKeyDictionary[Route, Route] = WeakKeyDictionary()

    def route(self, message: Message, recipient: Recipient) -> Route | Reply:
        """See L{IRouter.route}."""
        if self._is_plain and message.size <= self._smallest:
            domain = recipient.address.domain
            way = self._known.get(domain) or self.way(domain)
        else:
            way = self._scoped_way(message, recipient)
        return self._secured(way) if message.parameters.require_tls else way

    def way(self, domain: str) -> Route | Reply:
        """The way to a domain (lower case, A-labels) or address literal in brackets, for small mail of everyone."""
        way = self._known.get(domain)
        if way is None:
            chosen = self._decide(self._selection.everyone, domain)
            way = self._known.keep(domain, self._by_connector(chosen, domain) if isinstance(chosen, str) else chosen)
        return way

    def _secured(self, way: Route | Reply) -> Route | Reply:
        """The same way for mail with REQUIRETLS, which has a lane of its own; the delivery into mailboxes (LMTP, maildir) needs none."""
        if isinstance(way, Reply) or way.kind != "smtp":
            return way
        secured = self._secure.get(way)
        if secured is None:
            secured = self._secure[way] = attrs.evolve(way, require_tls=True)
        return secured

    def _scoped_way(self, message: Message, recipient: Recipient) -> Route | Reply:
        scope, domain = self._selection.scope(message), recipient.address.domain
        chosen = self._scoped.get((scope, domain))
        if chosen is None:
            chosen = self._decide(scope, domain)
            if isinstance(chosen, str) and chosen not in self._rewrites:
                chosen = self._by_connector(chosen, domain)
            self._scoped.keep((scope, domain), chosen)
        if not isinstance(chosen, str):
            return chosen
        changed = self._rewrites[chosen].recipient(recipient.address)
        return changed if isinstance(changed, Reply) else self._by_connector(chosen, changed.domain)

    def _decide(self, scope: Scope, domain: str) -> str | Route | Reply:
        """The next hop of an accepted domain, or the name of the connector, or why there is no way."""
        accepted = self._accepted.find(domain)
        if accepted is not None and accepted.next_hop is not None:
            return self._to_hops("", [accepted.next_hop], self._inward)
        chosen = scope.choose(domain)
        if isinstance(chosen, str) and not self._config.send_connectors[chosen].enabled:
            return Reply(451, "4.4.4", f"The send connector {chosen} that the receive connector is linked with is disabled")
        return chosen

    def _by_connector(self, name: str, domain: str) -> Route | Reply:
        """The way to a domain by a send connector; the same object each time."""
        hops = self._config.send_connectors[name].smart_hosts
        key = (name, "" if hops else domain)
        way = self._ways.get(key)
        if way is None:
            made = self._to_hops(name, hops, self._draft(name)) if hops else self._to_domain(name, domain)
            way = self._ways.keep(key, made)
        return way

    def _to_hops(self, name: str, hops: list[NextHopValue], draft: Route) -> Route:
        """The one route of these hops, from a draft with everything but them."""
        shown = hops_shown(hops)
        route = self._fixed.get((name, shown))
        if route is None:
            first = hops[0]
            route = self._fixed[name, shown] = attrs.evolve(
                draft,
                next_hop=shown,
                delivery_type="MaildirDelivery" if first.kind == "maildir" else draft.delivery_type,
                kind=cast(Kind, first.kind),
                hops=() if first.path else tuple(Hop(hop.host, hop.port) for hop in hops),
                path=first.path,
            )
        return route

    def _to_domain(self, name: str, domain: str) -> Route | Reply:
        draft = self._draft(name)
        if not domain.startswith("["):
            return attrs.evolve(draft, next_hop=domain, mx_domain=domain)
        try:
            address = str(ipaddress.ip_address(domain[1:-1].removeprefix("ipv6:")))
        except ValueError:
            return BAD_LITERAL
        if is_special(address) and not draft.private_targets:
            return PRIVATE_LITERAL
        return attrs.evolve(draft, next_hop=f"[{address}]", hops=(Hop(address, SMTP_PORT),))

    def _draft(self, name: str) -> Route:
        """All that is the same for every way of a send connector."""
        draft = self._drafts.get(name)
        if draft is None:
            draft = self._drafts[name] = self._drafted(name, self._config.send_connectors[name])
        return draft

    def _drafted(self, name: str, connector: SendConnector) -> Route:
        to_smart_hosts = bool(connector.smart_hosts)
        delivery_type: DeliveryType = "SmartHostConnectorDelivery" if to_smart_hosts else "DnsConnectorDelivery"
        return Route(
            name,
            "",
            delivery_type,
            helo=_in_ascii(connector.fqdn or self._config.server.fqdn),
            implicit_tls=connector.implicit_tls,
            tls=tls_policy(connector),
            login=login_of(name, connector),
            max_connections=connector.max_outbound_connections or self._per_domain,
            max_messages_per_connection=connector.smtp_max_messages_per_connection,
            message_rate=connector.message_rate_limit,
            idle_timeout=connector.connection_inactivity_timeout,
            sources=tuple(str(ipaddress.ip_address(text)) for text in connector.source_ip_address),
            force_helo=connector.force_helo,
            chunking=connector.chunking_enabled,
            shuffle=len(connector.smart_hosts) > 1 and connector.smart_host_selection == "RoundRobin",
            private_targets=to_smart_hosts or connector.private_targets_enabled,
            dane="None" if to_smart_hosts else connector.smtp_dane,
            mta_sts=connector.mta_sts_enabled and not to_smart_hosts,
            dns_failures_wait=connector.error_policies == "DowngradeDnsFailures",
            rewrite=self._rewrites.get(name),
            logged=connector.protocol_logging_level == "Verbose",
        )

    @property
    def _inward(self) -> Route:
        """All that is the same for the next hops of accepted domains."""
        return Route(
            "",
            "",
            "SmtpDeliveryToMailbox",
            helo=_in_ascii(self._config.server.fqdn),
            max_connections=self._per_domain,
            logged=self._config.transport.intra_org_connector_protocol_logging_level == "Verbose",
        )

    @property
    def _per_domain(self) -> int:
        return self._config.transport.max_per_domain_outbound_connections or UNLIMITED


def _in_ascii(name: str) -> str:
    """A host name as EHLO says it."""
    return name if name.isascii() else domain_name(name)
