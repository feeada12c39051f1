"""Addresses as people and programs write them: in header fields, on a command line.

Decides that a name without a domain belongs to the default domain, which is the first accepted domain, as in Exchange.

Source: RFC 5322 section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import getaddresses

from twistedrelay.config.schema import Config
from twistedrelay.pickup.lines import LetterError
from twistedrelay.values.address import Address, AddressError, parse_address, parse_path


def default_domain(config: Config) -> str:
    """What a name without a domain is completed by."""
    return next((domain for domain in config.accepted_domains if not domain.startswith("*.")), config.server.fqdn)


def mailbox(text: str, domain: str) -> Address:
    """An address, perhaps in angle brackets, perhaps without its domain.

    @raise LetterError: it is none.
    """
    bare = text.strip()
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1]
    try:
        return parse_address(bare if "@" in bare else f"{bare}@{domain}", utf8=True)
    except AddressError as error:
        raise LetterError(f"{text.strip()!r} is no address: {error}") from None


def path(text: str, domain: str) -> Address:
    """The same, or the null path: nothing, or C{<>}.

    @raise LetterError: it is none of them.
    """
    return parse_path("") if text.strip() in ("", "<>") else mailbox(text, domain)


def field_addresses(values: Iterable[bytes], domain: str) -> list[Address]:
    """The addresses of header fields by their unfolded values, each once.

    @raise LetterError: one of them is none.
    """
    texts = [value.decode("utf-8", "surrogateescape") for value in values]
    return unique(mailbox(text, domain) for _, text in getaddresses(texts) if text)


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Each address once."""
    return list(dict.fromkeys(addresses))
