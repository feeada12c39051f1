"""Lists that may be too long for memory: printed while they arrive, in the same look as short ones."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence

import click

from twistedrelay.relayctl.output import Row, print_json, print_rows

CHUNK = 1000  #: rows of one table, or of one write


def stream_rows(rows: Iterable[Row], columns: Sequence[str], style: str | None, spare: Sequence[str] = (), *, none: str = "") -> None:
    """As L{print_rows}; a long table has its titles again each thousand rows, which have widths of their own."""
    waiting = iter(rows)
    if style == "json":
        _stream_json(waiting)
        return
    chunk = list(itertools.islice(waiting, CHUNK))
    print_rows(chunk, columns, style, spare, none=none)
    while len(chunk) == CHUNK and (chunk := list(itertools.islice(waiting, CHUNK))):
        if style == "csv":
            _print_without_titles(chunk, columns)
        else:
            click.echo()
            print_rows(chunk, columns, style, spare)


def _stream_json(rows: Iterator[Row]) -> None:
    first = next(rows, None)
    if first is None:
        print_json([])
        return
    click.echo("[\n" + _object(first), nl=False)
    for row in rows:
        click.echo(",\n" + _object(row), nl=False)
    click.echo("\n]")


def _object(row: Row) -> str:
    """A row as it stands in an array."""
    return json.dumps([row], indent=2)[2:-2]


def _print_without_titles(rows: Sequence[Row], columns: Sequence[str]) -> None:
    from contextlib import redirect_stdout
    from io import StringIO

    written = StringIO()
    with redirect_stdout(written):
        print_rows(rows, columns, "csv")
    click.echo(written.getvalue().partition("\n")[2], nl=False)
