"""How much of the Internet lies in some ranges: the globally routable addresses of their union.

It decides which addresses can be anybody's.  Addresses that only mean something inside a network (private, loopback, link-local, shared
by a carrier, documentation) and those that are no client's (multicast, reserved) do not count.

Sources: RFC 6890 and the IANA registries of special-purpose addresses, RFC 4291 section 2.4, RFC 6598 (100.64.0.0/10).
"""

from __future__ import annotations

from collections.abc import Iterable

from twistedrelay.values.netrange import IPRange

#: Stretches of a family, in order, disjoint: first and last.
Stretches = list[tuple[int, int]]

_SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    # Of IPv6 only 2000::/3 is given out, and 64:ff9b::/96 is IPv4 behind a translator.
    *("::-64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:0:0-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32", "3fff::/20"),
    "4000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)


def union(ranges: Iterable[IPRange], version: int) -> Stretches:
    """The ranges of a family, put together."""
    found: Stretches = []
    for first, last in sorted((each.first, each.last) for each in ranges if each.version == version):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


_NOBODY = {version: union(map(IPRange.parse, _SPECIAL), version) for version in (4, 6)}


def routable(ranges: Iterable[IPRange]) -> dict[int, int]:
    """How many globally routable addresses the ranges have, by the version of IP."""
    given = list(ranges)
    return {version: _size(union(given, version)) - _shared(union(given, version), _NOBODY[version]) for version in (4, 6)}


def _size(stretches: Stretches) -> int:
    return sum(last - first + 1 for first, last in stretches)


def _shared(one: Stretches, other: Stretches) -> int:
    """How many addresses are in both."""
    total, left, right = 0, 0, 0
    while left < len(one) and right < len(other):
        first, last = max(one[left][0], other[right][0]), min(one[left][1], other[right][1])
        total += max(last - first + 1, 0)
        if one[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return total
