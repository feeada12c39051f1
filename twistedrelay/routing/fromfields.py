"""The addresses in From and Sender fields, replaced where they stand.

Finds the addr-spec of each mailbox, in angle brackets or alone, in a list or a group, folded or not, between comments and quoted or
encoded display names.  Everything but the addresses that change stays octet for octet; a field that cannot be read stays as it is.

Source: RFC 5322 sections 3.4, 3.2.2 (comments) and 4.4 (obsolete routes), RFC 6532 (UTF-8).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from twistedrelay.values.headerfields import field_name, split_fields

FIELDS = frozenset((b"from", b"sender"))
MAX_LINE = 998  #: octets (RFC 5322 section 2.1.1)
MAX_FIELDS = 20  #: fields that are looked into, where there should be one of each
MAX_FIELD = 8192  #: octets of a field that is looked into, which takes a few milliseconds

Mapping = Callable[[str], str | None]
_Token = tuple[bytes, int, int]  # what it is, where it begins and ends

_TOKEN = re.compile(
    rb"""(?P<space>[ \t\r\n]+)|(?P<word>"(?:[^"\\]|\\.)*"|[^ \t\r\n()<>\[\]:;@\\,"]+)|(?P<literal>\[[^\[\]\\]*\])|(?P<sign>[<>:;@,(])""",
    re.DOTALL,
)
_COMMENT_END = re.compile(rb"\\.|[()]", re.DOTALL)


def mapped_fields(header: bytes, mapping: Mapping) -> bytes:
    """The header section with each address in From and Sender replaced by what the mapping says; None leaves it."""
    fields = split_fields(header)
    ours = (place for place, field in enumerate(fields) if field_name(field) in FIELDS)
    for place in itertools.islice(ours, MAX_FIELDS):
        fields[place] = mapped_field(fields[place], mapping)
    return b"".join(fields)


def mapped_field(field: bytes, mapping: Mapping) -> bytes:
    """One field, likewise."""
    if len(field) > MAX_FIELD:
        return field
    changes = [(start, end, new.encode()) for start, end, text in _addresses(field) if (new := mapping(text)) is not None]
    changed = _changed(field, changes, b"")
    if max(map(len, changed.split(b"\r\n"))) > MAX_LINE:
        changed = _changed(field, changes, b"\r\n ")  # there may be blanks round an address, also in angle brackets
    return changed


def _changed(field: bytes, changes: list[tuple[int, int, bytes]], around: bytes) -> bytes:
    pieces, done = [], 0
    for start, end, new in changes:
        pieces += [field[done:start], around, new, around]
        done = end
    return b"".join([*pieces, field[done:]])


def _tokens(field: bytes, position: int) -> Iterator[_Token]:
    """The words and signs of a field, without blanks and comments.

    @raise ValueError: something is none.
    """
    while position < len(field):
        found = _TOKEN.match(field, position)
        if found is None:
            raise ValueError("not a structured field")
        kind, end = found.lastgroup, found.end()
        if found[0] == b"(":
            end = _behind_comment(field, end)
        elif kind != "space":
            yield found[0] if kind == "sign" else b"word", position, end
        position = end


def _behind_comment(field: bytes, position: int) -> int:
    depth = 1
    while depth:
        found = _COMMENT_END.search(field, position)
        if found is None:
            raise ValueError("a comment without an end")
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        position = found.end()
    return position


def _addresses(field: bytes) -> list[tuple[int, int, str]]:
    """Where each address begins and ends, and what it is; none where the field cannot be read."""
    found = []
    mailbox: list[_Token] = []
    in_brackets = False  # where a route has commas and a colon of its own
    try:
        for token in _tokens(field, field.index(b":") + 1):
            kind = token[0]
            in_brackets = kind == b"<" or (in_brackets and kind != b">")
            if in_brackets or kind not in (b",", b";", b":"):
                mailbox.append(token)
                continue
            if kind != b":":  # that ends the name of a group
                found += _address(field, mailbox)
            mailbox = []
        return found + _address(field, mailbox)
    except ValueError:
        return []


def _address(field: bytes, mailbox: list[_Token]) -> list[tuple[int, int, str]]:
    """The address of a mailbox, which has one or none."""
    kinds = [kind for kind, _, _ in mailbox]
    if b"<" in kinds:
        begin = kinds.index(b"<") + 1
        inside = mailbox[begin : kinds.index(b">")]
        routed = [place for place, (kind, _, _) in enumerate(inside) if kind == b":"]
        mailbox = inside[routed[-1] + 1 :] if routed else inside
        kinds = [kind for kind, _, _ in mailbox]
    if kinds != [b"word", b"@", b"word"]:
        return []
    text = b"".join(field[start:end] for _, start, end in mailbox)
    return [(mailbox[0][1], mailbox[-1][2], text.decode("utf-8"))]
