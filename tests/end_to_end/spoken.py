"""A session that a document shows, replayed: its commands are run, and what they say is compared with what the document has.

In a document C{…} stands for any text, on a line of its own for any lines.  Times, ids and sizes of messages and seconds differ from run to
run, and so does how wide a column is; all else has to be as it is written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

_VARIABLE = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"),
    (r"\+[\d.]+ (s|m|h)\b", "+LATER"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\b\d+ bytes", "SIZE"),
    (r"[ \t]+", " "),
    (r"-{2,}", "--"),
)


def blocks(section: str) -> list[list[str]]:
    """The literal blocks of a section, without their indentation."""
    return [[line[4:] for line in part.rstrip("\n").split("\n")] for part in re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", section)]


def commands(block: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Each command of a block, and what it is said to print."""
    words, shown = "", list[str]()
    for line in [*block, "$ "]:
        if line.startswith("$ "):
            if words:
                yield shlex.split(words), shown
            words, shown = line[2:], []
        elif words.endswith("\\") and not shown:
            words = words[:-1] + line
        else:
            shown.append(line)


def same(shown: list[str], said: str, names: Mapping[str, str]) -> bool:
    """Whether something was said that fits what a document shows.

    @param names: what the document has in the place of addresses and paths of this run.
    """
    for here, there in names.items():
        said = said.replace(here, there)
    lines = [_plain(line) for line in shown if line.strip()]
    pattern = "".join(r"(?:.*\n)*" if line == "…" else r".*".join(map(re.escape, line.split("…"))) + r"\n" for line in lines)
    return re.fullmatch(pattern, "".join(f"{_plain(line)}\n" for line in said.splitlines() if line.strip())) is not None


def _plain(line: str) -> str:
    for pattern, word in _VARIABLE:
        line = re.sub(pattern, word, line.rstrip())
    return line.strip() if line.strip() == "…" else line
