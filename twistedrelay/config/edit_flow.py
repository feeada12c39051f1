"""Changes a collection in brackets or braces: what stays keeps its text, with the comments and line ends round it.

Only the text of one such collection is made here; L{twistedrelay.config.edit_patch} puts it in its place.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any

import attrs

from twistedrelay.config.edit_nodes import Node
from twistedrelay.config.edit_text import flow, scalar

_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")


@attrs.define
class _Part:
    """One item or entry.

    @ivar lead: the space in front of it.
    @ivar gap: what stands between it and its comma.
    @ivar tail: a comment behind the comma, on the same line.
    """

    lead: str
    body: str
    gap: str = ""
    tail: str = ""


class _Parts:
    """A collection, taken apart."""

    def __init__(self, text: str, node: Node, spans: list[tuple[int, int]]) -> None:
        opening = text.index("{" if node.kind == "mapping" else "[", node.open)
        self.head = text[node.start : opening + 1]
        self.parts: list[_Part] = []
        self.comma = False
        position, last = opening + 1, node.end - 1
        for start, end in spans:
            part = _Part(text[position:start], text[start:end])
            between = _BETWEEN.match(text, end)
            after = between.end() if between is not None else end
            self.comma = text[after : after + 1] == "," and after < last
            if self.comma:
                part.gap, position = text[end:after], after + 1
            else:
                position = end
            if comment := _COMMENT.match(text, position, last):
                part.tail, position = comment[0], comment.end()
            self.parts.append(part)
        self.end = text[position : node.end]

    def lead(self) -> str:
        """The space in front of what is added."""
        if len(self.parts) == 1 and "\n" not in self.parts[0].lead:
            return " "
        return self.parts[-1].lead if self.parts else ""

    def joined(self, parts: list[_Part]) -> str:
        """The whole text, of other parts."""
        if parts and self.parts:
            parts[0] = attrs.evolve(parts[0], lead=self.parts[0].lead)
        written = [
            part.lead + part.body + part.gap + ("," if self.comma or index < len(parts) - 1 else "") + part.tail
            for index, part in enumerate(parts)
        ]
        return self.head + "".join(written) + self.end


def changed(text: str, node: Node, new: Any) -> str:
    """The text of a collection in flow style that is to hold other data of its kind; both hold something."""
    return _mapping(text, node, new) if node.kind == "mapping" else _sequence(text, node, new)


def _value(text: str, node: Node, new: Any) -> str:
    if node.data == new:
        return text[node.start : node.end]
    if node.flow and new and type(node.data) is type(new):
        return changed(text, node, new)
    return flow(new)


def _mapping(text: str, node: Node, new: dict[str, Any]) -> str:
    taken = _Parts(text, node, [(key.start, value.end) for key, value in node.entries])
    lead, parts, there = taken.lead(), [], set()
    for (key, value), part in zip(node.entries, taken.parts, strict=True):
        if key.text not in new or key.text in there:
            continue
        there.add(key.text)
        if value.data != new[key.text]:
            before = text[key.start : value.start]
            part.body = (before if before.endswith((" ", "\n")) else before + " ") + _value(text, value, new[key.text])
        parts.append(part)
    parts += [_Part(lead, f"{scalar(name)}: {flow(value)}") for name, value in new.items() if name not in there]
    return taken.joined(parts)


def _sequence(text: str, node: Node, new: list[Any]) -> str:
    taken = _Parts(text, node, [(item.start, item.end) for item in node.children])
    lead = taken.lead()
    parts: list[_Part] = []
    for kept, old, wanted in compared([item.data for item in node.children], new):
        parts += taken.parts[old.start : old.stop] if kept else [_Part(lead, flow(value)) for value in new[wanted.start : wanted.stop]]
    return taken.joined(parts)


def compared(old: list[Any], new: list[Any]) -> list[tuple[bool, range, range]]:
    """How a list becomes another one: runs of items that stay, and runs that others take the place of."""
    plain: Callable[[Any], str] = json.dumps
    matcher = difflib.SequenceMatcher(None, list(map(plain, old)), list(map(plain, new)), autojunk=False)
    return [(tag == "equal", range(a, b), range(c, d)) for tag, a, b, c, d in matcher.get_opcodes()]
