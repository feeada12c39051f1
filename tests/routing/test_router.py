"""Routing by configuration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schedule.fakes import message
from twistedrelay.config.schema import AcceptedDomain, Config, Credential, SendConnector, Server, Transport
from twistedrelay.config.units import NextHopValue
from twistedrelay.routing.router import REMEMBERED, Router
from twistedrelay.routing.selection import NO_CONNECTOR
from twistedrelay.routing.tlspolicy import tls_policy
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Hop, Login, Route, TLSPolicy


def smtp(host: str, port: int = 25) -> NextHopValue:
    return NextHopValue("smtp", host, port)


def connector(*spaces: str, **keys: Any) -> SendConnector:
    return SendConnector.model_construct(address_spaces=list(spaces), **keys)


def accepted(next_hop: NextHopValue | None, domain_type: str = "Authoritative") -> AcceptedDomain:
    return AcceptedDomain.model_construct(domain_type=domain_type, next_hop=next_hop)


def router(
    domains: dict[str, AcceptedDomain] | None = None, transport: dict[str, Any] | None = None, **connectors: SendConnector
) -> Router:
    return Router(
        Config.model_construct(
            server=Server.model_construct(name="S", fqdn="relay.akkaya.local"),
            accepted_domains=domains or {},
            send_connectors=connectors,
            transport=Transport.model_construct(**(transport or {})),
        )
    )


def chosen(routes: Router, domain: str) -> str | None:
    found = routes.way(domain)
    return found.connector if isinstance(found, Route) else None


def way(found: Route | Reply) -> Route:
    assert isinstance(found, Route)
    return found


def test_which_connections_are_logged() -> None:
    loud = {"protocol_logging_level": "Verbose"}
    for level, wanted in (("None", False), ("Verbose", True)):
        transport = {"intra_org_connector_protocol_logging_level": level}
        routes = router(
            {"akkaya.local": accepted(smtp("m"))}, transport, Quiet=connector("SMTP:*"), Loud=connector("SMTP:loud.test", **loud)
        )
        assert [way(routes.way(domain)).logged for domain in ("akkaya.local", "x.test", "loud.test")] == [wanted, False, True]


def test_next_hop_of_an_accepted_domain() -> None:
    routes = router({"akkaya.local": accepted(smtp("mailbox.akkaya.local"))})
    route = way(routes.route(message(1, "user@akkaya.local"), message(1, "user@akkaya.local").recipients[0]))
    assert route.hops == (Hop("mailbox.akkaya.local", 25),)
    assert (route.connector, route.next_hop, route.delivery_type) == ("", "mailbox.akkaya.local", "SmtpDeliveryToMailbox")
    assert route.helo == "relay.akkaya.local"
    assert route.tls.level == "may"
    assert routes.way("akkaya.local") is route


def test_domains_with_the_same_next_hop_share_a_route() -> None:
    routes = router({"a.example": accepted(smtp("10.0.0.1", 2600)), "b.example": accepted(smtp("10.0.0.1", 2600))})
    assert routes.way("a.example") is routes.way("b.example")
    assert way(routes.way("a.example")).next_hop == "[10.0.0.1]:2600"


@pytest.mark.parametrize(
    ("hop", "kind", "next_hop", "delivery_type", "path", "hops"),
    [
        (NextHopValue("lmtp", "127.0.0.1", 24), "lmtp", "lmtp:[127.0.0.1]:24", "SmtpDeliveryToMailbox", "", (Hop("127.0.0.1", 24),)),
        (NextHopValue("lmtp", path="/run/lmtp"), "lmtp", "lmtp:unix:/run/lmtp", "SmtpDeliveryToMailbox", "/run/lmtp", ()),
        (NextHopValue("maildir", path="/var/mail"), "maildir", "maildir:/var/mail", "MaildirDelivery", "/var/mail", ()),
    ],
)
def test_kinds_of_next_hop(hop: NextHopValue, kind: str, next_hop: str, delivery_type: str, path: str, hops: tuple[Hop, ...]) -> None:
    route = way(router({"a.example": accepted(hop)}).way("a.example"))
    assert (route.kind, route.next_hop, route.delivery_type, route.path, route.hops) == (kind, next_hop, delivery_type, path, hops)


def test_accepted_star_means_subdomains_only_and_the_exact_one_wins() -> None:
    routes = router(
        {
            "*.x.example": accepted(smtp("any")),
            "*.deep.x.example": accepted(smtp("deep")),
            "own.x.example": accepted(smtp("own")),
        }
    )
    assert routes.way("x.example") is NO_CONNECTOR
    assert way(routes.way("a.x.example")).next_hop == "any"
    assert way(routes.way("own.x.example")).next_hop == "own"
    assert way(routes.way("a.b.deep.x.example")).next_hop == "deep"


def test_relay_domain_without_next_hop_goes_by_send_connector() -> None:
    routes = router({"partner.example": accepted(None, "ExternalRelay")}, Internet=connector("*"))
    assert way(routes.way("partner.example")).connector == "Internet"


def test_no_connector_waits_with_exchanges_words() -> None:
    reply = router(Off=connector("*", enabled=False)).way("outside.example")
    assert reply == Reply(451, "4.4.4", "A matching connector cannot be found to route the external recipient")


def test_most_specific_space_then_cost_then_name() -> None:
    routes = router(
        Any=connector("*"),
        Cheap=connector("SMTP:*;1", "*.wide.example;5"),
        B=connector("*.wide.example;2"),
        A=connector("*.wide.example;2"),
        Deep=connector("*.deep.wide.example;100"),
        Exact=connector("wide.example;100"),
    )
    assert chosen(routes, "other.example") == "Any"  # equal cost: the name decides
    assert chosen(routes, "a.wide.example") == "A"
    assert chosen(routes, "x.deep.wide.example") == "Deep"
    assert chosen(routes, "deep.wide.example") == "Deep"  # *.x is the domain, too
    assert chosen(routes, "wide.example") == "Exact"


SPACES = st.tuples(st.sampled_from(["*", "b.c", "*.b.c", "*.c", "a.b.c", "*.a.b.c"]), st.integers(1, 3))


@given(
    spaces=st.lists(SPACES, min_size=1, max_size=6),
    domain=st.sampled_from(["a.b.c", "b.c", "c", "z.a.b.c", "d", "x.c"]),
)
def test_choice_equals_a_brute_force_oracle(spaces: list[tuple[str, int]], domain: str) -> None:
    connectors = {f"C{number}": connector(f"{pattern};{cost}") for number, (pattern, cost) in enumerate(spaces)}
    ranked = []
    for number, (pattern, cost) in enumerate(spaces):
        if pattern == domain:
            ranked.append((0, cost, f"C{number}"))
        elif pattern.startswith("*.") and f".{domain}".endswith(pattern[1:]):
            ranked.append((100 - len(pattern), cost, f"C{number}"))
        elif pattern == "*":
            ranked.append((1000, cost, f"C{number}"))
    assert chosen(router(**connectors), domain) == (min(ranked)[2] if ranked else None)


def test_ehlo_in_ascii() -> None:
    assert way(router(Internet=connector("*", fqdn="mail.bücher.example")).way("outside.example")).helo == "mail.xn--bcher-kva.example"


def test_mx_and_address_literals() -> None:
    routes = router(Internet=connector("*", fqdn="mail.cozumpark.com"))
    route = way(routes.way("outside.example"))
    assert (route.mx_domain, route.hops, route.helo) == ("outside.example", (), "mail.cozumpark.com")
    assert route.delivery_type == "DnsConnectorDelivery"
    assert way(routes.way("[192.0.2.1]")).hops == (Hop("192.0.2.1", 25),)
    assert way(routes.way("[ipv6:2001:db8::1]")).hops == (Hop("2001:db8::1", 25),)
    assert routes.way("[x-net:42]").code == 550  # type: ignore[union-attr]


def test_smart_hosts_with_login() -> None:
    routes = router(
        Provider=connector(
            "*",
            smart_hosts=[smtp("smtp.provider.example", 465), smtp("10.0.0.1")],
            implicit_tls=True,
            smart_host_auth_mechanism="BasicAuthRequireTLS",
            authentication_credential=Credential(username="relay", password_file="/secret"),
        ),
        transport={"max_per_domain_outbound_connections": 7},
    )
    route = way(routes.way("outside.example"))
    assert route.next_hop == "smtp.provider.example:465,[10.0.0.1]"
    assert route.delivery_type == "SmartHostConnectorDelivery"
    assert route.login == Login("relay", "/secret", requires_tls=True)
    assert route.implicit_tls
    assert route.tls == TLSPolicy("domain")
    assert route.max_connections == 7
    assert routes.way("else.example") is route


@pytest.mark.parametrize(
    ("keys", "policy"),
    [
        ({}, TLSPolicy("may")),
        ({"ignore_starttls": True}, TLSPolicy("none")),
        ({"require_tls": True}, TLSPolicy("encrypt")),
        ({"require_tls": True, "tls_auth_level": "EncryptionOnly"}, TLSPolicy("encrypt")),
        ({"require_tls": True, "tls_auth_level": "CertificateValidation"}, TLSPolicy("certificate")),
        ({"require_tls": True, "tls_auth_level": "DomainValidation", "tls_domain": "MX.example"}, TLSPolicy("domain", "mx.example")),
        ({"implicit_tls": True}, TLSPolicy("encrypt")),
        ({"smart_host_auth_mechanism": "BasicAuth"}, TLSPolicy("may")),
        ({"require_tls": True, "smart_host_auth_mechanism": "BasicAuthRequireTLS"}, TLSPolicy("domain")),
    ],
)
def test_tls_policy(keys: dict[str, Any], policy: TLSPolicy) -> None:
    assert tls_policy(connector("*", **keys)) == policy


def test_the_memory_of_domains_is_bounded() -> None:
    routes = router(Internet=connector("*"))
    first = way(routes.way("d0.example"))
    for number in range(REMEMBERED + 5):
        routes.way(f"d{number}.example")
    again = way(routes.way("d0.example"))
    assert again is not first
    assert again.key == first.key
    assert len(routes._known) <= REMEMBERED


def test_mail_with_requiretls_has_a_lane_of_its_own() -> None:
    routes = router({"box.example": accepted(NextHopValue("lmtp", "127.0.0.1", 24))}, Out=connector("*"))
    plain, secured = message(1), message(2, require_tls=True)
    usual = way(routes.route(plain, plain.recipients[0]))
    proven = way(routes.route(secured, secured.recipients[0]))
    assert (usual.require_tls, proven.require_tls) == (False, True)
    assert usual.key != proven.key
    assert usual.next_hop == proven.next_hop
    assert routes.route(secured, secured.recipients[0]) is proven
    inside = message(4, "user@box.example", require_tls=True)
    assert not way(routes.route(inside, inside.recipients[0])).require_tls
