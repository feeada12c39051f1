"""Which entry of a configuration a mail domain means: the domain's own, else that of the nearest C{*.parent}.

Decides nothing about what the entry is for; accepted domains and address spaces both are looked up here.

Sources: Set-AcceptedDomain (DomainName), Set-SendConnector (AddressSpaces).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from twistedrelay.config.units import domain_pattern
from twistedrelay.values.address import AddressError, parse_address

T = TypeVar("T")


def _normal(domain: str) -> str:
    """A domain from the configuration as L{Address.domain} has it."""
    try:
        return parse_address(f"postmaster@{domain}", utf8=True, final_dot=True).domain
    except AddressError:
        return domain.lower().removesuffix(".")


def sender_space(text: str) -> str:
    """One of C{sender_address_spaces}, normalised: C{address} (in lower case), C{domain} or C{*.domain}.

    L{ValueError} says what is allowed.
    """
    written = text.strip()
    try:
        if "@" not in written:
            return domain_pattern(written)
        address = parse_address(written, utf8=True)
        return f"{address.local.lower()}@{address.domain}"
    except ValueError:
        allowed = "address, domain or *.domain (with its subdomains); leave the key out for every sender"
        raise ValueError(f"{text!r} is no sender space; allowed: {allowed}") from None


class DomainIndex(Generic[T]):
    """Finds the entry of a domain: its own, else that of the nearest C{*.parent}.  One dictionary look-up for each label.

    C{*.x} means the subdomains of C{x}, at any depth, and not C{x} itself.
    """

    __slots__ = ("_exact", "_parents")

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._exact: dict[str, T] = {}
        self._parents: dict[str, T] = {}
        for domain, entry in entries.items():
            if domain.startswith("*."):
                self._parents[_normal(domain[2:])] = entry
            else:
                self._exact[_normal(domain)] = entry

    def find(self, domain: str) -> T | None:
        """The entry for a domain as L{Address.domain} has it, or None."""
        found = self._exact.get(domain)
        if found is not None or not self._parents:
            return found
        _, dot, parent = domain.partition(".")
        while dot:
            found = self._parents.get(parent)
            if found is not None:
                return found
            _, dot, parent = parent.partition(".")
        return None
