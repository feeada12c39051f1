"""C{relayctl history}: who changed the configuration, when, and what."""

from __future__ import annotations

import click

from twistedrelay.config.edit import EditError
from twistedrelay.config.history import History, row, undone_ids
from twistedrelay.config.schema import Config
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl.changes import show_diff
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.output import Row, format_options, print_json, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.values.printable import escape


@click.group("history", cls=Group, invoke_without_command=True)
@format_options
@click.pass_context
def command(context: click.Context, style: str | None) -> None:
    """The changes of the configuration: who, when, what (Search-AdminAuditLog).  The newest comes last."""
    if context.invoked_subcommand is None:
        entries = _entries(context.find_object(Session))
        print_rows(entries, ("id", "time", "who", "what", "undone"), style, none="Nothing was changed by command yet.")


def _entries(session: Session | None) -> list[Row]:
    assert session is not None

    def read(config: Config) -> list[Row]:
        entries = _kept(config).entries()
        undone = undone_ids(entries)
        return [row(entry, entry.id in undone) for entry in entries]

    try:
        return session.daemon_or_file(lambda client: client.get("/v1/history"), read)
    except OSError as error:
        raise _unreadable(error) from error


def _kept(config: Config) -> History:
    return History(config.server.state_directory)


def _unreadable(error: OSError) -> Failure:
    return Failure(f"{error.filename}: {error.strerror}.", "Run relayctl as root or the relay's user.")


@command.command("show")
@click.argument("id", type=click.IntRange(1, 99999999))
@click.option("--json", "as_json", is_flag=True, help="Print JSON with all properties.")
@pass_session
def show(session: Session, id: int, as_json: bool) -> None:
    """Show change ID as a unified diff of the files."""

    def ask(client: ControlClient) -> Row:
        found: Row = client.get(f"/v1/history/{id}")
        return found

    def read(config: Config) -> Row:
        kept = _kept(config)
        entry = kept.entry(id)
        return {**row(entry, id in undone_ids(kept.entries())), "diff": entry.diff()}

    try:
        found = session.daemon_or_file(ask, read)
    except EditError as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise _unreadable(error) from error
    if as_json:
        print_json([found])
        return
    click.echo(escape(f"Change {found['id']}, {found['time']}, {found['who']}: {found['what']}"))
    show_diff(found["diff"])
