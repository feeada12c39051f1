"""Which addresses a stranger's DNS may not send us to."""

from __future__ import annotations

import pytest

from twistedrelay.routing.special import is_special

#: The first and the last address of each IPv4 network, with those beside it, which are ordinary.
NETWORKS4 = [
    ("", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
    ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
    ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
    ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
    ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
    ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
    ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
    ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
    ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
    ("223.255.255.255", "224.0.0.0", "255.255.255.255", ""),
]


@pytest.mark.parametrize(("before", "first", "last", "after"), NETWORKS4)
def test_ipv4(before: str, first: str, last: str, after: str) -> None:
    assert is_special(first)
    assert is_special(last)
    assert not any(is_special(address) for address in (before, after) if address)


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::8.8.8.8",  # IPv4-compatible
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2002:7f00:1::1",  # 6to4 of 127.0.0.1
        "2002:a00:1::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_special_ipv6(address: str) -> None:
    assert is_special(address)


@pytest.mark.parametrize("address", ["2001:4860::8888", "2600::1", "2a00:1450::1", "64:ff9b::8.8.8.8", "2002:808:808::1"])
def test_ordinary_ipv6(address: str) -> None:
    assert not is_special(address)
