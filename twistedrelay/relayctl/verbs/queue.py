"""C{relayctl queue}."""

from __future__ import annotations

import click

from twistedrelay.relayctl.output import format_options, print_rows
from twistedrelay.relayctl.session import Session, pass_session

COLUMNS = ("identity", "delivery_type", "status", "message_count", "next_hop_domain", "next_retry_time", "last_error")


@click.group("queue")
def command() -> None:
    """Queues: the messages for each next hop."""


@command.command("list")
@format_options
@pass_session
def list_queues(session: Session, style: str | None) -> None:
    """List the queues, one per next hop that had mail lately (Get-Queue)."""
    with session.daemon() as daemon:
        print_rows(daemon.queues(), COLUMNS, style)
