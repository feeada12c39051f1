"""Changes the text of a YAML file so that it holds other data, and leaves every other character as it is.

What is the same keeps its text: comments, order, quotes, indentation, line ends.  What changes is replaced where it stands, what is new
comes behind its neighbours.  The result is read again: it holds just what was wanted, or there is an error and no result.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from twistedrelay.config import edit_flow
from twistedrelay.config.edit_nodes import Node, parse
from twistedrelay.config.edit_text import entry, flow

_BOM = "\ufeff"


class CannotPatch(Exception):
    """The text is written in a way that cannot be changed bit by bit; a person must do it."""


def patched(text: str, new: dict[str, Any]) -> str:
    """The text, changed so that it holds C{new}: plain data whose scalars are texts.

    @raise CannotPatch: it cannot be done without harm.
    """
    bare = text.removeprefix(_BOM)
    try:
        root = parse(bare)
        if root is None or root.kind != "mapping":
            raise CannotPatch("it holds no mapping")
        if root.data == new:
            return text
        if any(node.target is not None for node in root.walk()):
            bare = _without_aliases(bare, new)
            root = parse(bare)
            assert root is not None
        result = _Patch(bare, root, new).text()
        read = parse(result)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CannotPatch(f"it is written in an unusual way ({type(error).__name__})") from None
    if read is None or _normal(read.data) != _normal(new):
        raise CannotPatch("it is written in an unusual way")
    return text[: len(text) - len(text.removeprefix(_BOM))] + result


def _normal(data: dict[str, Any]) -> dict[str, Any]:
    """An empty section is one without a value."""
    return {key: value or None if isinstance(value, dict) else value for key, value in data.items()}


def _without_aliases(text: str, new: dict[str, Any]) -> str:
    """The text with those aliases written out that tie an object that changes to another one."""
    while True:
        root = parse(text)
        assert root is not None
        touched = list(_touched(root, new))
        for node in root.walk():
            target = node.target
            if target is None:
                continue
            inside, refers = _within(node, touched), _within(target, touched)
            if inside or refers:
                space = " " if text[node.end : node.end + 1] == ":" else ""
                text = text[: node.start] + flow(target.data) + space + text[node.end :]
                break
        else:
            return text


def _touched(root: Node, new: dict[str, Any]) -> Any:
    """The smallest nodes at the first or second level that hold all that changes."""
    for key, value in root.entries:
        wanted = new.get(key.text or "")
        if value.data == wanted:
            continue
        if value.kind != "mapping" or not isinstance(wanted, dict):
            yield value
            continue
        for name, item in value.entries:
            if item.data != wanted.get(name.text):
                yield item


def _within(node: Node, others: list[Node]) -> bool:
    return any(other.start <= node.start and node.end <= other.end for other in others)


class _Patch:
    """One change of one text."""

    def __init__(self, text: str, root: Node, new: dict[str, Any]) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._splices: list[tuple[int, int, str]] = []
        if root.flow:
            self._splice(root.start, root.end, edit_flow.changed(text, root, new))
        else:
            self._mapping(root, new, 0)

    def text(self) -> str:
        """The result."""
        text = self._text
        for start, end, written in sorted(self._splices, key=lambda splice: splice[:2], reverse=True):
            text = text[:start] + written + text[end:]
        return text

    def _splice(self, start: int, end: int, written: str) -> None:
        self._splices.append((start, end, written))

    # -- values ----------------------------------------------------------------------------------------------------------

    def _value(self, key: Node, node: Node, new: Any, depth: int) -> None:
        """The value of a key in a block mapping."""
        if node.data == new:
            return
        alike = type(node.data) is type(new) and node.kind != "alias"
        if alike and new and node.flow:
            self._splice(node.start, node.end, edit_flow.changed(self._text, node, new))
        elif alike and isinstance(new, dict) and not node.flow and (new or depth == 1):
            self._mapping(node, new, depth)
        elif alike and isinstance(new, list) and not node.flow and new:
            self._sequence(node, new)
        elif node.kind in ("mapping", "sequence") and not node.flow:
            self._splice(self._colon(key), self._colon(key), f" {flow(new)}".rstrip())
            self._splice(self._line(node.start), self._lines_end(node.end, self._column(key.start)), "")
        else:
            space = "" if self._text[node.start - 1] in " \n" else " "
            self._splice(node.start, node.end, space + flow(new))

    def _mapping(self, node: Node, new: dict[str, Any], depth: int) -> None:
        kept: set[str | None] = set()
        there = {key.text for key, _ in node.entries}
        added = [name for name in new if name not in there]
        for key, value in node.entries:
            if key.text in kept or key.text not in new:
                self._remove(key, value)
            else:
                kept.add(key.text)
                self._value(key, value, new[key.text], depth + 1)
        if added:
            indent = self._indent(node.entries[0][0].start)
            where = self._lines_end(node.end, len(indent)) if depth else self._document_end(node.end)
            self._insert(where, [line for name in added for line in entry(name, new[name], indent)])

    def _sequence(self, node: Node, new: list[Any]) -> None:
        dashes = [self._dash(item) for item in node.children]
        indent = self._indent(dashes[0])
        for kept, old, wanted in edit_flow.compared(node.data, new):
            if kept:
                continue
            lines = [f"{indent}- {flow(value)}" for value in new[wanted.start : wanted.stop]]
            if not old:
                where = self._line_end(node.children[old.start - 1].end) if old.start else self._line(dashes[0])
                self._insert(where, lines)
                continue
            start = self._line(dashes[old.start])
            end = self._lines_end(node.children[old.stop - 1].end, len(indent))
            self._splice(start, end, "".join(line + self._newline for line in lines))

    def _remove(self, key: Node, value: Node) -> None:
        """Take an entry out, with the comments on its lines and below it that are indented deeper."""
        column = len(self._indent(key.start))
        start, end = self._line(key.start), self._lines_end(value.end, column)
        before, after = self._text[:start].splitlines(), self._text[end:].splitlines()
        if (not before or not before[-1].strip()) and after and not after[0].strip():  # one of the empty lines round it is enough
            end += len(self._text[end:].splitlines(keepends=True)[0])
        self._splice(start, end, "")

    def _insert(self, where: int, lines: list[str]) -> None:
        """Put lines where one begins, or behind the last one, whether it has an end or not."""
        text = self._newline.join(lines)
        ended = where == 0 or self._text[where - 1] in "\r\n"
        self._splice(where, where, text + self._newline if ended else self._newline + text)

    # -- places ----------------------------------------------------------------------------------------------------------

    def _line(self, position: int) -> int:
        """Where the line of a position begins."""
        return self._text.rfind("\n", 0, position) + 1

    def _line_end(self, position: int) -> int:
        """Where the next line begins."""
        found = self._text.find("\n", position)
        return len(self._text) if found < 0 else found + 1

    def _lines_end(self, position: int, column: int) -> int:
        """The same, behind the comments below that are indented deeper than a column."""
        end = self._line_end(position)
        comments = re.compile(rf"(?:[ \t]*\r?\n)*(?: {{{column + 1},}}#[^\n]*(?:\n|\Z))+")
        while found := comments.match(self._text, end):
            end = found.end()
        return end

    def _document_end(self, position: int) -> int:
        """Behind the comments and empty lines that follow what stands last."""
        end = self._line_end(position)
        rest = self._text[end:]
        return len(self._text) if all(not line.strip() or line.startswith("#") for line in rest.splitlines()) else end

    def _column(self, position: int) -> int:
        return position - self._line(position)

    def _indent(self, position: int) -> str:
        """What stands in front of a position on its line: nothing but spaces."""
        indent = self._text[self._line(position) : position]
        if indent.strip(" "):
            raise CannotPatch("it is written in an unusual way")
        return indent

    def _dash(self, item: Node) -> int:
        """The position of an item's dash."""
        before = self._text[: item.start].rstrip()
        if not before.endswith("-"):
            raise CannotPatch("it is written in an unusual way")
        return len(before) - 1

    def _colon(self, key: Node) -> int:
        """Behind the colon of a key."""
        found = re.compile(r"[ \t]*:").match(self._text, key.end)
        if found is None:
            raise CannotPatch("it is written in an unusual way")
        return found.end()
