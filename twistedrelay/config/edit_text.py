"""Plain data as YAML text, in the look of a file that a person wrote.

It decides what is quoted and when a list gets lines of its own.  What it writes is read back by L{twistedrelay.config.nodes} as the same
data: each scalar is a text.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: Scalars that need no quotes, wherever they stand.
_PLAIN = re.compile(r"[A-Za-z0-9_/](?:[A-Za-z0-9_/.@+ -]*[A-Za-z0-9_/.@+-])?")

#: Words that other readers of YAML take for something else.
_WORDS = frozenset({"null", "yes", "no", "on", "off", "y", "n"})

#: Characters that JSON leaves as they are and YAML does not.
_UNPRINTABLE = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

_WIDEST = 110  #: characters of a list on one line


def scalar(text: str) -> str:
    """A text, in quotes where it needs them."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def flow(data: Any) -> str:
    """Any data on one line."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(value)}".rstrip() for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(flow, data)) + "]"
    return "" if data is None else scalar(data)


def entry(key: str, data: Any, indent: str) -> list[str]:
    """The lines of C{key: data} in a block mapping."""
    head = f"{indent}{scalar(key)}:"
    line = f"{head} {flow(data)}".rstrip()
    nested = isinstance(data, dict) and any(isinstance(value, dict | list) for value in data.values())
    listed = isinstance(data, list) and any(isinstance(value, dict) for value in data)
    if not isinstance(data, dict | list) or not data or not (nested or listed or len(line) > _WIDEST):
        return [line]
    inner = indent + "  "
    if isinstance(data, list):
        return [head, *(f"{inner}- {flow(value)}".rstrip() for value in data)]
    return [head, *block(data, inner)]


def block(data: dict[str, Any], indent: str = "") -> list[str]:
    """The lines of a mapping."""
    return [line for key, value in data.items() for line in entry(key, value, indent)]
