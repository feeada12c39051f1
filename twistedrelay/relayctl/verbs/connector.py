"""C{relayctl connector}: of the running daemon, or of the file where none runs."""

from __future__ import annotations

import click

from twistedrelay.answers.connectors import UnknownConnector, connector_properties, connector_summary, find_connector
from twistedrelay.config.schema import Config
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.output import Row, format_options, print_properties, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.watching import watch_option


@click.group("connector")
def command() -> None:
    """Receive connectors: who may connect where, and relay."""


@command.command("list")
@watch_option
@format_options
@pass_session
def list_connectors(session: Session, style: str | None) -> None:
    """List the receive connectors (Get-ReceiveConnector)."""

    def read(config: Config) -> list[Row]:
        return [connector_summary(config, name) for name in config.receive_connectors]

    found = session.daemon_or_file(lambda client: client.connectors(), read)
    print_rows(found, ("identity", "bindings", "enabled"), style)


@command.command("show")
@click.argument("name", shell_complete=completing.receive_connectors)
@format_options
@pass_session
def show(session: Session, name: str, style: str | None) -> None:
    """Show all parameters of a receive connector, named NAME or SERVER\\NAME."""

    def read(config: Config) -> Row:
        try:
            return connector_properties(config, find_connector(config, name))
        except UnknownConnector as error:
            raise Failure(str(error), f"Did you mean: {', '.join(error.suggestions)}?") from error

    print_properties(session.daemon_or_file(lambda client: client.connector(name), read), style)
