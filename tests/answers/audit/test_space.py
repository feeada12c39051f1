"""Globally routable addresses, and the rule of open relays, against counting one by one."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistedrelay.answers.audit.openness import MOST, open_relay_problems
from twistedrelay.answers.audit.space import routable
from twistedrelay.config.schema import Config
from twistedrelay.values.netrange import IPRange

#: Where public and private addresses meet: each stretch is small enough to count.
EDGES = (
    ("9.255.255.0", "10.0.0.255"),
    ("172.15.255.128", "172.16.0.127"),
    ("192.0.1.128", "192.0.3.127"),
    ("223.255.255.0", "224.0.0.255"),
    ("100.63.255.192", "100.64.0.63"),
)
PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4", "100.64.0.0/10")
]


@st.composite
def pieces(draw: Any) -> list[IPRange]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        low, high = (int(ipaddress.ip_address(text)) for text in draw(st.sampled_from(EDGES)))
        first = draw(st.integers(low, high))
        found.append(IPRange(4, first, draw(st.integers(first, high))))
    return found


@given(pieces())
@settings(max_examples=60, deadline=None)
def test_counted_as_one_by_one(ranges: list[IPRange]) -> None:
    addresses = {number for each in ranges for number in range(each.first, each.last + 1)}
    public = sum(not any(ipaddress.IPv4Address(number) in network for network in PRIVATE) for number in addresses)
    assert routable(ranges) == {4: public, 6: 0}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2a00::/32", {4: 0, 6: 1 << 96}),
        ("fd00::/8", {4: 0, 6: 0}),
        ("::1", {4: 0, 6: 0}),
        ("2001:db8::/32", {4: 0, 6: 0}),
        ("64:ff9b::/96", {4: 0, 6: 1 << 32}),
        ("127.0.0.0/8", {4: 0, 6: 0}),
        ("8.8.0.0/16", {4: 1 << 16, 6: 0}),
    ],
)
def test_some_ranges(text: str, count: dict[int, int]) -> None:
    assert routable([IPRange.parse(text)]) == count


def config(*ranges: str, **more: Any) -> Config:
    connector = {
        "bindings": ["0.0.0.0:25"],
        "remote_ip_ranges": list(ranges),
        "permission_groups": ["AnonymousUsers"],
        "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]},
        **more,
    }
    server = {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": "state"}
    return Config.model_validate({"server": server, "receive_connectors": {"IP_Relay": connector}})


@pytest.mark.parametrize(
    ("ranges", "refused"),
    [
        (["0.0.0.0/0"], True),
        (["8.8.0.0/16"], False),
        (["8.8.0.0/16", "9.9.9.9"], True),
        (["8.0.0.0/15"], True),
        ([f"8.8.{number}.0/24" for number in range(256)], False),
        ([f"8.{8 + number // 256}.{number % 256}.0/24" for number in range(257)], True),
        (["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "127.0.0.0/8"], False),
        (["8.8.0.0-8.8.255.255", "8.8.128.0/17"], False),
        (["2a00::/32"], False),
        (["2a00::/31"], True),
        (["2a00::/32", "2a01::1"], True),
        (["fc00::/7", "fe80::/10", "::1"], False),
        (["::/0"], True),
    ],
)
def test_open_relays_do_not_start(ranges: list[str], refused: bool) -> None:
    assert bool(open_relay_problems(config(*ranges))) is refused


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(8, 30)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_rule_is_the_sum(blocks: list[tuple[int, int]]) -> None:
    """Blocks of 11.0.0.0/8, all of which is public, in steps of 2**16 and 2**2 addresses."""
    ranges = [f"11.{number}.0.0/{length}" for number, length in blocks]
    units = set()
    for text in ranges:
        network = ipaddress.ip_network(text, strict=False)
        units.update(
            range(int(network.network_address) >> 2, (int(network.broadcast_address) >> 2) + 1) if network.prefixlen > 15 else [-1]
        )
    expected = -1 in units or len(units) * 4 > MOST[4]
    assert bool(open_relay_problems(config(*ranges))) is expected


def test_who_is_no_open_relay() -> None:
    assert not open_relay_problems(config("0.0.0.0/0", enabled="false"))
    assert not open_relay_problems(config("0.0.0.0/0", extended_rights={}))
    assert not open_relay_problems(config("0.0.0.0/0", permission_groups=["None"]))  # MAIL is refused
    assert not open_relay_problems(config("0.0.0.0/0", bindings=["127.0.0.1:25"]))
    assert not open_relay_problems(config("0.0.0.0/0", i_know_this_is_an_open_relay="true"))
    assert not open_relay_problems(config("0.0.0.0/0", extended_rights={"Authenticated Users": ["Accept-Any-Recipient"]}))


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        ({"proxy_protocol_from": ["0.0.0.0/0"]}, True),
        ({"proxy_protocol_from": ["::/0"], "bindings": ["[::]:25"]}, True),
        ({"proxy_protocol_from": ["8.8.0.0/16"]}, False),
        ({"proxy_protocol_from": ["10.0.0.0/8"]}, False),
        ({"proxy_protocol_from": ["0.0.0.0/0"], "i_know_this_is_an_open_relay": "true"}, False),
        ({"proxy_protocol_from": ["0.0.0.0/0"], "bindings": ["127.0.0.1:25"]}, False),
        ({"proxy_protocol_from": ["0.0.0.0/0"], "extended_rights": {}}, False),
        ({"xclient_from": ["0.0.0.0/0"]}, False),  # nobody else gets as far as XCLIENT
    ],
)
def test_who_may_say_for_whom_it_speaks_may_say_anything(keys: dict[str, Any], refused: bool) -> None:
    """A list of devices is none where everybody may pass for one of them."""
    problems = open_relay_problems(config("10.1.2.3", **keys))
    assert bool(problems) is refused
    assert all("may pass for any other by PROXY or XCLIENT" in problem.text for problem in problems)


def test_strangers_of_another_connector_may_not_pass_for_devices() -> None:
    given = config("10.1.2.3")
    front = {"bindings": ["0.0.0.0:25"], "permission_groups": ["AnonymousUsers"], "remote_ip_ranges": ["0.0.0.0/0"]}
    for key, value in (("xclient_from", ["0.0.0.0/0"]), ("proxy_protocol_from", ["0.0.0.0/0"])):
        connectors = {"IP_Relay": given.receive_connectors["IP_Relay"], "Front": {**front, key: value}}
        [problem] = open_relay_problems(Config.model_validate({"server": given.server, "receive_connectors": connectors}))
        assert problem.path[1] == "IP_Relay"


def test_who_is() -> None:
    secured = {"auth_mechanism": ["ExternalAuthoritative"], "permission_groups": ["ExchangeServers"], "extended_rights": {}}
    [problem] = open_relay_problems(config("0.0.0.0/0", **secured))
    assert problem.path == ("receive_connectors", "IP_Relay", "auth_mechanism")
    assert problem.blocks
    assert "no ExternalAuthoritative" in problem.text
    [problem] = open_relay_problems(config("0.0.0.0/0", extended_rights={"Anonymous Logon": ["ms-Exch-SMTP-Accept-Any-Recipient"]}))
    assert "i_know_this_is_an_open_relay: true" in problem.text
    assert open_relay_problems(config("0.0.0.0/0", bindings=["127.0.0.1:25"], proxy_protocol_from=["127.0.0.1"]))
    assert open_relay_problems(config("0.0.0.0/0", bindings=["127.0.0.1:25"], xclient_from=["127.0.0.1"]))
    assert open_relay_problems(config("0.0.0.0/0", bindings=["127.0.0.1:25", "192.0.2.1:25"]))
