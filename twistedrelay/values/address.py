"""Mail addresses: the grammar of RFC 5321 section 4.1.2 (and RFC 6531 with C{utf8}), and the value that all rooms use."""

from __future__ import annotations

import attrs


class AddressError(ValueError):
    """The text is no mail address; C{str()} says what is wrong with it."""


@attrs.frozen(slots=True)
class Address:
    """One mail address, or the null path.

    Two addresses are equal when local part (case counts) and domain (case does not) are.

    @ivar text: as it is written on the wire between the angle brackets: C{"User@Example.org"}, C{""} for the null path,
        C{"postmaster"} for the bare one (RFC 5321 section 4.5.1).
    @ivar local: the local part as written, quotes kept.
    @ivar domain: for comparison: lower case, A-labels, no final dot; a literal keeps its brackets (C{"[192.0.2.1]"}, C{"[ipv6:2001:db8::1]"});
        C{""} for the null path and bare postmaster.
    """

    text: str = attrs.field(eq=False)
    local: str
    domain: str

    @property
    def is_null(self) -> bool:
        """The null return path C{<>}."""
        return not self.text

    @property
    def is_postmaster(self) -> bool:
        """postmaster in any case, with or without a domain."""
        return self.local.lower() == "postmaster"

    def __str__(self) -> str:
        return self.text


NULL = Address("", "", "")


def parse_address(text: str, *, utf8: bool = False, final_dot: bool = False) -> Address:
    """An address from C{local@domain} without brackets or source route.

    @param utf8: allow RFC 6531 local parts and U-labels.
    @param final_dot: allow (and drop) one dot behind the domain.
    @raise AddressError: it is none.
    """
    raise AddressError("later")
