"""Filters that are ready to be used: names and values are checked, and objects can be asked whether they fit.

Decides which operators go with which kind of property.  A property that has no value (C{None}) equals C{$null} only, and is neither greater
nor smaller than anything.
"""

from __future__ import annotations

import datetime
import difflib
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from twistedrelay.control.filters.errors import FilterError
from twistedrelay.control.filters.kinds import Kind, Property, Wildcard, folded
from twistedrelay.control.filters.syntax import And, Comparison, Node, Not, parse

Get = Callable[[str], Any]
Test = Callable[[Get], bool]

_ORDER = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
_TEXTS = frozenset({Kind.TEXT, Kind.CHOICE})
_UNORDERED = frozenset({Kind.CHOICE, Kind.FLAG})


@attrs.frozen(slots=True)
class Condition:
    """A comparison that must hold, with its checked value: what a store may look for first.

    @ivar operand: C{None} for C{$null}; of C{like} and C{notlike} the text.
    """

    name: str
    operator: str
    operand: Any


class Filter:
    """See the module.

    @ivar text: as it was given.
    @ivar names: of the properties that it looks at.
    @ivar required: conditions that each object which fits fulfils; there may be more to it than these.
    """

    def __init__(self, text: str, properties: Iterable[Property], now: datetime.datetime) -> None:
        self.text = text
        self.names: set[str] = set()
        self._known = {_key(each.name): each for each in properties}
        self._now = now
        tree = parse(text)
        self._test = self._compiled(tree)
        self.required = tuple(self._conditions(tree))

    def matches(self, get: Get) -> bool:
        """Whether an object fits.

        @param get: gives the value of a property by its name.
        """
        return self._test(get)

    def _compiled(self, node: Node) -> Test:
        if isinstance(node, Comparison):
            return self._comparison(node)
        if isinstance(node, Not):
            inner = self._compiled(node.part)
            return lambda get: not inner(get)
        parts = [self._compiled(part) for part in node.parts]
        if isinstance(node, And):
            return lambda get: all(part(get) for part in parts)
        return lambda get: any(part(get) for part in parts)

    def _conditions(self, node: Node) -> Iterator[Condition]:
        if isinstance(node, Comparison):
            yield Condition(self._property(node).name, node.operator, self._operand(node, self._property(node)))
        elif isinstance(node, And):
            for part in node.parts:
                yield from self._conditions(part)

    def _comparison(self, node: Comparison) -> Test:
        of = self._property(node)
        name, kind, negated = of.name, of.kind, node.operator in ("ne", "notlike")
        self.names.add(name)
        operand = self._operand(node, of)
        test: Callable[[Any], bool] = _is_nothing if operand is None else _comparing(node.operator, kind, operand)
        if of.many and operand is not None:
            test = _any(test)
        if operand is None:
            return lambda get: test(get(name)) is not negated
        if negated:
            return lambda get: (value := get(name)) is None or not test(value)
        return lambda get: (value := get(name)) is not None and test(value)

    def _operand(self, node: Comparison, of: Property) -> Any:
        value = node.value
        if not value.quoted and value.text.lower() == "$null":
            if node.operator not in ("eq", "ne"):
                raise FilterError(node.column, f"$null goes with -eq and -ne only, not with -{node.operator}")
            return None
        if node.operator in ("like", "notlike"):
            if of.kind not in _TEXTS:
                raise FilterError(node.column, f"-{node.operator} is for texts; {of.shown} is compared by -eq, -ne, -gt, -ge, -lt or -le")
            return value.text
        if node.operator in _ORDER and of.kind in _UNORDERED:
            raise FilterError(node.column, f"{of.shown} has no order; allowed: -eq, -ne" + (", -like, -notlike" * (of.kind in _TEXTS)))
        try:
            return of.operand(value.text, self._now)
        except ValueError as error:
            raise FilterError(value.column, str(error)) from None

    def _property(self, node: Comparison) -> Property:
        found = self._known.get(_key(node.name))
        if found is None:
            close = difflib.get_close_matches(_key(node.name), self._known, 1)
            hint = f" (did you mean {self._known[close[0]].shown}?)" if close else ""
            allowed = ", ".join(each.shown for each in self._known.values())
            raise FilterError(node.column, f"{node.name} is no property{hint}; allowed: {allowed}")
        return found


def compile_filter(text: str, properties: Iterable[Property], now: datetime.datetime) -> Filter:
    """A filter that is ready to be used.

    @param now: what C{now} in it means.
    @raise FilterError: it cannot be understood.
    """
    return Filter(text, properties, now)


def _comparing(name: str, kind: Kind, operand: Any) -> Callable[[Any], bool]:
    """What a value is asked."""
    if name in ("like", "notlike"):
        return Wildcard(operand).fits
    compare = _ORDER.get(name, operator.eq)
    if kind in _TEXTS:
        return lambda value: bool(compare(folded(value), operand))
    return lambda value: bool(compare(value, operand))


def _any(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Of several values."""
    return lambda values: any(test(value) for value in values)


def _key(name: str) -> str:
    """Names are found in Pascal and in snake case."""
    return re.sub("_", "", name).lower()


def _is_nothing(value: Any) -> bool:
    return value is None or value == "" or value == []
