"""C{relayctl diff}: between two files, or between a file and what the daemon runs with."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING

import click

from twistedrelay.control.client import NoDaemon, Refused
from twistedrelay.relayctl.names import pascal
from twistedrelay.relayctl.output import Row, format_options, print_json, print_rows
from twistedrelay.relayctl.session import DaemonNeeded, Failure, Findings, Session, finding_text, pass_session
from twistedrelay.relayctl.tables import folded
from twistedrelay.relayctl.typed import typed
from twistedrelay.relayctl.verbs.explain import COLOURS
from twistedrelay.values.printable import escape

if TYPE_CHECKING:
    from twistedrelay.answers.diff.document import Difference
    from twistedrelay.config.load import Loaded
    from twistedrelay.values.usage import Usage

COLUMNS = ("section", "kind", "object", "identity", "parameter", "old", "new")


@click.command("diff")
@click.argument("files", metavar="[OLD] [NEW]", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@click.option("--days", type=click.IntRange(0, 366), default=30, show_default=True, help="Recorded clients of so many days are looked at.")
@format_options
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, files: tuple[str, ...], days: int, style: str | None) -> None:
    """Say what a new configuration would change.

    With one file: against what the daemon runs with, or where none runs against the file of --config. With two: OLD against NEW. With none:
    the file of --config against what the daemon runs with.

    Ends with 1 where something would be refused that is accepted today, or a queued message would be returned or have no route any more.

    \b
      relayctl diff new.yaml
    """
    if len(files) > 2:
        raise click.UsageError("at most two files are compared: OLD and NEW")
    if len(files) == 2:
        found = _compared(_load(files[0]), files[0], _load(files[1]), files[1], days)
    else:
        found = _with_daemon(session, files[0] if files else "", days)
    if style == "json":
        print_json(found.model_dump(mode="json"))
    elif style == "csv":
        print_rows(_rows(found), COLUMNS, style)
    else:
        from twistedrelay.answers.diff.text import report

        for line in report(found, pascal, lambda text, colour: click.style(text, **COLOURS[colour])):
            click.echo(folded(typed(line)))
    ctx.exit(1 if found.refused else 0)


def _with_daemon(session: Session, file: str, days: int) -> Difference:
    from twistedrelay.answers.diff.document import Difference

    session.need_file()
    proposed = _load(file or session.config_file)
    try:
        contents = {os.path.realpath(path): _text(path) for path in proposed.files}
        path = os.path.abspath(proposed.files[0])
        return Difference.model_validate(session.client.post("/v1/diff", {"path": path, "files": contents, "days": days}))
    except NoDaemon as error:
        if not file:
            raise DaemonNeeded(str(error), "Name a file to compare with: `relayctl diff NEW`, or `relayctl diff OLD NEW`.") from error
        if not error.absent:
            click.echo(f"{escape(str(error))} The file answers.", err=True)
        return _compared(_load(session.config_file), session.config_file, proposed, file, days)
    except Refused as error:
        if error.findings:
            raise Findings([finding_text(finding) for finding in error.findings]) from error
        raise Failure(str(error)) from error


def _text(path: str) -> str:
    with open(path, encoding="utf-8-sig") as stream:
        return stream.read()


def _load(file: str) -> Loaded:
    from twistedrelay.answers.explain.alone import RULE_CHECKS
    from twistedrelay.config.load import load_with_places
    from twistedrelay.config.problems import ConfigError

    try:
        return load_with_places(file, RULE_CHECKS)
    except ConfigError as error:
        raise Findings([str(problem) for problem in error.problems]) from error


def _compared(old: Loaded, old_name: str, new: Loaded, new_name: str, days: int) -> Difference:
    """Without a daemon."""
    from twistedrelay.answers.diff.compare import compare
    from twistedrelay.answers.ledger.ask import LedgerQuery, ledger_of

    now = time.time()
    rows: list[Usage] = []
    notes = ["Queued messages are looked at by a running daemon only."]
    if days:
        try:
            rows = ledger_of(old.config).rows(LedgerQuery(since=now - days * 86400.0))
        except sqlite3.Error as error:
            notes.append(f"Recorded clients are not looked at: the ledger cannot be read: {error}.")
    found = compare(old.config, new.config, rows, now, (old_name, new_name))
    found.notes += notes
    return found


def _rows(found: Difference) -> list[Row]:
    """Everything in one list."""
    rows: list[Row] = [
        {
            "section": "objects",
            "kind": one.kind,
            "object": one.object,
            "identity": one.identity,
            "parameter": one.parameter,
            "old": one.old,
            "new": one.new,
        }
        for one in found.changes
    ]
    rows += [{"section": "bindings", "kind": one.kind, "identity": one.binding, "new": one.connectors} for one in found.bindings]
    for queue in found.requeued:
        kind = "returned" if queue.returned else "stranded" if queue.stranded else "rerouted"
        row: Row = {"section": "queues", "kind": kind, "old": queue.old, "new": queue.new}
        rows.append({**row, "messages": queue.messages, "recipients": queue.recipients, "examples": queue.examples})
    for client in found.clients:
        told = client.model_dump(mode="json", exclude={"effect", "client", "old_connector", "new_connector"})
        ends = {"old": client.old_connector, "new": client.new_connector}
        rows.append({"section": "clients", "kind": client.effect, "identity": client.client, **ends, **told})
    return rows
