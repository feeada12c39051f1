"""C{relayctl session}."""

from __future__ import annotations

from typing import Any

import click

from twistedrelay.answers.sessions import NUMBER, dialogue
from twistedrelay.answers.tracking import page_from_files, query_of
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.output import format_options, print_json, print_rows, what_if_option
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.timeline import timeline
from twistedrelay.relayctl.typed import typed
from twistedrelay.relayctl.watching import watch_option
from twistedrelay.values.printable import escape

COLUMNS = ("session", "connector", "peer", "since", "helo", "user", "tls", "messages", "state")
SPARE = ("since", "messages", "user", "tls")

#: Events of a session's messages that are shown at most.
MAX_EVENTS = 1000


def _number(ctx: click.Context, parameter: click.Parameter, given: str) -> str:
    if not NUMBER.fullmatch(given):
        raise click.BadParameter(typed(f"{given!r} is none: it is 16 hex digits, as `relayctl session list` shows it."), ctx, parameter)
    return given.upper()


@click.group("session", cls=Group)
def command() -> None:
    """SMTP sessions: those in progress, and the whole dialogue of one."""


@command.command("list")
@watch_option
@format_options
@pass_session
def list_sessions(session: Session, style: str | None) -> None:
    """List the sessions in progress, the oldest first."""
    with session.daemon() as daemon:
        print_rows(daemon.get("/v1/sessions"), COLUMNS, style, SPARE, none="No session is in progress.")


@command.command("show")
@click.argument("number", metavar="ID", callback=_number, shell_complete=completing.sessions)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the session, its lines and the events of its messages.")
@pass_session
def show(session: Session, number: str, as_json: bool) -> None:
    """Show a session as one record: what was said (where its connector has protocol logging), and what became of its messages.

    Without a daemon the files are read.
    """
    record: dict[str, Any] = session.daemon_or_file(
        lambda client: client.get(f"/v1/sessions/{number}"),
        lambda config: {"session": number, "live": None, **dialogue(config, number)},
    )
    page: dict[str, Any] = _events(session, number)
    for problem in (*record["problems"], *page["problems"]):
        click.echo(escape(problem), err=True)
    if as_json:
        print_json({**record, "events": page["events"]})
        return
    live, lines, events = record["live"], record["lines"], page["events"]
    if live is None and not lines and not events and (record["problems"] or page["problems"]):
        raise Failure(f"Nothing was found of the session {number}, but not everything could be read.", "Run relayctl as root.")
    if live is None and not lines and not events:
        advice = "Its connector needs protocol_logging_level: Verbose while it runs; to see sessions as they happen, see `relayctl trace`."
        raise Failure(f"Nothing is known of the session {number}.", advice)
    if live is not None:
        click.echo(escape(f"In progress since {live['since']}: {live['peer']} by {live['connector']}, {live['state']}"))
    if lines:
        one = lines[-1]
        click.echo(escape(f"Session {number}: {one['remote_endpoint']} and {one['local_endpoint']} by {one['connector_id']}"))
    for line in lines:
        said = " ".join(filter(None, (line["context"], line["data"])))
        click.echo(escape(f"  {line['date_time'][11:23]} {line['event']} {said}".rstrip()))
    for line in timeline(events) if events else ():
        click.echo(line)


def _events(session: Session, number: str) -> dict[str, Any]:
    """What became of the session's messages."""
    if not session.config.transport.message_tracking_log_enabled:
        return {"events": [], "problems": []}
    given = {"session": number}
    asked = {**given, "order": "oldest", "limit": str(MAX_EVENTS)}
    try:
        page: dict[str, Any] = session.daemon_or_file(
            lambda client: client.get("/v1/tracking", asked),
            lambda config: page_from_files(config, query_of(given, 0.0, float("inf")), MAX_EVENTS, "", False),
        )
    except Failure as error:  # the daemon may have another configuration than the file; the lines are worth showing anyway
        click.echo(error.message, err=True)
        return {"events": [], "problems": []}
    return page


@command.command("disconnect")
@click.argument("number", metavar="ID", callback=_number, shell_complete=completing.sessions)
@what_if_option
@pass_session
def disconnect(session: Session, number: str, what_if: bool) -> None:
    """End a session: the client is told 421 4.3.2, and the connection is closed.  A message that was not taken yet is not."""
    with session.daemon() as daemon:
        if what_if:
            if not any(row["session"] == number for row in daemon.get("/v1/sessions")):
                raise Failure(f"No session {number} is in progress; `relayctl session list` shows those that are.")
            click.echo(f"What if: the session {number} would be ended.")
            return
        daemon.delete(f"/v1/sessions/{number}")
    click.echo(f"The session {number} is ended.")
