"""YAML text to plain data in which every scalar is the text as written, with the place of each value.

PyYAML only composes the node tree here and constructs nothing, so that C{no}, C{10:25}, C{2027-06-30} and C{0755} stay what they are and no
tag can make an object.  An empty plain scalar is None: a key without a value.  Nothing here knows which keys exist.
"""

from __future__ import annotations

from typing import Any

import attrs
import yaml

from twistedrelay.config.problems import Path, Place, Problem

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_NODES = 200_000  #: aliases can make a small file huge
_DEEPEST = 20


@attrs.define
class Document:
    """What a file holds.

    @ivar data: the top level mapping; None where the file cannot be used at all.
    @ivar places: for each path of C{data}; mapping entries are placed at their key.
    """

    file: str
    data: dict[str, Any] | None = None
    places: dict[Path, Place] = attrs.Factory(dict)
    problems: list[Problem] = attrs.Factory(list)


def read(file: str, content: bytes) -> Document:
    """Parse a file.  Errors are in the document's problems, each with its line."""
    document = Document(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        document.problems.append(Problem((), f"octet 0x{content[error.start]:02x} is not UTF-8; the file must be UTF-8 text", file, line))
        return document
    try:
        root = yaml.compose(text, Loader=_Loader)
    except RecursionError:
        document.problems.append(Problem((), "bad YAML: nested too deeply", file, 1))
        return document
    except yaml.YAMLError as error:
        document.problems.append(_syntax_problem(error, file, text))
        return document
    if root is None:
        document.problems.append(Problem((), "the file is empty; at least 'server:' is needed", file, 1))
    elif not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "a text"
        document.problems.append(Problem((), f"the file holds {kind}; allowed: a mapping with keys such as 'server:'", file, _line(root)))
    else:
        document.data = _Reader(document).mapping(root, ())
    return document


def _syntax_problem(error: yaml.YAMLError, file: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        began = getattr(error, "context_mark", None)
        since = f" which began in line {began.line + 1}" if began is not None and began.line != mark.line else ""
        parts = [part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part]
        parts[0] += since if len(parts) > 1 else ""
        return Problem((), f"bad YAML: {', '.join(parts)} (column {mark.column + 1})", file, mark.line + 1)
    position = getattr(error, "position", None)
    if isinstance(position, int):
        return Problem((), f"bad YAML: {getattr(error, 'reason', error)}", file, text[:position].count("\n") + 1)
    return Problem((), f"bad YAML: {error}", file, 1)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns the nodes of one document into data; recursion and size are bounded."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        """The entries of a mapping; of a key written twice the first one is kept."""
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(path, key_node, "a key must be a text")
                continue
            key = key_node.value
            here = (*path, key)
            if key == "<<" and not key_node.style:
                self._problem(here, key_node, "merge keys are not supported; write the entries out")
            elif key in data:
                first = self._document.places[here]
                self._problem(here, key_node, f"the key {key!r} is written twice; the first one is in line {first.line}")
            else:
                self._document.places[here] = Place(self._document.file, _line(key_node))
                data[key] = self._value(value_node, here)
        return data

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(path) > _DEEPEST:
            if self._nodes <= _MOST_NODES + 1:
                self._problem(path, node, "the file holds too much, or an alias that contains itself")
                self._nodes = _MOST_NODES + 1
            return None
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
            self._problem(path, node, f"the tag {node.tag!r} is not supported; leave it out")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._document.places[(*path, index)] = Place(self._document.file, _line(item))
                items.append(self._value(item, (*path, index)))
            return items
        plain = not getattr(node, "style", None)
        return None if plain and not node.value else node.value

    def _problem(self, path: Path, node: yaml.Node, text: str) -> None:
        self._document.problems.append(Problem(path, text, self._document.file, _line(node)))
