"""IP ranges: single addresses, CIDR blocks and dash ranges, and which of several is the most specific.

IPv4 and IPv6 are separate families; an IPv4-mapped IPv6 address (C{::ffff:a.b.c.d}) folds to IPv4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(text: str) -> IPAddress:
    """An address from its text, scope id dropped and IPv4-mapped folded.  L{ValueError} if it is none."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@attrs.frozen(slots=True, order=True)
class IPRange:
    """All addresses of one family from C{first} to C{last}, both included, as integers.  C{text} is as it was written."""

    version: int
    first: int
    last: int
    text: str = attrs.field(eq=False, order=False, default="")

    @classmethod
    def parse(cls, text: str) -> IPRange:
        """C{"192.0.2.1"}, C{"192.0.2.0/24"} (host bits allowed), C{"192.0.2.1-192.0.2.9"}; L{ValueError} says what is wrong."""
        raise ValueError("later")

    @property
    def size(self) -> int:
        """How many addresses: the smaller, the more specific."""
        return self.last - self.first + 1

    def contains(self, address: IPAddress) -> bool:
        """Whether an address (already folded by L{parse_ip}) lies in it."""
        return address.version == self.version and self.first <= int(address) <= self.last

    def covers(self, other: IPRange) -> bool:
        """Whether all of C{other} lies in it."""
        return self.version == other.version and self.first <= other.first and other.last <= self.last

    def overlaps(self, other: IPRange) -> bool:
        """Whether they share an address."""
        return self.version == other.version and self.first <= other.last and other.first <= self.last


class RangeTable(Generic[T]):
    """Finds the most specific of many ranges by bisection.  Ranges may be nested or disjoint, in any order."""

    def __init__(self, entries: Iterable[tuple[IPRange, T]]) -> None:
        raise ValueError("later")

    def lookup(self, address: IPAddress) -> list[tuple[IPRange, T]]:
        """The ranges that contain an address, the most specific first; empty where none does."""
        raise ValueError("later")
