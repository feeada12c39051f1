"""Checks the query of a request against what its operation takes.

An unknown parameter is refused with a suggestion, and so are a value that does not fit its schema and a parameter that is given twice: what
is misspelt must never be taken for what is not asked.  Handlers read the values by L{twistedrelay.control.requests} afterwards.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from twistedrelay.control.operations import Query
from twistedrelay.control.requests import RequestProblem

_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)


def check_query(described: Query, given: Mapping[bytes, Sequence[bytes]]) -> None:
    """See the module.

    @raise RequestProblem: it is not what the operation takes.
    """
    if not given:
        return
    known = dict(described)
    for raw, values in given.items():
        name = raw.decode("utf-8", "replace")
        if name not in known:
            raise RequestProblem(HTTPStatus.BAD_REQUEST, _unknown(name, list(known)), parameter=name)
        if len(values) > 1:
            raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{name} is given more than once.", parameter=name)
        wrong = _wrong(known[name], values[0])
        if wrong:
            raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{name} must be {wrong}.", parameter=name)


def _unknown(name: str, known: list[str]) -> str:
    shown = ascii(name)[:60]
    if not known:
        return f"There is no parameter {shown}: this operation takes none."
    close = difflib.get_close_matches(name[:60], known, 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no parameter {shown}.{hint} Allowed: {', '.join(known)}."


def _wrong(schema: Mapping[str, Any], octets: bytes) -> str:
    """What a value must be where it is not, C{""} where it fits."""
    try:
        value = octets.decode("utf-8")
    except UnicodeDecodeError:
        return "in UTF-8"
    kind = schema.get("type")
    if kind == "boolean":
        return "" if value in ("true", "false") else "true or false"
    if kind == "integer":
        low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
        return "" if _INTEGER.fullmatch(value) and low <= int(value) <= high else f"a number from {low} to {high}"
    if "enum" in schema:
        return "" if value in schema["enum"] else f"one of {', '.join(map(str, schema['enum']))}"
    most = schema.get("maxLength")
    if most is not None and len(value) > most:
        return f"at most {most} characters"
    if schema.get("minLength", 0) > len(value):
        return "not empty"
    return ""
