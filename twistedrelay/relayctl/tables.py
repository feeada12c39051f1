"""Tables: titles, dashes, and a line per row.

It decides how a table fits a terminal.  Off a terminal it is never cut or wrapped.  On one that is too narrow, titles go on several lines,
between their words; times lose what is below a second; columns that can be spared are left out, which is said below the table; long
cells go on, and very long ones end with a mark.  Where even that is too little, each row is a list of its properties.

Source: Exchange Management Shell, Format-Table and Format-List.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence

import click

Cells = Sequence[str]

GAP = 2  #: columns of the terminal between two of the table
WIDEST_PIECES = (24, 16)  #: what is no wider than this is not broken; the second where the first leaves no table
FEW_LINES = 3  #: of one cell, where that is not wider than one piece may be
MOST_LINES = 8  #: likewise, at most

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")
_COLUMN = re.compile(r"^ +|(?<=\S) {2,}")  #: what a column of a text begins behind
_WORDS = re.compile(r"\S+ *| +")
_TITLE_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z\d]+|[A-Z\d]+")
#: Where a cell may go on in the next line: behind blanks and separators; where a piece is too wide, before an at sign; then behind a dot.
_PIECES = tuple(map(re.compile, (r"[^\s\\,;/]*[\s\\,;/]*", r"@?[^@]*", r"[^.:_=-]*[.:_=-]*")))


def width_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def table(titles: Cells, rows: Sequence[Cells], spare: Sequence[int] = ()) -> str:
    """A table; nothing at all where there are no rows, as the Management Shell does it.

    @param spare: the columns that a narrow terminal does without, in this order.
    """
    if not rows:
        return ""
    widths = [max(width_of(title), *(width_of(row[place]) for row in rows)) for place, title in enumerate(titles)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns
        if _total(widths) > room:
            return _fitted(titles, [[_TIME.sub(r"\1 \2", cell) for cell in row] for row in rows], spare, room)
    return _lines([titles, ["-" * width_of(title) for title in titles], *rows], widths)


def properties(titles: Cells, cells: Cells) -> str:
    """A list of properties, a line for each; on a narrow terminal titles and values go on in their columns."""
    if sys.stdout.isatty():
        return _listed(titles, cells, shutil.get_terminal_size().columns)
    width = max(map(len, titles))
    return "".join(f"{title:<{width}} : {cell}".rstrip() + "\n" for title, cell in zip(titles, cells, strict=True))


def folded(line: str) -> str:
    """A line of a text, which may be painted: on a narrow terminal it goes on under its last column, and is broken between words only."""
    plain, room = click.unstyle(line), shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or width_of(plain) <= room:
        return line
    starts = [found.end() for found in _COLUMN.finditer(plain)]
    indent = " " * max((start for start in starts if start <= room // 2), default=0)
    lines = [""]
    for word in _WORDS.findall(line):
        if lines[-1].strip() and width_of(click.unstyle(lines[-1] + word).rstrip()) > room:
            lines.append(indent)
        lines[-1] += word
    return "\n".join(each.rstrip() for each in lines)


def _total(widths: Collection[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _lines(lines: Sequence[Cells], widths: Sequence[int]) -> str:
    return "".join(
        (" " * GAP).join(cell + " " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def _fitted(titles: Cells, rows: Sequence[Cells], spare: Sequence[int], room: int) -> str:
    """As much of it as there is room for."""
    for widest in WIDEST_PIECES:
        needed = [_needed(title, {row[place] for row in rows}, widest) for place, title in enumerate(titles)]
        for count in range(len(spare) + 1):
            left_out = spare[:count]
            shown = [place for place in range(len(titles)) if place not in left_out]
            if _total([needed[place] for place in shown]) <= room:
                text = _broken([titles[place] for place in shown], [[row[place] for place in shown] for row in rows], widest, room)
                return text + _said([titles[place] for place in sorted(left_out)], room)
    return _vertical(titles, rows, room)


def _broken(titles: Cells, rows: Sequence[Cells], widest: int, room: int) -> str:
    """All of it, with titles and cells on several lines."""
    columns = [{row[place] for row in rows} for place in range(len(titles))]
    needed = [_needed(title, column, widest) for title, column in zip(titles, columns, strict=True)]
    wanted = [max(map(width_of, (title, *column))) for title, column in zip(titles, columns, strict=True)]
    widths = shared_out(needed, wanted, room - GAP * (len(titles) - 1))
    heads = [list(_wrapped(_TITLE_WORDS.findall(title), width)) for title, width in zip(titles, widths, strict=True)]
    lines = [*_level(heads, last=True), ["-" * max(map(len, head)) for head in heads]]
    for row in rows:
        lines += _level([_cell(cell, width, widest) for cell, width in zip(row, widths, strict=True)])
    return _lines(lines, widths)


def _said(left_out: Sequence[str], room: int) -> str:
    return textwrap.fill(f"(A wider terminal also shows {', '.join(left_out)}.)", room) + "\n" if left_out else ""


def _needed(title: str, cells: Collection[str], widest: int) -> int:
    """The least width at which a column can be read: wide enough for each piece, and for a cell in few lines."""
    words = max(map(len, _TITLE_WORDS.findall(title)))
    few_lines = min(max(map(width_of, cells)) // FEW_LINES, widest)
    return max(words, few_lines, *(width_of(piece.rstrip()) for cell in cells for piece in _pieces(cell, widest)), 1)


def _pieces(text: str, widest: int, level: int = 0) -> Iterator[str]:
    """What a cell is made of that stays in one line."""
    for piece in _PIECES[level].findall(text):
        if width_of(piece.rstrip()) <= widest:
            yield piece
        elif level + 1 < len(_PIECES):
            yield from _pieces(piece, widest, level + 1)
        else:
            while piece:
                head = _head(piece, widest)
                yield head
                piece = piece[len(head) :]


def _head(text: str, width: int) -> str:
    """As many characters of a text as there is room for."""
    while width_of(text) > width:
        text = text[: max(1, len(text) - max(1, (width_of(text) - width) // 2))]
    return text


def shared_out(needed: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """Widths that fill the room: narrow columns get what they want, the others the same."""
    widths = list(needed)
    left = room - sum(widths)
    while left > 0:
        growing = [place for place, width in enumerate(widths) if width < wanted[place]]
        if not growing:
            break
        least = min(widths[place] for place in growing)
        for place in growing:
            if left and widths[place] == least:
                widths[place] += 1
                left -= 1
    return widths


def _wrapped(pieces: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for piece in pieces:
        if line and width_of(line + piece.rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece
    yield line.rstrip()


def _cell(text: str, width: int, widest: int) -> list[str]:
    lines = [line for line in _wrapped(_pieces(text, widest), width) if line] or [""]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1 :] = [_head(lines[MOST_LINES - 1], width - 1) + "…"]
    return lines


def _level(cells: Sequence[Sequence[str]], *, last: bool = False) -> Iterator[list[str]]:
    """Cells of several lines as lines of cells; C{last}: they end together."""
    height = max(map(len, cells))
    for line in range(height):
        yield [cell[at] if 0 <= (at := line - (height - len(cell) if last else 0)) < len(cell) else "" for cell in cells]


def _vertical(titles: Cells, rows: Sequence[Cells], room: int) -> str:
    """A list of properties for each row."""
    return "\n".join(_listed(titles, row, room) for row in rows)


def _listed(titles: Cells, cells: Cells, room: int) -> str:
    """Titles and values side by side, each on as many lines as it takes."""
    column = min(max(map(len, titles)), max(room // 2 - 3, WIDEST_PIECES[-1]))
    width = max(room - column - 3, WIDEST_PIECES[-1])
    lines = []
    for title, cell in zip(titles, cells, strict=True):
        heads, values = _wrapped(_TITLE_WORDS.findall(title), column), _wrapped(_pieces(cell, width), width)
        for number, (head, value) in enumerate(itertools.zip_longest(heads, filter(None, values), fillvalue="")):
            lines.append(f"{head:<{column}} {' ' if number else ':'} {value}".rstrip() + "\n")
    return "".join(lines)
