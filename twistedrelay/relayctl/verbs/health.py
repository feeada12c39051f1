"""C{relayctl health}: a line and an exit code for monitoring systems that run commands (Nagios, Icinga, a container's health check)."""

from __future__ import annotations

import sys

import click

from twistedrelay.relayctl.output import format_options, print_json, print_rows
from twistedrelay.relayctl.session import Session, pass_session


@click.command("health")
@format_options
@pass_session
def command(session: Session, style: str | None) -> None:
    """Whether the daemon is fit for work: exit 0 where it is, 1 where a check fails (Test-ServiceHealth, Get-ServerHealth)."""
    with session.daemon() as daemon:
        found = daemon.get("/v1/health")
    checks = found["checks"]
    if style == "json":
        print_json(found)
    elif style is not None:
        print_rows(checks, ("name", "ok", "reason"), style)
    elif found["ready"]:
        click.echo(f"RELAY OK - {'; '.join(_line(check) for check in checks)}")
    else:
        failed = [check for check in checks if not check["ok"]]
        click.echo(f"RELAY CRITICAL - {'; '.join(_line(check) for check in failed)}")
    if not found["ready"]:
        sys.exit(1)


def _line(check: dict[str, str]) -> str:
    return f"{check['name']}: {check['reason']}" if check["reason"] else str(check["name"])
