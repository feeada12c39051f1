"""What a send connector may do to addresses: the values of C{sender_rewrite}, C{srs_domain}, C{redirect_all_to}, C{allowed_recipients}.

Yields C{(path below the connector, what is wrong and what is allowed)}.  What the values do is said in L{twistedrelay.routing.rewrite}.
"""

from __future__ import annotations

from twistedrelay.config.patterns import AddressPattern
from twistedrelay.config.problems import Path
from twistedrelay.config.rules import Findings
from twistedrelay.config.sending import SendConnector
from twistedrelay.config.units import domain_name
from twistedrelay.values.address import AddressError, parse_address

_KEYS = ("sender_rewrite", "srs_domain", "redirect_all_to", "allowed_recipients")


def rewriting(item: SendConnector) -> Findings:
    """Rules for the addresses of one of C{send_connectors}."""
    given = [key for key in _KEYS if getattr(item, key)]
    if given and any(hop.kind == "maildir" for hop in item.smart_hosts):
        yield (given[0],), "does not go with a maildir:, which keeps messages as they are"
    yield from _sender_rewrite(item)
    if item.srs_domain:
        try:
            domain_name(item.srs_domain)
        except ValueError as error:
            yield ("srs_domain",), str(error)
    if item.redirect_all_to and not _is_address(item.redirect_all_to):
        yield ("redirect_all_to",), f"{item.redirect_all_to!r} is no address; allowed: local@domain"
    for index, text in enumerate(item.allowed_recipients):
        path: Path = ("allowed_recipients", index)
        if text == "*":
            yield path, "'*' allows everybody; leave the key out"
            continue
        try:
            AddressPattern.parse(text)
        except ValueError as error:
            yield path, str(error)


def _sender_rewrite(item: SendConnector) -> Findings:
    if item.sender_rewrite_headers_enabled and not item.sender_rewrite:
        yield ("sender_rewrite_headers_enabled",), "needs sender_rewrite: what addresses become"
    seen: set[AddressPattern] = set()
    everybody = ""
    for text, into in item.sender_rewrite.items():
        path: Path = ("sender_rewrite", text)
        try:
            pattern = AddressPattern.parse(text)
        except ValueError as error:
            yield path, str(error)
            continue
        same = (each for each in seen if (each.local, each.domain) == (pattern.local, pattern.domain))
        if everybody or next(same, None) is not None:
            before = "'*'" if everybody else "the same pattern"
            yield path, f"is never used: {before} stands before it, and the first pattern that fits counts"
        everybody = everybody or ("*" if text == "*" else "")
        seen.add(pattern)
        if not _is_address(into.replace("*@", "x@", 1) if into.startswith("*@") else into):
            yield path, f"{into!r} is no address to write in its place; allowed: local@domain, or *@domain, which keeps the local part"


def _is_address(text: str) -> bool:
    try:
        return bool(parse_address(text, utf8=True).domain)
    except AddressError:
        return False
