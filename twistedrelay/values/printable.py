"""Foreign text made fit to show: in a log line, a table or a terminal."""

from __future__ import annotations


def escape(text: str) -> str:
    """The text with everything that is not printable as a backslash escape.

    C{isprintable} is false for controls, line separators, bidirectional overrides and lone surrogates alike.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
