"""What is wrong with a filter."""

from __future__ import annotations


class FilterError(ValueError):
    """A filter cannot be understood; C{str()} says where, why and what is allowed.

    @ivar column: of the text, from 1.
    """

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
