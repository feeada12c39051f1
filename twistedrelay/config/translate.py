"""pydantic's errors in the words of this configuration: what is wrong, with the value, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from twistedrelay.config import later
from twistedrelay.config.problems import Path, Places, Problem, suggestion


def problems(error: ValidationError, path: Path, places: Places) -> Iterator[Problem]:
    """One problem for each error of an object that was read at C{path}."""
    for detail in error.errors(include_url=False):
        location = (*path, *detail["loc"])
        if detail["type"] == "missing":
            if not places.written(location):  # else it was written without a value, and reported as that
                yield Problem(location, f"the key {location[-1]!r} is required")
            continue
        while len(location) > len(path) and not places.written(location):
            location = location[:-1]  # a step that pydantic took and the writer did not, such as a range that stands alone
        yield Problem(location, _text(detail["type"], detail.get("input"), detail.get("ctx", {}), detail["msg"], location))


def _text(kind: str, value: Any, context: dict[str, Any], message: str, path: Path) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return wrong_word(value, re.findall(r"'([^']*)'", context["expected"]), path)
    if kind == "list_type":
        example = f", such as [{value}]" if isinstance(value, str) else ""
        return f"must be a list{example}"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return "must be a mapping (lines of 'key: value' below it)"
    if kind == "string_type":
        return "must be one text, not a list or a mapping" if value is not None else "an entry has no value; write one or leave it out"
    return f"{value!r}: {message}"


def wrong_word(value: Any, allowed: Sequence[str], path: Path) -> str:
    """What to say about a word that may not stand there."""
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    words = {word.lower(): reason for word, reason in later.VALUES.get(key, {}).items()}
    reason = words.get(value.lower()) if isinstance(value, str) else None
    if reason is True:
        return f"{value!r} is not there yet in this version; allowed: {', '.join(allowed)}"
    if reason:
        return f"{value!r} has no place here: {reason}; allowed: {', '.join(allowed)}"
    if not isinstance(value, str):
        return f"must be one of {', '.join(allowed)}"
    return f"{value!r} is unknown{suggestion(value, allowed)}; allowed: {', '.join(allowed)}"
