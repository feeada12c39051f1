"""Languages: what the sender of a message reads, by its header, and which of the languages that there are fits best.

Sources: RFC 3282 (Content-Language, Accept-Language), RFC 5646 section 2.1 (tags), RFC 4647 section 3.4 (look-up).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from twistedrelay.values.headerfields import field_name, split_fields, unfolded

#: The languages that reports are written in.
SHIPPED = ("de", "en", "es", "fr", "tr")

MAX_WANTED = 10  #: languages of a message that are looked at
MAX_FIELD = 500  #: octets of a field that are looked at

_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_RANGE = re.compile(rf"({_TAG.pattern})(?:\s*;\s*q\s*=\s*([01](?:\.\d{{0,3}})?))?")
_FIELDS = re.compile(rb"^(?:accept|content)-language", re.IGNORECASE | re.MULTILINE)
_COMMENT = re.compile(r"\([^()]*\)")


def is_language(text: str) -> bool:
    """Whether it has the form of a language tag."""
    return _TAG.fullmatch(text) is not None


def best(wanted: str, available: Iterable[str]) -> str | None:
    """Which of these tags fits a wanted one: itself, or what is left without its last parts; None for none."""
    known = {tag.lower(): tag for tag in available}
    tag = wanted.lower()
    while tag:
        if tag in known:
            return known[tag]
        tag = tag.rpartition("-")[0]
    return None


def shipped(wanted: str) -> str | None:
    """The language of reports that fits a tag, or None."""
    return best(wanted, SHIPPED)


def wanted_languages(header: bytes) -> list[str]:
    """The tags that the sender of a message likes best, by its header section: those accepted, then those it is written in."""
    if _FIELDS.search(header) is None:
        return []
    accepted: list[tuple[float, str]] = []
    written: list[str] = []
    for field in split_fields(header):
        name = field_name(field)
        if name not in (b"accept-language", b"content-language"):
            continue
        text = _COMMENT.sub("", unfolded(field)[:MAX_FIELD].decode("ascii", "replace"))
        for item in text.split(",")[:MAX_WANTED]:
            found = _RANGE.fullmatch(item.strip())
            if found is None:
                continue
            if name == b"content-language":
                written.append(found[1])
            elif (quality := float(found[2] or 1)) > 0:
                accepted.append((-quality, found[1]))
    ordered = [tag for _, tag in sorted(accepted, key=lambda each: each[0])]
    return list(dict.fromkeys([*ordered, *written]))[:MAX_WANTED]
