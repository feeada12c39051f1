"""Patterns of mail addresses in the configuration: C{"user@example.org"}, C{"*@example.org"}, C{"*@*.example.org"}, C{"*"}.

The local part is compared without case, as people and devices write it; a domain as L{Address.domain} has it.  C{*@*.x} means the
subdomains of x, as for accepted domains.
"""

from __future__ import annotations

import attrs

from twistedrelay.values.address import Address, AddressError, parse_address


@attrs.frozen(slots=True)
class AddressPattern:
    """One pattern.

    @ivar local: the local part in lower case, C{""} for any.
    @ivar domain: the domain, C{"*"} for any, C{".x"} for the subdomains of x.
    @ivar written: the address where it is one, else the domain as it is to be written.
    """

    local: str
    domain: str
    written: str

    @classmethod
    def parse(cls, text: str) -> AddressPattern:
        """The pattern of a text.

        @raise ValueError: it is none.
        """
        if text == "*":
            return cls("", "*", "*")
        local, _, domain = text.rpartition("@")
        if local == "*":
            parent = domain.startswith("*.")
            try:
                parsed = parse_address(f"postmaster@{domain.removeprefix('*.')}", utf8=True)
            except AddressError as error:
                raise ValueError(f"{text!r} is no pattern: {error}") from None
            return cls("", f".{parsed.domain}" if parent else parsed.domain, domain)
        try:
            address = parse_address(text, utf8=True)
        except AddressError as error:
            raise ValueError(f"{text!r} is no address: {error}; allowed: local@domain, *@domain, *@*.domain, *") from None
        return cls(address.local.lower(), address.domain, address.text)

    @property
    def is_address(self) -> bool:
        """Whether it is one address."""
        return bool(self.local)

    def fits(self, address: Address) -> bool:
        """Whether an address is one of those meant."""
        domain = self.domain
        if domain != "*" and address.domain != domain and not (domain.startswith(".") and address.domain.endswith(domain)):
            return False
        return not self.local or address.local.lower() == self.local

    def filled(self, address: Address) -> Address:
        """The address that this stands for as a replacement: itself, or the local part of another one at this domain."""
        return parse_address(self.written if self.is_address else f"{address.local}@{self.written}", utf8=True)
