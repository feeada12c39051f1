"""The recipients of all accepted domains: whom to ask about an address.

Decides what every domain has (postmaster, RFC 5321 section 4.5.1), and that addresses of domains without C{recipients}, and of others'
domains, are nobody's business here.

Source: Exchange Server, "Recipient filtering" (RecipientValidationEnabled), Set-AcceptedDomain (AddressBookEnabled).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twistedrelay.config.domains import DomainIndex
from twistedrelay.interfaces import IRecipients
from twistedrelay.values.address import Address
from twistedrelay.values.reply import Reply


class Source(Protocol):
    """Who knows the addresses of a domain."""

    def known(self, recipient: Address) -> bool | Reply | Deferred[bool | Reply]:
        """See L{IRecipients}."""


@implementer(IRecipients)
class DomainRecipients:
    """See the module."""

    def __init__(self, sources: Mapping[str, Source | None]) -> None:
        """
        @param sources: for each accepted domain, None where every address is taken.
        """
        self._sources: DomainIndex[Source | None] = DomainIndex(sources)

    def known(self, recipient: Address) -> bool | Reply | Deferred[bool | Reply]:
        """See L{IRecipients}."""
        source = self._sources.find(recipient.domain)
        return True if source is None or recipient.is_postmaster else source.known(recipient)
