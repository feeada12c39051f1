"""Tests for L{twistedrelay.policy.connector}."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twistedrelay.policy.connector import ConnectorTable, ListeningBinding, conflicts
from twistedrelay.values.netrange import IPRange, parse_ip

TODAY = datetime.date(2026, 6, 30)


def chosen(table: ConnectorTable, peer: str, local: str = "192.168.1.5", binding: int = 0, today: datetime.date = TODAY) -> str | None:
    choice = table.choose(table.bindings[binding], parse_ip(local), parse_ip(peer), today)
    return None if choice is None else choice.name


def texts(config: Any) -> list[str]:
    return [problem.text for problem in conflicts(config)]


def test_the_most_specific_range_wins(make_config: Any) -> None:
    table = ConnectorTable(
        make_config(
            {
                "all": {},
                "net": {"remote_ip_ranges": ["192.168.1.0-192.168.1.255"]},
                "host": {"remote_ip_ranges": ["192.168.1.75"]},
            }
        )
    )
    assert chosen(table, "192.168.1.75") == "host"
    assert chosen(table, "::ffff:192.168.1.75") == "host"
    assert chosen(table, "192.168.1.74") == "net"
    assert chosen(table, "192.168.2.0") == "all"
    assert chosen(table, "2001:db8::1") == "all"


def test_the_entry_that_decided_is_told(make_config: Any) -> None:
    table = ConnectorTable(make_config({"one": {"remote_ip_ranges": ["10.0.0.0/8", {"range": "10.1.2.0/28", "owner": "scanners"}]}}))
    choice = table.choose(table.bindings[0], parse_ip("10.0.0.1"), parse_ip("10.1.2.3"), TODAY)
    assert choice is not None
    assert choice.entry.owner == "scanners"
    assert choice.connector is table.connectors["one"]


def test_nobody_for_a_peer_in_no_range(make_config: Any) -> None:
    table = ConnectorTable(make_config({"one": {"remote_ip_ranges": ["10.0.0.0/8"]}}))
    assert chosen(table, "11.0.0.1") is None
    assert chosen(table, "::1") is None


def test_disabled_connectors_take_no_part(make_config: Any) -> None:
    off = {"enabled": False, "bindings": ["0.0.0.0:25", "0.0.0.0:717"], "remote_ip_ranges": ["192.168.1.75"]}
    table = ConnectorTable(make_config({"all": {}, "off": off}))
    assert [binding.port for binding in table.bindings] == [25]
    assert table.bindings[0].connectors == ("all",)
    assert chosen(table, "192.168.1.75") == "all"


def test_an_entry_ends_after_its_last_day(make_config: Any) -> None:
    relay = {"remote_ip_ranges": [{"range": "192.168.1.75", "expires": "2026-06-30"}]}
    table = ConnectorTable(make_config({"all": {}, "relay": relay}))
    assert chosen(table, "192.168.1.75", today=datetime.date(2026, 6, 30)) == "relay"
    assert chosen(table, "192.168.1.75", today=datetime.date(2026, 7, 1)) == "all"


def test_bindings_are_one_for_each_socket(make_config: Any) -> None:
    both = ["0.0.0.0:25", "[::]:25"]
    table = ConnectorTable(
        make_config(
            {
                "Default Frontend": {"bindings": both},
                "IP_Relay": {"remote_ip_ranges": ["192.168.1.55"]},
                "Submissions": {"bindings": ["10.0.0.1:465"], "implicit_tls": True},
            }
        )
    )
    assert table.bindings == [
        ListeningBinding("0.0.0.0", 25, False, ("Default Frontend", "IP_Relay")),
        ListeningBinding("::", 25, False, ("Default Frontend",)),
        ListeningBinding("10.0.0.1", 465, True, ("Submissions",)),
    ]
    assert chosen(table, "192.168.1.55", binding=0) == "IP_Relay"


def test_a_specific_address_beats_the_wildcard_and_shares_its_socket(make_config: Any) -> None:
    table = ConnectorTable(
        make_config(
            {
                "wild": {"remote_ip_ranges": ["0.0.0.0/0", "192.168.1.75"]},
                "specific": {"bindings": ["10.0.0.1:25"], "remote_ip_ranges": ["192.168.0.0/16"]},
            }
        )
    )
    assert table.bindings == [ListeningBinding("0.0.0.0", 25, False, ("wild", "specific"))]
    # The wildcard's narrower range does not count before the local address.
    assert chosen(table, "192.168.1.75", local="10.0.0.1") == "specific"
    assert chosen(table, "192.168.1.75", local="10.0.0.2") == "wild"
    # In no range of the specific one: on to the wildcard's.
    assert chosen(table, "172.16.0.1", local="10.0.0.1") == "wild"


def test_an_ipv6_wildcard_leaves_ipv4_addresses_their_socket(make_config: Any) -> None:
    table = ConnectorTable(make_config({"six": {"bindings": ["[::]:25"]}, "four": {"bindings": ["127.0.0.1:25"]}}))
    assert [binding.host for binding in table.bindings] == ["::", "127.0.0.1"]


def test_another_port_of_the_address_is_another_binding(make_config: Any) -> None:
    table = ConnectorTable(make_config({"wild": {}, "specific": {"bindings": ["10.0.0.1:26"]}}))
    assert [(binding.host, binding.port) for binding in table.bindings] == [("0.0.0.0", 25), ("10.0.0.1", 26)]
    assert chosen(table, "1.2.3.4", local="10.0.0.1", binding=0) == "wild"


def test_no_conflicts(make_config: Any) -> None:
    nested = {"all": {}, "net": {"remote_ip_ranges": ["192.168.1.0/24"]}, "host": {"remote_ip_ranges": ["192.168.1.75", "192.168.1.75"]}}
    assert conflicts(make_config(nested)) == []
    elsewhere = {"all": {}, "specific": {"bindings": ["10.0.0.1:25"]}, "port": {"bindings": ["0.0.0.0:26"], "implicit_tls": True}}
    assert conflicts(make_config(elsewhere)) == []


def test_equal_ranges_name_both_connectors(make_config: Any) -> None:
    both = {"bindings": ["0.0.0.0:25", "[::]:25"]}
    config = make_config(
        {
            "first": {**both, "remote_ip_ranges": ["10.0.0.0/8", "0.0.0.0/0"]},
            "second": {**both, "remote_ip_ranges": ["1.1.1.1", "0.0.0.0-255.255.255.255"]},
        }
    )
    (problem,) = conflicts(config)
    assert problem.path == ("receive_connectors", "second", "remote_ip_ranges", 1)
    assert problem.text.startswith("0.0.0.0-255.255.255.255 of 'second' is also a range of 'first' on 0.0.0.0:25")


def test_crossing_ranges_name_both_connectors(make_config: Any) -> None:
    config = make_config({"first": {"remote_ip_ranges": ["10.0.0.50-10.0.0.99"]}, "second": {"remote_ip_ranges": ["10.0.0.0-10.0.0.50"]}})
    (problem,) = conflicts(config)
    assert problem.path == ("receive_connectors", "second", "remote_ip_ranges", 0)
    assert "10.0.0.0-10.0.0.50 of 'second' overlaps 10.0.0.50-10.0.0.99, without one containing the other, of 'first'" in problem.text


def test_crossing_ranges_of_one_connector_are_fine(make_config: Any) -> None:
    assert conflicts(make_config({"one": {"remote_ip_ranges": ["10.0.0.0-10.0.0.50", "10.0.0.50-10.0.0.99", "10.0.0.50-10.0.0.99"]}})) == []


def test_implicit_tls_must_agree_on_a_socket(make_config: Any) -> None:
    both = ["0.0.0.0:25", "[::]:25"]
    config = make_config(
        {
            "plain": {"bindings": both},
            "tls": {"bindings": both, "implicit_tls": True, "remote_ip_ranges": ["10.0.0.1", "2001:db8::1"]},
            "specific": {"bindings": ["10.0.0.1:25"], "implicit_tls": True},
        }
    )
    problems = conflicts(config)
    assert [problem.path for problem in problems] == [
        ("receive_connectors", "tls", "implicit_tls"),
        ("receive_connectors", "specific", "implicit_tls"),
    ]
    assert problems[0].text == "'tls' and 'plain' share 0.0.0.0:25 and must agree on implicit_tls (true and false)"


def test_a_binding_twice_in_one_connector(make_config: Any) -> None:
    (problem,) = conflicts(make_config({"one": {"bindings": ["[::1]:25", "[0::1]:25"]}}))
    assert problem.path == ("receive_connectors", "one", "bindings", 1)
    assert problem.text == "[::1]:25 is given twice in 'one'"


def test_disabled_connectors_are_not_checked(make_config: Any) -> None:
    off = {"enabled": False, "implicit_tls": True, "bindings": ["0.0.0.0:25", "0.0.0.0:25"]}
    assert texts(make_config({"on": {}, "off": off})) == []


ends = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)


@given(st.lists(ends, max_size=4), st.lists(ends, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_conflicts_agree_with_brute_force(make_config: Any, first: list[list[int]], second: list[list[int]]) -> None:
    def written(pair: list[int]) -> str:
        return f"{ipaddress.IPv4Address(pair[0])}-{ipaddress.IPv4Address(pair[1])}"

    sides = [[IPRange.parse(written(pair)) for pair in side] for side in (first, second)]
    expected = sorted(
        place
        for one in sides[0]
        for place, two in enumerate(sides[1])
        if one == two or (one.overlaps(two) and not one.covers(two) and not two.covers(one))
    )
    config = make_config({name: {"remote_ip_ranges": [written(pair) for pair in side]} for name, side in (("a", first), ("b", second))})
    found = conflicts(config)
    assert all(problem.path[1] == "b" for problem in found)
    assert {problem.path[3] for problem in found} == set(expected)
