"""The grammar of filters: a text becomes a tree.

    filter     = either
    either     = both *( "-or" both )
    both       = negated *( "-and" negated )
    negated    = "-not" negated / "(" either ")" / "{" either "}" / comparison
    comparison = property operator value
    value      = 'text' / "text" / $null / $true / $false / word

So C{-and} binds tighter than C{-or}.  A quote inside quotes is written twice.  Operators and properties may be written in any case.
Decides nothing about which properties there are, or what a value means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from twistedrelay.control.filters.errors import FilterError

LONGEST = 4096  #: characters of a filter
DEEPEST = 50  #: brackets and C{-not} within each other

COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le", "like", "notlike")
_ALLOWED = ", ".join(f"-{name}" for name in COMPARISONS)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<open>[({])|(?P<close>[)}])
        |-(?P<operator>[A-Za-z]+)(?=[\s({'"]|\Z)
        |'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"]|"")*)"
        |(?P<word>[^\s(){}'"]+)
        )""",
    re.VERBOSE,
)


@attrs.frozen(slots=True)
class Value:
    """What a property is compared with.

    @ivar quoted: it was given in quotes, so a C{$null} is just a text.
    """

    text: str
    quoted: bool
    column: int


@attrs.frozen(slots=True)
class Comparison:
    """C{Property -operator value}."""

    name: str
    operator: str
    value: Value
    column: int


@attrs.frozen(slots=True)
class Not:
    """C{-not}."""

    part: Node


@attrs.frozen(slots=True)
class And:
    """C{-and}, of two or more."""

    parts: tuple[Node, ...]


@attrs.frozen(slots=True)
class Or:
    """C{-or}, of two or more."""

    parts: tuple[Node, ...]


Node = Comparison | Not | And | Or


@attrs.frozen(slots=True)
class _Token:
    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return {"end": "the end", "operator": f"-{self.text}"}.get(self.kind, repr(self.text))


def _tokens(text: str) -> Iterator[_Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            wrong = "a quote that is not closed" if text[place] in "'\"" else f"{text[place]!r} is not understood here"
            raise FilterError(place + 1, wrong)
        kind, column = found.lastgroup, found.start(found.lastgroup) + 1
        token = found[kind]
        if kind in ("single", "double"):
            quote = "'" if kind == "single" else '"'
            yield _Token("quoted", token.replace(quote * 2, quote), column - 1)
        elif kind == "operator":
            yield _Token(kind, token.lower(), column - 1)
        else:
            yield _Token(kind, token, column)
        place = found.end()
    yield _Token("end", "", end + 1)


def parse(text: str) -> Node:
    """The tree of a filter.

    @raise FilterError: it is none.
    """
    if len(text) > LONGEST:
        raise FilterError(LONGEST + 1, f"the filter is too long; allowed: {LONGEST} characters")
    parser = _Parser(list(_tokens(text)))
    node = parser.either(0)
    parser.expect_end()
    return node


class _Parser:
    """Recursive descent."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _is(self, operator: str) -> bool:
        return self._next.kind == "operator" and self._next.text == operator

    def either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._is("or"):
            self._take()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._negated(depth)]
        while self._is("and"):
            self._take()
            parts.append(self._negated(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negated(self, depth: int) -> Node:
        token = self._next
        if depth > DEEPEST:
            raise FilterError(token.column, f"the filter is nested too deep; allowed: {DEEPEST} levels")
        if self._is("not"):
            self._take()
            return Not(self._negated(depth + 1))
        if token.kind == "open":
            self._take()
            inner = self.either(depth + 1)
            closing = self._take()
            if closing.kind != "close" or closing.text != {"(": ")", "{": "}"}[token.text]:
                raise FilterError(closing.column, f"{closing} where the {token.text} of column {token.column} should be closed")
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        name = self._take()
        if name.kind != "word":
            raise FilterError(name.column, f"{name} where a property should be, such as in \"Status -eq 'Retry'\"")
        operator = self._take()
        if operator.kind != "operator" or operator.text not in COMPARISONS:
            raise FilterError(operator.column, f"{operator} where an operator should be; allowed: {_ALLOWED}")
        value = self._take()
        if value.kind not in ("word", "quoted"):
            raise FilterError(value.column, f"{value} where the value for {name.text} should be")
        return Comparison(name.text, operator.text, Value(value.text, value.kind == "quoted", value.column), name.column)

    def expect_end(self) -> None:
        token = self._next
        if token.kind != "end":
            raise FilterError(token.column, f"{token} where -and, -or or the end should be")
