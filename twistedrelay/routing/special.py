"""Which addresses no stranger's DNS may send us to: those that mean this host, this network, or nobody.

A domain whose MX points to C{10.0.0.5} or C{127.0.0.1} would let its owner reach, through the relay, what is not open to him.  IPv6
forms that hold an IPv4 address are judged by that.

Sources: RFC 6890 and the IANA special-purpose address registries; RFC 6598 (carrier-grade NAT), RFC 4193 (unique local),
RFC 4291 section 2.5.5 (mapped), RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SPECIAL4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_SPECIAL6 = tuple(
    IPv6Network(text)
    for text in (
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped: no AAAA record holds one
        "64:ff9b:1::/48",  # NAT64 of the local network
        "100::/64",  # discard
        "2001::/23",  # protocol assignments, Teredo among them
        "fc00::/7",  # unique local
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",  # multicast
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")


def is_special(text: str) -> bool:
    """Whether an IP address is none that mail for strangers is sent to."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return _special4(address)
    if any(address in network for network in _SPECIAL6):
        return True
    inside = _embedded(address)
    return inside is not None and _special4(inside)


def _special4(address: IPv4Address) -> bool:
    return any(address in network for network in _SPECIAL4)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, where it does."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return None
