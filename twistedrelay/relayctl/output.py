"""How answers are printed: tables and lists in the look of the Management Shell, JSON, CSV.

It decides which of them; how a table looks is L{twistedrelay.relayctl.tables}' business.  The machine formats are the same everywhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from twistedrelay.relayctl.names import pascal, shown
from twistedrelay.relayctl.tables import properties, table
from twistedrelay.relayctl.typed import typed

Row = dict[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


def format_options(command: Command) -> Command:
    """C{--json} and C{--csv}, as the parameter C{style}."""
    command = click.option("--csv", "style", flag_value="csv", help="Print CSV with all properties.")(command)
    return click.option("--json", "style", flag_value="json", help="Print JSON with all properties.")(command)


def what_if_option(command: Command) -> Command:
    """C{--what-if}."""
    return click.option("--what-if", is_flag=True, help="Say what would be done, and do nothing.")(command)


def print_rows(rows: Iterable[Row], columns: Sequence[str], style: str | None, spare: Sequence[str] = (), *, none: str = "") -> None:
    """A list of objects.

    @param columns: the properties that the table shows; JSON and CSV have them all.
    @param spare: those that a narrow terminal does without, in this order.
    @param none: what is told, beside what programs read, instead of a table without rows.
    """
    found = list(rows)
    if style == "json":
        print_json(found)
    elif style == "csv":
        click.echo(_csv(found, columns), nl=False)
    elif not found:
        if none:
            click.echo(typed(none), err=True)
    else:
        cells = [[shown(column, row.get(column)) for column in columns] for row in found]
        click.echo(table([pascal(column) for column in columns], cells, [columns.index(column) for column in spare]), nl=False)


def print_properties(row: Row, style: str | None) -> None:
    """One object with all its properties, as C{| Format-List} does."""
    if style == "json":
        print_json([row])
    elif style == "csv":
        click.echo(_csv([row], list(row)), nl=False)
    else:
        click.echo(properties([pascal(key) for key in row], [shown(key, value) for key, value in row.items()]), nl=False)


def print_json(found: Any) -> None:
    """JSON; everything that is not ASCII is escaped, so that no terminal acts on it."""
    click.echo(json.dumps(found, indent=2))


#: What a formula begins with.
_FORMULA = ("=", "+", "-", "@")


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row)) or list(columns)
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(keys)
    for row in rows:
        writer.writerow([_csv_cell(row.get(key)) for key in keys])
    return written.getvalue()


def _csv_cell(value: Any) -> Any:
    # Strangers choose HELO names and subjects: a spreadsheet must not take one for a formula.
    given = _csv_value(value)
    return f"'{given}" if isinstance(given, str) and given.startswith(_FORMULA) else given


def _csv_value(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(_csv_value(item)) for item in value)
    if isinstance(value, (dict, str)):
        return shown("", value)
    return value
