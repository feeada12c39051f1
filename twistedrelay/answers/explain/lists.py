"""Which recipients exist, as far as files say it: nobody is asked.

A directory or a next hop that a relay would ask is remembered, so that the answer can say so.
"""

from __future__ import annotations

from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IRecipients
from twistedrelay.policy.recipients.domains import DomainRecipients, Source
from twistedrelay.policy.recipients.listed import RecipientFile, RecipientFileError
from twistedrelay.values.address import Address


class Unasked:
    """Questions that were not put to anybody."""

    def __init__(self) -> None:
        self._questions: list[tuple[str, str]] = []

    def add(self, source: str, recipient: Address) -> None:
        """One."""
        self._questions.append((source, recipient.text))

    def take(self) -> list[tuple[str, str]]:
        """Those since the last time: whom, and about which address."""
        found, self._questions = self._questions, []
        return found


class _Elsewhere:
    """Recipients that only somebody else knows."""

    def __init__(self, source: str, unasked: Unasked) -> None:
        self._source = source
        self._unasked = unasked

    def known(self, recipient: Address) -> bool:
        """It counts as there."""
        self._unasked.add(self._source, recipient)
        return True


def _reported(text: str) -> None:
    """A list is read once here: it does not change."""


def file_recipients(config: Config, unasked: Unasked) -> tuple[IRecipients | None, list[str]]:
    """The recipients of all accepted domains, None where none has C{recipients}; and what could not be read."""
    sources: dict[str, Source | None] = {}
    problems = []
    for domain, item in config.accepted_domains.items():
        found = item.recipients
        if found is None:
            sources[domain] = None
        elif found.file:
            listed = RecipientFile(found.file, _reported)
            try:
                listed.load()
                sources[domain] = listed
            except RecipientFileError as error:
                sources[domain] = _Elsewhere(found.file, unasked)
                problems.append(f"The recipients of {domain} cannot be read: {error}")
        else:
            sources[domain] = _Elsewhere(f"The directory of {found.ldap}" if found.ldap else f"The next hop {item.next_hop}", unasked)
    return (DomainRecipients(sources) if any(sources.values()) else None), problems
