"""The kinds of properties, and what the value of a comparison means for each.

Texts are compared without regard to case; C{-like} knows C{*} for any text and C{?} for one character.  Sizes are in octets, or in B, KB,
MB, GB, TB (1 KB = 1024).  Times are ISO 8601 (C{2026-11-22}, C{2026-11-22T15:00:00Z}) or as the Management Shell writes them
(C{11/22/2026 3:00 PM}), in UTC where they name no offset, or relative (C{now-2h}).  Time spans are C{hh:mm:ss}, C{dd.hh:mm:ss} or C{30m}.
"""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Callable
from typing import Any

import attrs

from twistedrelay.config.units import DURATIONS, SIZES, duration, size
from twistedrelay.values.letters import searched

_LARGEST = 2**63 - 1  #: that stores can compare
_RELATIVE = re.compile(r"now(?:\s*([+-])\s*(\S+))?", re.IGNORECASE)
_SHELL_FORMATS = ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p")
MOMENTS = "2026-11-22, 2026-11-22T15:00:00Z, '11/22/2026 3:00 PM' or now-2h"


class Kind(enum.Enum):
    """What a property holds."""

    TEXT = "text"
    CHOICE = "choice"
    NUMBER = "number"
    DECIMAL = "decimal"
    SIZE = "size"
    MOMENT = "moment"
    SPAN = "span"
    FLAG = "flag"


@attrs.frozen(slots=True)
class Property:
    """A property that can be filtered by.

    @ivar name: of the attribute: C{from_address}.
    @ivar choices: all that a CHOICE can be.
    @ivar many: it holds several texts, any of which may fit.
    """

    name: str
    kind: Kind = Kind.TEXT
    choices: tuple[str, ...] = ()
    many: bool = False

    @property
    def shown(self) -> str:
        """As Exchange writes it: C{FromAddress}."""
        return "".join("IP" if word == "ip" else word.capitalize() for word in self.name.split("_"))

    def operand(self, text: str, now: datetime.datetime) -> Any:
        """What a value means for this property.

        @raise ValueError: nothing; C{str()} says what is allowed.
        """
        return _READERS[self.kind](self, text.strip() if self.kind is not Kind.TEXT else text, now)


def folded(text: str) -> str:
    """As texts are compared."""
    return text.casefold()


class Wildcard:
    """What C{-like} compares with.  Takes time in proportion to the text, however many wildcards there are."""

    def __init__(self, text: str) -> None:
        self._parts = [
            (len(part), re.compile("".join("." if letter == "?" else re.escape(letter) for letter in part), re.DOTALL))
            for part in searched(text).split("*")
        ]

    def fits(self, text: str) -> bool:
        """Whether a text has the form."""
        text = searched(text)
        (first, start), (last, end) = self._parts[0], self._parts[-1]
        if len(self._parts) == 1:
            return start.fullmatch(text) is not None
        if len(text) < first + last or start.match(text) is None or end.fullmatch(text, len(text) - last) is None:
            return False
        place, most = first, len(text) - last
        for _, part in self._parts[1:-1]:
            found = part.search(text, place, most)
            if found is None:
                return False
            place = found.end()
        return True


def _text(of: Property, text: str, now: datetime.datetime) -> str:
    return folded(text)


def _choice(of: Property, text: str, now: datetime.datetime) -> str:
    if text.casefold() not in (choice.casefold() for choice in of.choices):
        raise ValueError(f"{text!r} is no {of.shown}; allowed: {', '.join(of.choices)}")
    return folded(text)


def _number(of: Property, text: str, now: datetime.datetime) -> int:
    if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        raise ValueError(f"{text!r} is no number")
    return _bounded(int(text), text)


def _bounded(number: int, text: str) -> int:
    """The same, where stores have numbers as large (64 bits)."""
    if abs(number) > _LARGEST:
        raise ValueError(f"{text!r} is more than {_LARGEST}, which nothing is")
    return number


def _decimal(of: Property, text: str, now: datetime.datetime) -> float:
    if not re.fullmatch(r"-?\d{1,15}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError(f"{text!r} is no number such as 12 or 0.5")
    return float(text)


def _size(of: Property, text: str, now: datetime.datetime) -> int:
    try:
        found = size(text)
    except ValueError:
        raise ValueError(f"{text!r} is no size; allowed: {SIZES}") from None
    return _bounded(found, text)


def _span(of: Property, text: str, now: datetime.datetime) -> float:
    try:
        return duration(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time span; allowed: {DURATIONS}") from None


def _flag(of: Property, text: str, now: datetime.datetime) -> bool:
    found = {"$true": True, "true": True, "$false": False, "false": False}.get(text.lower())
    if found is None:
        raise ValueError(f"{text!r} is neither $true nor $false")
    return found


def _moment(of: Property, text: str, now: datetime.datetime) -> datetime.datetime:
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative is not None:
            sign, span = relative.groups()
            return now + datetime.timedelta(seconds=duration(span) * (1 if sign == "+" else -1)) if span else now
        found = _written(text)
        return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; allowed: {MOMENTS}") from None


def _written(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        for form in _SHELL_FORMATS:
            try:
                return datetime.datetime.strptime(text, form)
            except ValueError:
                continue
        raise


_READERS: dict[Kind, Callable[[Property, str, datetime.datetime], Any]] = {
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.SIZE: _size,
    Kind.MOMENT: _moment,
    Kind.SPAN: _span,
    Kind.FLAG: _flag,
}
