"""C{relayctl connector}: of the running daemon, or of the file where none runs."""

from __future__ import annotations

import ipaddress

import click

from twistedrelay.answers.connectors import UnknownConnector, connector_properties, connector_summary, find_connector
from twistedrelay.config.schema import Config
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.object_verbs import add_verbs
from twistedrelay.relayctl.output import Row, format_options, print_properties, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.watching import watch_option
from twistedrelay.values.printable import escape


@click.group("connector", cls=Group)
def command() -> None:
    """Receive connectors: who may connect where, and relay."""


add_verbs(command, "receive_connectors", "ReceiveConnector")


@command.command("list")
@watch_option
@format_options
@pass_session
def list_connectors(session: Session, style: str | None) -> None:
    """List the receive connectors (Get-ReceiveConnector)."""

    def read(config: Config) -> list[Row]:
        return [connector_summary(config, name) for name in config.receive_connectors]

    found = session.daemon_or_file(lambda client: client.connectors(), read)
    print_rows(found, ("identity", "bindings", "enabled"), style, none="There is no receive connector.")


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
            raise Failure(str(error), error.advice) from error

    print_properties(session.daemon_or_file(lambda client: client.connector(name), read), style)


@command.command("test")
@click.argument("name", shell_complete=completing.receive_connectors)
@click.option("--from", "sender", metavar="ADDRESS", default="", help="A sender to ask about; the null path by default.")
@click.option("--to", "recipients", metavar="ADDRESS", multiple=True, help="A recipient to ask about; by default one of ours, one outside.")
@click.option("--source-address", metavar="IP", help="An address of this host to connect from: it decides which connector answers.")
@click.option("--timeout", type=click.FloatRange(min=0.1, max=600), default=30.0, show_default=True, help="Seconds for each step.")
@format_options
@pass_session
def test(
    session: Session,
    name: str,
    sender: str,
    recipients: tuple[str, ...],
    source_address: str | None,
    timeout: float,
    style: str | None,
) -> None:
    """Connect to the bindings of a receive connector as a client does, and show banner, EHLO, certificate and verdicts.

    No mail is sent: each recipient is asked about, and the transaction given up.
    """
    from twistedrelay.relayctl.trial import Trial, connector_trial

    config = session.config
    try:
        found = find_connector(config, name)
    except UnknownConnector as error:
        raise Failure(str(error), error.advice) from error
    try:
        source = str(ipaddress.ip_address(source_address)) if source_address else ""
    except ValueError:
        raise click.BadParameter(f"{source_address!r} is no IP address.", param_hint="--source-address") from None
    for address in (sender, *recipients):
        if not (address.isascii() and address.isprintable()):
            raise click.UsageError(f"{escape(address)} is no address that can be asked about; allowed: one of ASCII characters.")
    trial = Trial(sender, recipients, source, timeout, quiet=style is not None)
    results = connector_trial(config, found, trial)
    if style:
        print_rows(results, ("binding", "connector", "banner", "tls", "certificate", "verdicts"), style)
    failed = [row for row in results if row["error"]]
    if failed:
        advice = f"Is {source} an address of this host? " * bool(source) + "Is the relay running? See `relayctl status`."
        raise Failure("; ".join(f"{row['binding']}: {row['error']}" for row in failed), advice)
