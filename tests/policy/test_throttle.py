"""Tests for L{twistedrelay.policy.throttle}."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.policy.throttle import ConnectionCounts, ConnectionRate, MessageRates
from twistedrelay.values.netrange import IPAddress, parse_ip

PEER, OTHER, LOOPBACK = parse_ip("192.168.1.30"), parse_ip("192.168.1.31"), parse_ip("127.0.0.1")


class Counts(ConnectionCounts):
    """With the connectors that connections are for."""

    def __init__(self, connectors: dict[str, ReceiveConnector]) -> None:
        super().__init__()
        self.connectors = connectors

    def enters(self, name: str, peer: IPAddress) -> str | None:
        return self.admit(name, self.connectors[name], peer)


def counts(make_config: Any, **keys: Any) -> Counts:
    return Counts(make_config({"one": keys, "two": {**keys, "bindings": ["0.0.0.0:26"]}}).receive_connectors)


def test_per_source(make_config: Any) -> None:
    limits = counts(make_config)
    assert [limits.enters("one", LOOPBACK) for _ in range(20)] == [None] * 20
    assert limits.enters("one", LOOPBACK) == "max_inbound_connection_per_source"
    assert limits.enters("one", PEER) is None
    assert limits.enters("two", LOOPBACK) is None
    limits.release("one", LOOPBACK)
    assert limits.enters("one", LOOPBACK) is None


def test_in_all(make_config: Any) -> None:
    limits = counts(make_config, max_inbound_connection=2, max_inbound_connection_percentage_per_source=100)
    assert limits.enters("one", PEER) is None
    assert limits.enters("one", OTHER) is None
    assert limits.enters("one", LOOPBACK) == "max_inbound_connection"
    assert limits.total("one") == 2


def test_a_changed_limit_counts_those_who_are_here(make_config: Any) -> None:
    limits = counts(make_config, max_inbound_connection_per_source=3)
    assert [limits.enters("one", PEER) for _ in range(3)] == [None] * 3
    limits.connectors = make_config({"one": {"max_inbound_connection_per_source": 4}}).receive_connectors
    assert [limits.enters("one", PEER) for _ in range(2)] == [None, "max_inbound_connection_per_source"]


def test_percentage_of_what_is_free(make_config: Any) -> None:
    limits = counts(
        make_config,
        max_inbound_connection=10,
        max_inbound_connection_per_source="unlimited",
        max_inbound_connection_percentage_per_source=50,
    )
    # 50 % of 10, 9, 8, 7 still free: 5, 4, 4, 3.
    assert [limits.enters("one", PEER) for _ in range(4)] == [None, None, None, "max_inbound_connection_percentage_per_source"]


def test_the_last_free_connection_is_for_a_lone_client(make_config: Any) -> None:
    limits = counts(make_config, max_inbound_connection=3)
    assert [limits.enters("one", parse_ip(f"10.0.0.{number}")) for number in range(4)] == [None, None, None, "max_inbound_connection"]


def test_the_fixed_limit_is_named_where_both_are_broken(make_config: Any) -> None:
    limits = counts(make_config, max_inbound_connection=10, max_inbound_connection_per_source=1)
    assert [limits.enters("one", PEER) for _ in range(2)] == [None, "max_inbound_connection_per_source"]


def test_unlimited(make_config: Any) -> None:
    limits = counts(make_config, max_inbound_connection="unlimited", max_inbound_connection_per_source="unlimited")
    assert all(limits.enters("one", PEER) is None for _ in range(6000))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
def test_counting_keeps_nothing_of_who_is_gone(make_config: Any, steps: list[tuple[bool, int]]) -> None:
    limits = counts(make_config)
    peers = [parse_ip(f"10.0.0.{number}") for number in range(4)]
    is_open = []
    for opens, number in steps:
        if opens and limits.enters("one", peers[number]) is None:
            is_open.append(number)
        elif not opens and number in is_open:
            is_open.remove(number)
            limits.release("one", peers[number])
    assert limits.total("one") == len(is_open)
    for number in is_open:
        limits.release("one", peers[number])
    assert limits.total("one") == 0
    assert not limits._by_source


def rate(make_config: Any, **keys: Any) -> Any:
    return make_config({"one": {"message_rate_limit": 5, **keys}}).receive_connectors["one"]


def test_messages_of_one_minute(make_config: Any) -> None:
    clock, connector = Clock(), rate(make_config)
    rates = MessageRates(clock)

    def admit(peer: Any = PEER) -> str | None:
        return rates.admit("one", connector, peer, "", "a@b.example")

    for _ in range(5):
        assert admit() is None
        clock.advance(10)
    assert admit() == "message_rate_limit"
    assert admit(OTHER) is None
    clock.advance(10)
    assert admit() is None


def test_by_user_is_by_login_else_by_sender(make_config: Any) -> None:
    connector = rate(make_config, message_rate_limit=1, message_rate_source="User")
    rates = MessageRates(Clock())
    assert rates.admit("one", connector, PEER, "user@akkaya.local", "x@y.example") is None
    assert rates.admit("one", connector, OTHER, "User@akkaya.local", "z@y.example") == "message_rate_limit"
    assert rates.admit("one", connector, PEER, "", "x@y.example") is None
    assert rates.admit("one", connector, OTHER, "", "X@y.example") == "message_rate_limit"


def test_by_all_is_by_address_and_by_user(make_config: Any) -> None:
    connector = rate(make_config, message_rate_limit=1, message_rate_source="All")
    rates = MessageRates(Clock())
    assert rates.admit("one", connector, PEER, "a@akkaya.local", "") is None
    assert rates.admit("one", connector, OTHER, "a@akkaya.local", "") == "message_rate_limit"
    assert rates.admit("one", connector, PEER, "b@akkaya.local", "") == "message_rate_limit"
    # What was refused was not counted.
    assert rates.admit("one", connector, OTHER, "b@akkaya.local", "") is None


def test_connectors_count_for_themselves(make_config: Any) -> None:
    rates, connector = MessageRates(Clock()), rate(make_config, message_rate_limit=1)
    assert rates.admit("one", connector, PEER, "", "") is None
    assert rates.admit("two", connector, PEER, "", "") is None


def test_no_rate(make_config: Any) -> None:
    rates = MessageRates(Clock())
    for connector in (rate(make_config, message_rate_limit="unlimited"), rate(make_config, message_rate_source="None")):
        assert all(rates.admit("one", connector, PEER, "", "") is None for _ in range(20))
    assert not rates._windows


def test_memory_is_bounded(make_config: Any) -> None:
    clock, connector = Clock(), rate(make_config)
    rates = MessageRates(clock, max_windows=10)
    for number in range(100):
        rates.admit("one", connector, parse_ip(f"10.0.0.{number}"), "", "")
        clock.advance(0.01)
    assert len(rates._windows) <= 11
    clock.advance(60)
    rates.admit("one", connector, PEER, "", "")
    assert len(rates._windows) == 1


def test_the_rate_of_connections_counts_a_minute_from_its_first_one() -> None:
    rate = ConnectionRate(2)
    assert [rate.admit(now) for now in (100.0, 130.0, 159.9, 160.0, 161.0, 162.0)] == [True, True, False, True, True, False]
    assert all(ConnectionRate().admit(1.0) for _ in range(5000))


def test_a_clock_that_is_set_back_keeps_nobody_out() -> None:
    rate = ConnectionRate(1)
    assert [rate.admit(now) for now in (5000.0, 1000.0, 1001.0, 1060.0)] == [True, True, False, True]


def test_connections_by_connector(make_config: Any) -> None:
    limits = counts(make_config)
    limits.enters("one", PEER)
    limits.enters("one", OTHER)
    assert limits.by_connector() == {"one": 2}
