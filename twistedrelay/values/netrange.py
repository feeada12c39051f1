"""IP ranges: single addresses, CIDR blocks and dash ranges, and which of several is the most specific.

IPv4 and IPv6 are separate families; an IPv4-mapped IPv6 address (C{::ffff:a.b.c.d}) folds to IPv4, alone and as the end of a range.
Specificity is the number of addresses, not a prefix length, because dash ranges have none.  Nothing here knows what a range is for.

Sources: Set-ReceiveConnector (the formats of RemoteIPRanges), RFC 4291 section 2.5.5.2 (mapped addresses), RFC 4007 (scope ids).
"""

from __future__ import annotations

import bisect
import functools
import ipaddress
from collections.abc import Iterable
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF << 32  #: the first address of ::ffff:0:0/96


@functools.lru_cache(maxsize=4096)
def parse_ip(text: str) -> IPAddress:
    """An address from its text, scope id dropped and IPv4-mapped folded.  L{ValueError} if it is none."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _literal(text: str, whole: str) -> IPAddress:
    """An address inside a range, unfolded, with an error that names it and says what is allowed."""
    bare = text.strip()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    try:
        return ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        within = "" if text == whole else f" (in {whole!r})"
        raise ValueError(
            f"{text.strip()!r} is no IP address{within}; allowed: 192.0.2.1, 192.0.2.0/24, 192.0.2.1-192.0.2.9 and the same in IPv6"
        ) from None


def _folded(version: int, first: int, last: int) -> tuple[int, int, int]:
    """Version, first and last, as IPv4 where all of an IPv6 range lies in ::ffff:0:0/96."""
    if version == 6 and first >> 32 == last >> 32 == 0xFFFF:
        return 4, first - _MAPPED, last - _MAPPED
    return version, first, last


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
        written = text.strip()
        if "-" in written:
            low_text, _, high_text = written.partition("-")
            low, high = _literal(low_text, written), _literal(high_text, written)
            if low.version != high.version:
                raise ValueError(f"{written!r} mixes IPv4 and IPv6; both ends of a range must be of one family")
            if int(low) > int(high):
                raise ValueError(f"{written!r} ends before it begins; write the lower address first: {high}-{low}")
            return cls(*_folded(low.version, int(low), int(high)), written)
        base, slash, prefix = written.partition("/")
        address = _literal(base, written)
        bits = _BITS[address.version]
        length = bits
        if slash:
            if not (prefix.isascii() and prefix.isdigit() and int(prefix) <= bits):
                raise ValueError(f"{prefix!r} is no prefix length (in {written!r}); allowed for IPv{address.version}: 0 to {bits}")
            length = int(prefix)
        host = (1 << (bits - length)) - 1
        return cls(*_folded(address.version, int(address) & ~host, int(address) | host), written)

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

    def shared_with(self, other: IPRange) -> IPRange | None:
        """The addresses that lie in both."""
        return IPRange(self.version, max(self.first, other.first), min(self.last, other.last)) if self.overlaps(other) else None

    def __str__(self) -> str:
        if self.text:
            return self.text
        kind = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        return str(kind(self.first)) if self.first == self.last else f"{kind(self.first)}-{kind(self.last)}"


class _Flat(Generic[T]):
    """One family's ranges, flattened: C{starts[i]} is where the stretch begins whose addresses lie in just C{chains[i]}."""

    __slots__ = ("chains", "starts")

    def __init__(self, entries: list[tuple[IPRange, T]]) -> None:
        self.starts: list[int] = []
        self.chains: list[list[tuple[IPRange, T]]] = []
        order = sorted(range(len(entries)), key=lambda index: (entries[index][0].size, index))
        specific_first = {index: place for place, index in enumerate(order)}
        changes: dict[int, tuple[list[int], list[int]]] = {}
        for index, (wanted, _) in enumerate(entries):
            changes.setdefault(wanted.first, ([], []))[0].append(specific_first[index])
            changes.setdefault(wanted.last + 1, ([], []))[1].append(specific_first[index])
        active: list[int] = []
        for edge in sorted(changes):
            begins, ends = changes[edge]
            for place in ends:
                del active[bisect.bisect_left(active, place)]
            for place in begins:
                bisect.insort(active, place)
            self.starts.append(edge)
            self.chains.append([entries[order[place]] for place in active])


class RangeTable(Generic[T]):
    """Finds the most specific of many ranges by bisection.  Ranges may be nested, disjoint or crossing, in any order.

    Of ranges of one size the one given first comes first.
    """

    __slots__ = ("_families",)

    def __init__(self, entries: Iterable[tuple[IPRange, T]]) -> None:
        given = list(entries)
        self._families = {version: _Flat([entry for entry in given if entry[0].version == version]) for version in _BITS}

    def lookup(self, address: IPAddress) -> list[tuple[IPRange, T]]:
        """The ranges that contain an address, the most specific first; empty where none does."""
        family = self._families[address.version]
        place = bisect.bisect_right(family.starts, int(address)) - 1
        return list(family.chains[place]) if place >= 0 else []
