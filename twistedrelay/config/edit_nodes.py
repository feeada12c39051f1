"""The text of a YAML file as nodes that know where in the text they stand, so that one value can be changed and nothing else.

It reads what L{twistedrelay.config.nodes} reads, in the same way (each scalar is its text), and keeps the positions, the anchors and the
aliases, which a loader has no use for.  It changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@attrs.define(eq=False)
class Node:
    """One value, or one key.

    @ivar kind: C{"scalar"}, C{"mapping"}, C{"sequence"} or C{"alias"}.
    @ivar start: its first character, that of its anchor or tag where it has one.
    @ivar end: behind its last character; comments and line ends behind it do not belong to it.
    @ivar open: the first character of the value itself, behind anchor and tag.
    @ivar flow: a collection in brackets or braces.
    @ivar text: of a scalar; None for one that is not written.
    @ivar children: of a mapping its keys and values in turn, of a sequence its items.
    @ivar target: what an alias stands for.
    """

    kind: str
    start: int
    end: int
    open: int
    flow: bool = False
    text: str | None = None
    children: list[Node] = attrs.Factory(list)
    target: Node | None = None

    @property
    def entries(self) -> list[tuple[Node, Node]]:
        """The keys and values of a mapping."""
        return list(zip(self.children[::2], self.children[1::2], strict=True))

    @property
    def data(self) -> Any:
        """What the loader would make of it; a key that is written twice has its first value."""
        if self.kind == "alias":
            assert self.target is not None
            return self.target.data
        if self.kind == "mapping":
            found: dict[Any, Any] = {}
            for key, value in self.entries:
                found.setdefault(key.text, value.data)
            return found
        if self.kind == "sequence":
            return [child.data for child in self.children]
        return self.text

    def walk(self) -> Iterator[Node]:
        """This node and all below it, aliases not followed."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(text: str) -> Node | None:
    """The only document of a text; None where there is none.

    @raise yaml.YAMLError: it is no YAML.
    """
    events = yaml.parse(text, Loader=_Loader)
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            return _node(text, event, events, {})
    return None


def _node(text: str, event: Any, events: Iterator[Any], anchors: dict[str, Node]) -> Node:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return Node("alias", start, end, start, target=anchors[str(event.anchor)])
    if isinstance(event, yaml.ScalarEvent):
        end = start + len(text[start:end].rstrip())
        plain = not event.style
        node = Node("scalar", start, end, start, text=None if plain and not event.value else event.value)
    else:
        kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
        node = Node(kind, start, end, start, flow=bool(event.flow_style))
        if node.flow:
            node.open = end - 1
    if event.anchor is not None:
        anchors[event.anchor] = node
    if node.kind != "scalar":
        for inner in events:
            if isinstance(inner, yaml.CollectionEndEvent):
                mark: Any = inner.end_mark
                node.end = mark.index if node.flow else max((child.end for child in node.children), default=node.start)
                break
            node.children.append(_node(text, inner, events, anchors))
    return node
