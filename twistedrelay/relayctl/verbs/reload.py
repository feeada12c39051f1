"""C{relayctl reload}."""

from __future__ import annotations

from typing import Any

import click

from twistedrelay.relayctl.output import print_json, what_if_option
from twistedrelay.relayctl.session import Findings, Session, pass_session
from twistedrelay.values.printable import escape


@click.command("reload")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with all that was found.")
@what_if_option
@pass_session
def command(session: Session, as_json: bool, what_if: bool) -> None:
    """Let the daemon use what its configuration's files hold now.

    Sessions in progress keep their settings, new ones get the new; what waits in the queue goes the new ways. A configuration that cannot
    be used changes nothing: each problem is printed as `file:line: path: what is wrong`, and the exit status is 1.
    """
    _check(session)
    with session.daemon() as daemon:
        found: dict[str, Any] = daemon.post("/v1/reload", query={"what_if": str(what_if).lower()})
    if as_json:
        print_json(found)
        return
    prefix = "What if: " if what_if else ""
    for line in found["changes"]:
        click.echo(escape(prefix + line))
    if not found["changes"]:
        click.echo(f"{prefix}Nothing is different.")
    for line in found["warnings"]:
        click.echo(escape(f"Warning: {line}"), err=True)
    if found["needs_restart"]:
        click.echo(f"Only a restart changes {', '.join(found['needs_restart'])}: until then they stay as they are.", err=True)


def _check(session: Session) -> None:
    """Where the file is so wrong that the daemon cannot be found from it, all that is wrong is said; else the daemon says it."""
    try:
        _ = session.config
    except Findings as error:
        from twistedrelay.answers.check import check

        found = [str(problem) for problem in check(session.config_file) if problem.blocks]
        raise (Findings(found) if found else error) from None
