"""SQL statements for many rows in one step.

The sqlite3 module gives up the GIL several times in every statement, and a busy reactor takes its time to hand it back; so a batch costs
one statement a table, not one a row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

#: Rows in a statement at most; the connection keeps a prepared statement for each number of rows.
MOST_ROWS = 64


class ManyRows:
    """One statement for any number of rows."""

    def __init__(self, template: str, width: int) -> None:
        self._template = template
        self._row = "(" + ",".join("?" * width) + ")"
        self._text = functools.cache(self._make)

    def _make(self, count: int) -> str:
        return self._template.format(",".join([self._row] * count))

    def run(self, connection: sqlite3.Connection, many: Sequence[tuple[Any, ...]]) -> None:
        """Execute it for all the rows."""
        for start in range(0, len(many), MOST_ROWS):
            some = many[start : start + MOST_ROWS]
            connection.execute(self._text(len(some)), tuple(chain.from_iterable(some)))
