"""Tests for L{twistedrelay.config.units}."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.config import units
from twistedrelay.config.units import AddressSpace, BindingValue, NextHopValue


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("5s", 5),
        ("2d", 172800),
        ("1h", 3600),
        ("0s", 0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("00:05:00", 300),
        ("1.02:03:04", 86400 + 7200 + 180 + 4),
        ("36:00:00", 129600),
        ("00:00:05.5", 5),
        (7.5, 7.5),
        (3, 3),
    ],
)
def test_duration(text: Any, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5s", "5M", "1:2", "00:61:00", "1.25:00:00", "s", True, [], "\u0665s"])
def test_bad_duration(text: Any) -> None:
    with pytest.raises(ValueError, match=r"allowed: 10m, 5s"):
        units.duration(text)


def test_a_duration_without_a_unit_says_so() -> None:
    with pytest.raises(ValueError, match="'5' is no duration; a number needs its unit; allowed:"):
        units.duration("5")


@given(st.integers(0, 10**8))
def test_durations_survive_a_round_trip(seconds: int) -> None:
    assert units.duration(units.duration_text(seconds)) == seconds
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    assert units.duration(f"{days}.{clock}") == seconds


@pytest.mark.parametrize(
    ("text", "octets"),
    [("36MB", 37748736), ("25 MB", 26214400), ("37748736", 37748736), ("1kb", 1024), ("2GB", 2 << 30), ("7 B", 7), (9, 9)],
)
def test_size(text: Any, octets: int) -> None:
    assert units.size(text) == octets


@pytest.mark.parametrize("text", ["", "MB", "1.5MB", "36 MiB", "-1", "unlimited", None, True])
def test_bad_size(text: Any) -> None:
    with pytest.raises(ValueError, match=r"allowed: octets"):
        units.size(text)


@given(st.integers(0, 10**6), st.sampled_from(["B", "KB", "MB", "GB", "TB"]), st.sampled_from(["", " "]))
def test_sizes_are_powers_of_1024(number: int, unit: str, blank: str) -> None:
    power = ["B", "KB", "MB", "GB", "TB"].index(unit)
    assert units.size(f"{number}{blank}{unit}") == units.size(f"{number}{unit.lower()}") == number * 1024**power


def test_unlimited() -> None:
    assert units.unlimited("unlimited") is None
    assert units.unlimited("Unlimited") is None
    assert units.unlimited("20") == 20
    with pytest.raises(ValueError, match="'lots' is no number; allowed: a whole number or unlimited"):
        units.unlimited("lots")


@pytest.mark.parametrize("text", ["1.0", "1_000", "0x10", "", " ", "1e3", "\u0661"])
def test_only_decimal_digits_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        units.integer(text)


@pytest.mark.parametrize("text", ["yes", "no", "on", "1", "$true", ""])
def test_only_true_and_false_are_switches(text: str) -> None:
    assert units.boolean("true") is True
    assert units.boolean("False") is False
    with pytest.raises(ValueError, match="neither true nor false; allowed: true, false"):
        units.boolean(text)


def test_day() -> None:
    assert units.day("2027-06-30") == datetime.date(2027, 6, 30)
    for text in ("2027-06-31", "20270630", "1782777600", "30.6.2027"):
        with pytest.raises(ValueError, match="yyyy-mm-dd"):
            units.day(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("0.0.0.0:25", "0.0.0.0", 25), ("[::]:25", "::", 25), ("[2001:DB8::1]:587", "2001:db8::1", 587), ("127.0.0.1:0", "127.0.0.1", 0)],
)
def test_binding(text: str, host: str, port: int) -> None:
    assert units.binding(text) == BindingValue(host, port)


@pytest.mark.parametrize("text", ["25", "::", "0.0.0.0:", ":::25", "::25", "[0.0.0.0]:25", "localhost:25", "0.0.0.0:x"])
def test_bad_binding(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        units.binding(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_bindings_survive_a_round_trip(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    value = BindingValue(str(address), port)
    assert units.binding(str(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mailbox.akkaya.local", NextHopValue("smtp", "mailbox.akkaya.local", 25)),
        ("Mailbox.akkaya.local.:2525", NextHopValue("smtp", "mailbox.akkaya.local", 2525)),
        ("smtp:mailbox:26", NextHopValue("smtp", "mailbox", 26)),
        ("10.0.0.1", NextHopValue("smtp", "10.0.0.1", 25)),
        ("[10.0.0.1]:587", NextHopValue("smtp", "10.0.0.1", 587)),
        ("[2001:db8::1]:587", NextHopValue("smtp", "2001:db8::1", 587)),
        ("[::1]", NextHopValue("smtp", "::1", 25)),
        ("lmtp:127.0.0.1", NextHopValue("lmtp", "127.0.0.1", 24)),
        ("LMTP:host:2424", NextHopValue("lmtp", "host", 2424)),
        ("lmtp:unix:/run/dovecot/lmtp", NextHopValue("lmtp", path="/run/dovecot/lmtp")),
        ("maildir:/var/mail/x", NextHopValue("maildir", path="/var/mail/x")),
        ("münchen.example", NextHopValue("smtp", "xn--mnchen-3ya.example", 25)),
        ("smtp", NextHopValue("smtp", "smtp", 25)),
    ],
)
def test_next_hop(text: str, value: NextHopValue) -> None:
    assert units.next_hop(text) == value
    assert units.next_hop(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "maildir:", "lmtp:",
     "lmtp:unix:", "unix:/x", "smtp:unix:/x", "2001:db8::1", "[host]:25", "host:", "host:99999",
     "300.1.1.1", "a b", "http://host", "[::1]x"],
)  # fmt: skip
def test_bad_next_hop(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        units.next_hop(text)


@pytest.mark.parametrize(
    ("text", "pattern", "cost"),
    [
        ("*", "*", 1),
        ("SMTP:*;1", "*", 1),
        ("Example.org", "example.org", 1),
        ("*.example.org;100", "*.example.org", 100),
        ("smtp:example.org ; 7", "example.org", 7),
    ],
)
def test_address_space(text: str, pattern: str, cost: int) -> None:
    space = AddressSpace.parse(text)
    assert (space.pattern, space.cost) == (pattern, cost)
    assert AddressSpace.parse(str(space)) == space


@pytest.mark.parametrize("text", ["", "*contoso.com", "--", "x400:a=b", "example.org;0", "example.org;101", "example.org;", "a@b", "*.*"])
def test_bad_address_space(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: |only SMTP"):
        AddressSpace.parse(text)


def test_typed_values_pass() -> None:
    values = [BindingValue("::", 25), NextHopValue("smtp", "h", 25)]
    assert [units.binding(values[0]), units.next_hop(values[1])] == values
    assert units.ip_range(units.ip_range("10.0.0.0/8")).size == 1 << 24


@given(st.text(max_size=30))
def test_no_text_does_more_than_raise_value_error(text: str) -> None:
    parsers = (units.duration, units.size, units.unlimited, units.binding, units.next_hop, AddressSpace.parse, units.day, units.boolean)
    for parse in parsers:
        try:
            parse(text)  # type: ignore[operator]
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        (" 192.0.2.1 ", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
    ],
)
def test_dns_server(text: str, server: tuple[str, int]) -> None:
    assert units.dns_server(text) == server


@pytest.mark.parametrize("text", ["", "dns.example", "lmtp:192.0.2.1:53", "192.0.2.1%eth0", "192.0.2.1:", "192.0.2.1:70000", "[192.0.2.1"])
def test_no_dns_server(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        units.dns_server(text)
