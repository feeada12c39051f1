"""Which send connector a message leaves by: link, size, sender, space, cost, name; and what becomes of the route."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from tests.routing.test_router import accepted, connector, smtp
from tests.schedule.fakes import Content, message
from twistedrelay.config.schema import Config, Credential, ReceiveConnector, SendConnector, Server, Transport
from twistedrelay.interfaces import IRewrite
from twistedrelay.routing.router import PRIVATE_LITERAL, RewriteOf, Router
from twistedrelay.routing.selection import NO_CONNECTOR, TOO_LARGE, Selection
from twistedrelay.values.address import Address, parse_address
from twistedrelay.values.envelope import Message, Origin
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Hop, Route

KB = 1024


class Sized(Content):
    def __init__(self, size: int) -> None:
        self.size = size


def mail(
    recipient: str = "user@out.example", sender: str = "boss@akkaya.local", size: int = 100, via: str = "In", **parameters: Any
) -> Message:
    made = message(1, recipient, sender=sender, **parameters)
    made.content = Sized(size)
    made.origin = Origin(connector=via)
    return made


def router(links: dict[str, str] | None = None, rewrite_of: RewriteOf | None = None, **connectors: SendConnector) -> Router:
    config = Config.model_construct(
        server=Server.model_construct(name="S", fqdn="relay.akkaya.local"),
        accepted_domains={"akkaya.local": accepted(smtp("10.0.0.1")), "passed.example": accepted(None, "ExternalRelay")},
        receive_connectors={name: ReceiveConnector.model_construct(linked_send_connector=link) for name, link in (links or {}).items()},
        send_connectors=connectors,
        transport=Transport.model_construct(),
    )
    return Router(config, rewrite_of)


def way(routes: Router, made: Message) -> Route:
    found = routes.route(made, made.recipients[0])
    assert isinstance(found, Route), found
    return found


def refusal(routes: Router, made: Message) -> Reply:
    found = routes.route(made, made.recipients[0])
    assert isinstance(found, Reply), found
    return found


def host(name: str, *spaces: str, **keys: Any) -> SendConnector:
    return connector(*(spaces or ("*",)), smart_hosts=[smtp(name)], **keys)


# -- size --------------------------------------------------------------------------------------------------------------------


def test_a_connector_that_is_too_small_is_left_out() -> None:
    routes = router(Near=host("near", "out.example", max_message_size=64 * KB), Far=host("far", "*", max_message_size=1024 * KB))
    assert way(routes, mail(size=64 * KB)).connector == "Near"
    assert way(routes, mail(size=64 * KB + 1)).connector == "Far"
    assert way(routes, mail(size=1024 * KB)).connector == "Far"
    assert way(routes, mail("user@else.example", size=10)).connector == "Far"


def test_too_large_for_all_that_match_returns_the_message() -> None:
    routes = router(Near=host("near", "out.example", max_message_size=64 * KB), Off=host("off", enabled=False, max_message_size=None))
    assert refusal(routes, mail(size=65 * KB)) is TOO_LARGE
    assert (TOO_LARGE.code, TOO_LARGE.enhanced) == (550, "5.3.4")
    assert refusal(routes, mail("user@else.example", size=65 * KB)) is NO_CONNECTOR, "no connector matches, whatever the size"
    assert way(routes, mail("user@akkaya.local", size=10**9)).connector == "", "mailboxes have their own say"


def test_unlimited_is_never_too_small() -> None:
    routes = router(Small=host("small", max_message_size=64 * KB), Wide=host("wide", "*;9", max_message_size=None))
    assert way(routes, mail(size=10**12)).connector == "Wide"


# -- links -------------------------------------------------------------------------------------------------------------------


def test_a_linked_connector_wins_over_everything_but_mailboxes() -> None:
    routes = router(
        {"Scanners": "Provider", "In": ""},
        Provider=host("provider", "never.example", enabled=True),
        Boss=host("boss", sender_address_spaces=["boss@akkaya.local"]),
        Near=host("near", "out.example"),
    )
    assert way(routes, mail(via="Scanners")).connector == "Provider"
    assert way(routes, mail("user@passed.example", via="Scanners")).connector == "Provider"
    assert way(routes, mail("user@akkaya.local", via="Scanners")).connector == ""
    assert way(routes, mail(via="In")).connector == "Boss"
    assert way(routes, mail(via="", sender="")).connector == "Near"


def test_a_connector_may_be_there_for_its_link_alone() -> None:
    routes = router({"Scanners": "Provider"}, Provider=connector(smart_hosts=[smtp("provider")]))
    assert way(routes, mail(via="Scanners")).connector == "Provider"
    assert refusal(routes, mail(via="In")) is NO_CONNECTOR


def test_a_linked_connector_that_is_too_small_or_disabled_is_not_replaced() -> None:
    routes = router(
        {"Scanners": "Provider", "Old": "Gone"},
        Provider=host("provider", max_message_size=64 * KB),
        Gone=host("gone", enabled=False, max_message_size=64 * KB),
        Any=host("any", max_message_size=None),
    )
    assert refusal(routes, mail(via="Scanners", size=65 * KB)) is TOO_LARGE
    for size in (10, 65 * KB):
        reply = refusal(routes, mail(via="Old", size=size))
        assert (reply.code, reply.enhanced) == (451, "4.4.4")
        assert "Gone" in reply.text


# -- senders -----------------------------------------------------------------------------------------------------------------


SENDERS = {
    "Everyone": host("everyone"),
    "Boss": host("boss", sender_address_spaces=["Boss@akkaya.local"]),
    "House": host("house", sender_address_spaces=["akkaya.local"]),
    "Group": host("group", sender_address_spaces=["*.local"]),
    "Shops": host("shops", sender_address_spaces=["*.shop.example", "shop.example"]),
    "Far": host("far", "far.example", sender_address_spaces=["a.shop.example"]),
}


@pytest.mark.parametrize(
    ("sender", "recipient", "name"),
    [
        ("boss@akkaya.local", "user@out.example", "Boss"),
        ("BOSS@Akkaya.local", "user@out.example", "Boss"),
        ("clerk@akkaya.local", "user@out.example", "House"),
        ("clerk@other.local", "user@out.example", "Group"),
        ("clerk@a.other.local", "user@out.example", "Group"),
        ("clerk@local", "user@out.example", "Group"),
        ("clerk@shop.example", "user@out.example", "Shops"),
        ("clerk@a.shop.example", "user@out.example", "Shops"),  # Far is for another address space
        ("clerk@a.shop.example", "user@far.example", "Far"),
        ("clerk@nowhere.example", "user@out.example", "Everyone"),
        ("", "user@out.example", "Everyone"),
    ],
)
def test_the_most_specific_sender_space_wins(sender: str, recipient: str, name: str) -> None:
    made = mail(recipient)
    made.sender = parse_address(sender) if sender else made.sender
    if not sender:
        made = mail(recipient, sender="")
    assert way(router(**SENDERS), made).connector == name


def test_two_logins_at_one_host_never_share_a_lane() -> None:
    def login(user: str, sender: str) -> SendConnector:
        credential = Credential(username=user, password_file="/secret")
        return host("provider", sender_address_spaces=[sender], smart_host_auth_mechanism="BasicAuth", authentication_credential=credential)

    routes = router(A=login("one", "a.example"), B=login("two", "b.example"), C=login("two", "c.example"))
    ways = [way(routes, mail(sender=f"x@{domain}.example")) for domain in "abc"]
    assert [found.login and found.login.username for found in ways] == ["one", "two", "two"]
    assert {found.next_hop for found in ways} == {"provider"}
    assert len({found.key for found in ways}) == 3
    assert len({found.limit_key for found in ways}) == 3
    assert way(routes, mail("else@else.example", sender="y@a.example")) is ways[0], "the same way is the same object"


PATTERNS = ["*", "b.c", "*.b.c", "*.c", "a.b.c"]
SENDING = ["x@a.b", "a.b", "*.a.b", "*.b", "b"]


@attrs.frozen
class Case:
    """One connector, as the oracle sees it."""

    spaces: tuple[str, ...]
    cost: int
    senders: tuple[str, ...]
    limit: int | None


CASES = st.builds(
    Case,
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2, unique=True).map(tuple),
    st.integers(1, 2),
    st.lists(st.sampled_from(SENDING), max_size=2, unique=True).map(tuple),
    st.sampled_from([None, 100, 200]),
)


def fit(pattern: str, domain: str) -> int | None:
    """How well a pattern fits, the less the better; None: not at all."""
    if pattern == domain:
        return 0
    if pattern.startswith("*.") and f".{domain}".endswith(pattern[1:]):
        return 100 - len(pattern)
    return 1000 if pattern == "*" else None


def best(patterns: tuple[str, ...], domain: str) -> int | None:
    return min((found for pattern in patterns if (found := fit(pattern, domain)) is not None), default=None)


@given(
    cases=st.lists(CASES, min_size=1, max_size=5),
    domain=st.sampled_from(["a.b.c", "b.c", "z.c", "d"]),
    sender=st.sampled_from(["x@a.b", "y@a.b", "x@b", "x@c.a.b", "x@c"]),
    size=st.sampled_from([50, 100, 101, 201]),
)
def test_choice_equals_a_brute_force_oracle(cases: list[Case], domain: str, sender: str, size: int) -> None:
    connectors = {
        f"C{number}": host(
            "h", *(f"{space};{case.cost}" for space in case.spaces), sender_address_spaces=list(case.senders), max_message_size=case.limit
        )
        for number, case in enumerate(cases)
    }
    ranked, matching = [], False
    for number, case in enumerate(cases):
        by_space = best(case.spaces, domain)
        by_sender = 5000 if not case.senders else -1 if sender in case.senders else best(case.senders, sender.partition("@")[2])
        if by_space is None or by_sender is None:
            continue
        matching = True
        if case.limit is None or size <= case.limit:
            ranked.append((by_sender, by_space, case.cost, f"C{number}"))
    made = mail(f"user@{domain}", sender=sender, size=size)
    found = router(**connectors).route(made, made.recipients[0])
    if ranked:
        assert isinstance(found, Route)
        assert found.connector == min(ranked)[3]
    else:
        assert found is (TOO_LARGE if matching else NO_CONNECTOR)


# -- what the route says -------------------------------------------------------------------------------------------------------


def test_the_keys_of_a_connector_are_in_its_routes() -> None:
    keys = {
        "fqdn": "out.akkaya.local",
        "max_outbound_connections": 3,
        "message_rate_limit": 30,
        "connection_inactivity_timeout": 60.0,
        "smtp_max_messages_per_connection": 7,
        "source_ip_address": ["192.0.2.1", "2001:db8::1"],
        "force_helo": True,
        "chunking_enabled": False,
    }
    routes = router(
        Mx=connector("*", private_targets_enabled=True, error_policies="DowngradeDnsFailures", smtp_dane="Required", **keys),
        Hosts=connector("h.example", smart_hosts=[smtp("a"), smtp("b")], smart_host_selection="Failover", **keys),
        Share=connector("s.example", smart_hosts=[smtp("a"), smtp("b")]),
    )
    by_mx, by_hosts, share = (way(routes, mail(f"user@{domain}")) for domain in ("m.example", "h.example", "s.example"))
    for found in (by_mx, by_hosts):
        assert found.helo == "out.akkaya.local"
        assert (found.max_connections, found.message_rate, found.idle_timeout, found.max_messages_per_connection) == (3, 30, 60.0, 7)
        assert found.sources == ("192.0.2.1", "2001:db8::1")
        assert found.force_helo
        assert not found.chunking
    assert (by_mx.private_targets, by_mx.dns_failures_wait, by_mx.dane, by_mx.mta_sts) == (True, True, "Required", True)
    assert (by_hosts.private_targets, by_hosts.dns_failures_wait, by_hosts.dane, by_hosts.mta_sts) == (True, False, "None", False)
    assert (by_hosts.shuffle, share.shuffle, by_mx.shuffle) == (False, True, False)
    assert (share.max_connections, share.message_rate, share.helo) == (40, None, "relay.akkaya.local")
    assert not way(router(Mx=connector("*")), mail()).private_targets


def test_private_address_literals_are_refused_unless_allowed() -> None:
    plain, open_to_all = router(Mx=connector("*")), router(Mx=connector("*", private_targets_enabled=True))
    for literal in ("[127.0.0.1]", "[IPv6:::1]", "[10.0.0.1]", "[IPv6:::ffff:127.0.0.1]"):
        made = mail(f"user@{literal}")
        made.recipients[0].address = parse_address(f"user@{literal}")
        assert refusal(plain, made) is PRIVATE_LITERAL
        assert way(open_to_all, made).hops
    assert way(plain, mail("user@[8.8.8.8]")).hops == (Hop("8.8.8.8", 25),)


# -- rewriting ---------------------------------------------------------------------------------------------------------------


@implementer(IRewrite)
@attrs.frozen
class ToTestSystem:
    """Sends all to one address but those of a domain, and refuses another."""

    changes_content = False

    def sender(self, sender: Address) -> Address:
        return sender

    def recipient(self, recipient: Address) -> Address | Reply:
        if recipient.domain == "kept.example":
            return recipient
        if recipient.domain == "refused.example":
            return Reply(550, "5.7.1", "Not from a test system")
        return parse_address("all@test.example")

    def header(self, header: bytes, message: Message) -> bytes:
        return header


def test_the_changed_recipient_decides_where_mail_goes_by_mx() -> None:
    rewrite = ToTestSystem()
    routes = router(None, lambda item: rewrite if item.redirect_all_to else None, Mx=connector("*", redirect_all_to="all@test.example"))
    found = way(routes, mail("user@out.example"))
    assert (found.mx_domain, found.next_hop, found.rewrite) == ("test.example", "test.example", rewrite)
    assert way(routes, mail("user@[8.8.8.8]")) is found
    assert way(routes, mail("user@kept.example")).mx_domain == "kept.example"
    assert refusal(routes, mail("user@refused.example")).enhanced == "5.7.1"
    assert way(routes, mail("user@akkaya.local")).rewrite is None
    assert way(routes, mail("user@out.example", require_tls=True)).key == (*found.key[:3], True)


def test_a_smart_host_stays_the_smart_host() -> None:
    rewrite = ToTestSystem()
    routes = router(None, lambda item: rewrite, Host=host("provider"))
    assert way(routes, mail("user@out.example")).next_hop == "provider"
    assert way(routes, mail("user@out.example")).rewrite is rewrite
    assert refusal(routes, mail("user@refused.example")).enhanced == "5.7.1"


@given(
    st.dictionaries(
        st.sampled_from("ABCDE"),
        st.builds(
            lambda spaces, senders, size, enabled: {
                "address_spaces": spaces,
                "sender_address_spaces": senders,
                "max_message_size": size,
                "enabled": enabled,
            },
            st.lists(st.sampled_from(("*", "*;2", "out.example", "*.out.example", "*.example;5", "a.out.example;3")), min_size=1),
            st.lists(st.sampled_from(("akkaya.local", "*.local", "boss@akkaya.local")), max_size=2),
            st.sampled_from((None, 64 * KB)),
            st.booleans(),
        ),
        min_size=1,
    ),
    st.sampled_from(("out.example", "a.out.example", "b.a.out.example", "elsewhere.test")),
    st.sampled_from(("boss@akkaya.local", "x@akkaya.local", "x@else.where")),
    st.sampled_from((100, 100 * KB)),
    st.sampled_from(("", "A")),
)
def test_the_first_contender_is_the_one_that_is_chosen(
    given_connectors: dict[str, dict[str, Any]], domain: str, sender: str, size: int, linked: str
) -> None:
    """What is told of the connectors agrees with the choice."""
    sending = {name: SendConnector(**item) for name, item in given_connectors.items()}
    receiving = {"In": ReceiveConnector(bindings=["0.0.0.0:25"], permission_groups=["AnonymousUsers"], linked_send_connector=linked)}
    server = Server(name="S", fqdn="relay.akkaya.local", state_directory="/s")
    selection = Selection(Config(server=server, send_connectors=sending, receive_connectors=receiving))
    letter = mail(f"user@{domain}", sender, size)
    chosen = selection.scope(letter).choose(domain)
    contenders = [one for one in selection.contenders(letter, domain) if one.takes_part]
    if isinstance(chosen, Reply):
        assert not contenders
    elif not linked or sending.get(linked, SendConnector(address_spaces=["*"], enabled=False)).enabled:
        assert contenders[0].name == chosen
