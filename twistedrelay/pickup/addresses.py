"""Addresses as people and programs write them: in header fields, on a command line.

Decides that a name without a domain belongs to the default domain, which is the first accepted domain, as in Exchange; and that a list with
anything in it that is no address is refused as a whole, so that no recipient is left out in silence.

Source: RFC 5322 section 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from twistedrelay.config.schema import Config
from twistedrelay.pickup.lines import LetterError
from twistedrelay.values.address import NULL, Address, AddressError, parse_address
from twistedrelay.values.printable import masked

#: A quoted string, a domain literal, a delimiter, blanks, or a piece of a word.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[<>,;:]|\s+|[^\s"\[\]<>,;:()]+')


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
    return NULL if text.strip() in ("", "<>") else mailbox(text, domain)


def argument_addresses(text: str, domain: str) -> list[Address]:
    """The addresses of an argument on a command line: one or a list of them, perhaps with names.

    @raise LetterError: something in it is no address.
    """
    if not text.isprintable():
        raise LetterError(f"{masked(text)[:100]!r} is no address")
    return [mailbox(one, domain) for one in addresses(text)]


def argument_path(text: str, domain: str) -> Address:
    """Likewise the one address of a sender, or the null path: nothing, or C{<>}.

    @raise LetterError: it is none of them, or more than one.
    """
    found = [NULL] if text.strip() in ("", "<>") else argument_addresses(text, domain)
    if len(found) != 1:
        raise LetterError(f"{masked(text)[:100]!r} is not one address")
    return found[0]


def field_addresses(values: Iterable[bytes], domain: str) -> list[Address]:
    """The addresses of header fields by their unfolded values, each once.

    @raise LetterError: something in them is no address.
    """
    texts = [value.decode("utf-8", "surrogateescape") for value in values]
    return unique(mailbox(text, domain) for value in texts for text in addresses(value))


def addresses(value: str) -> Iterator[str]:
    """The addresses of a list, without names, comments and groups.

    @raise LetterError: it is no such list.
    """
    words: list[str] = []
    in_angle: str | None = None
    for token, adjacent in _tokens(value):
        if token == "<":
            words, in_angle = [], ""
        elif token == ">" and in_angle is not None:
            words, in_angle = [in_angle.rpartition(":")[2] if in_angle.startswith("@") else in_angle], None
        elif in_angle is not None:
            in_angle += token
        elif token in ",;":
            yield from _one(words)
            words = []
        elif token == ":":  # behind the name of a group
            words = []
        elif adjacent and words:
            words[-1] += token
        else:
            words.append(token)
    if in_angle is not None:
        raise LetterError(f"{masked(value)[:100]!r} has no > behind a <")
    yield from _one(words)


def _one(words: list[str]) -> list[str]:
    if len(words) > 1:
        raise LetterError(f"{masked(' '.join(words))[:100]!r} is no address")
    return words


def _tokens(value: str) -> Iterator[tuple[str, bool]]:
    """What a list consists of, and whether each stands right behind the one before."""
    at, depth, adjacent = 0, 0, False
    while at < len(value):
        if depth or value[at] == "(":
            depth += {"(": 1, ")": -1}.get(value[at], 0)
            at += 2 if value[at] == "\\" else 1
            adjacent = False
            continue
        found = _TOKEN.match(value, at)
        if found is None:
            raise LetterError(f"{masked(value[at:])[:100]!r} cannot be read as addresses")
        if not found[0].isspace():
            yield found[0], adjacent
        adjacent = not found[0].isspace() and found[0] not in "<>,;:"
        at = found.end()
    if depth:
        raise LetterError(f"{masked(value)[:100]!r} has a comment without an end")


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Each address once."""
    return list(dict.fromkeys(addresses))
