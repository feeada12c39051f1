"""Tests for L{twistedrelay.values.netrange}."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.values.netrange import IPAddress, IPRange, RangeTable, parse_ip


def ip(text: str) -> int:
    return int(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("text", "version", "first", "last"),
    [
        ("192.168.1.1", 4, "192.168.1.1", "192.168.1.1"),
        ("192.168.1.1/24", 4, "192.168.1.0", "192.168.1.255"),
        ("192.168.1.1-192.168.1.9", 4, "192.168.1.1", "192.168.1.9"),
        (" 192.168.1.1 - 192.168.1.9 ", 4, "192.168.1.1", "192.168.1.9"),
        ("0.0.0.0/0", 4, "0.0.0.0", "255.255.255.255"),
        ("0.0.0.0-255.255.255.255", 4, "0.0.0.0", "255.255.255.255"),
        ("10.0.0.7/32", 4, "10.0.0.7", "10.0.0.7"),
        ("::/0", 6, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:0DB8::CD3/60", 6, "2001:db8::", "2001:db8:0:f:ffff:ffff:ffff:ffff"),
        ("fe80::39bd:88f7:6969:d223%11", 6, "fe80::39bd:88f7:6969:d223", "fe80::39bd:88f7:6969:d223"),
        ("fe80::1%eth0-fe80::9%eth0", 6, "fe80::1", "fe80::9"),
        ("fe80::1%11/64", 6, "fe80::", "fe80::ffff:ffff:ffff:ffff"),
        ("[2001:db8::1]", 6, "2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", 4, "192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", 4, "192.0.2.0", "192.0.2.255"),
        ("::ffff:192.0.2.1-::ffff:192.0.2.9", 4, "192.0.2.1", "192.0.2.9"),
    ],
)
def test_parse(text: str, version: int, first: str, last: str) -> None:
    found = IPRange.parse(text)
    assert (found.version, found.first, found.last) == (version, ip(first), ip(last))
    assert str(found) == text.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no IP address"),
        ("relay.example.org", "is no IP address"),
        ("192.168.1.256", "'192.168.1.256' is no IP address"),
        ("192.168.1.1/33", "allowed for IPv4: 0 to 32"),
        ("::1/129", "allowed for IPv6: 0 to 128"),
        ("192.168.1.0/255.255.255.0", "is no prefix length"),
        ("192.168.1.0/", "is no prefix length"),
        ("192.168.1.0/-1", "is no IP address"),
        ("192.168.1.9-192.168.1.1", "write the lower address first: 192.168.1.1-192.168.1.9"),
        ("192.168.1.9-::1", "mixes IPv4 and IPv6"),
        ("192.168.1.1-9", "'9' is no IP address (in '192.168.1.1-9')"),
        ("1.1.1.1-", "is no IP address"),
    ],
)
def test_parse_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        IPRange.parse(text)
    assert said in str(caught.value)


def test_parse_ip_folds_mapped_and_drops_scope() -> None:
    assert parse_ip("::ffff:192.0.2.1") == ipaddress.IPv4Address("192.0.2.1")
    assert parse_ip("fe80::1%eth0") == ipaddress.IPv6Address("fe80::1")
    with pytest.raises(ValueError, match="does not appear"):
        parse_ip("nowhere")


def test_ranges_are_equal_however_written() -> None:
    assert IPRange.parse("0.0.0.0/0") == IPRange.parse("0.0.0.0-255.255.255.255")
    assert IPRange.parse("10.0.0.1/24") == IPRange.parse("10.0.0.200/24")


def test_str_of_computed_range() -> None:
    assert str(IPRange(4, 1, 1)) == "0.0.0.1"
    assert str(IPRange(6, 1, 2)) == "::1-::2"


def test_covers_and_overlaps() -> None:
    wide, narrow, crossing = (IPRange.parse(text) for text in ("10.0.0.0/24", "10.0.0.5", "10.0.0.200-10.0.1.5"))
    assert wide.covers(narrow)
    assert not narrow.covers(wide)
    assert wide.overlaps(crossing)
    assert not wide.covers(crossing)
    assert not IPRange.parse("::/0").covers(wide)
    assert not IPRange.parse("::/0").overlaps(wide)


def test_the_documented_example_of_nested_ranges() -> None:
    table = RangeTable(
        [
            (IPRange.parse("0.0.0.0-255.255.255.255"), "all"),
            (IPRange.parse("192.168.1.0-192.168.1.255"), "net"),
            (IPRange.parse("192.168.1.75"), "host"),
        ]
    )

    def names(peer: str) -> list[str]:
        return [name for _, name in table.lookup(parse_ip(peer))]

    assert names("192.168.1.75") == ["host", "net", "all"]
    assert names("::ffff:192.168.1.75") == ["host", "net", "all"]
    assert names("192.168.1.100") == ["net", "all"]
    assert names("192.168.2.1") == ["all"]
    assert names("::1") == []


def test_empty_table() -> None:
    assert RangeTable[str]([]).lookup(parse_ip("10.0.0.1")) == []


def test_lookup_hands_out_no_shared_list() -> None:
    table = RangeTable([(IPRange.parse("10.0.0.1"), "a")])
    table.lookup(parse_ip("10.0.0.1")).clear()
    assert table.lookup(parse_ip("10.0.0.1"))


edges = st.integers(min_value=0, max_value=40)
ranges = st.builds(lambda version, ends: IPRange(version, min(ends), max(ends)), st.sampled_from([4, 6]), st.tuples(edges, edges))


@given(st.lists(ranges, max_size=12))
def test_lookup_agrees_with_brute_force(given_ranges: list[IPRange]) -> None:
    entries = [(entry, index) for index, entry in enumerate(given_ranges)]
    table = RangeTable(entries)
    for number in range(42):
        for address in (ipaddress.IPv4Address(number), ipaddress.IPv6Address(number)):
            expected = sorted((entry for entry in entries if entry[0].contains(address)), key=lambda entry: (entry[0].size, entry[1]))
            assert table.lookup(address) == expected


@given(st.ip_addresses(v=4), st.integers(min_value=0, max_value=32))
def test_cidr_agrees_with_the_standard_library(address: IPAddress, length: int) -> None:
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    found = IPRange.parse(f"{address}/{length}")
    assert (found.first, found.last) == (int(network[0]), int(network[-1]))
