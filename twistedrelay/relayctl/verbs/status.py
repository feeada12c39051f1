"""C{relayctl status}."""

from __future__ import annotations

import click

from twistedrelay.relayctl.output import format_options, print_json, print_properties
from twistedrelay.relayctl.session import Session, pass_session
from twistedrelay.relayctl.watching import watch_option


@click.command("status")
@watch_option
@format_options
@pass_session
def command(session: Session, style: str | None) -> None:
    """The relay as a whole: since when it runs, what waits, what happened (Get-ExchangeDiagnosticInfo)."""
    with session.daemon() as daemon:
        found = daemon.status()
    if style == "json":
        print_json(found)
        return
    totals = {f"total_{name}": number for name, number in found.pop("totals").items()}
    print_properties({**found, **totals}, style)
    if style is None and not found["spool_healthy"]:
        click.echo("The spool is sick: nothing is taken and nothing delivered. Look at the daemon's log and at the disk.", err=True)
