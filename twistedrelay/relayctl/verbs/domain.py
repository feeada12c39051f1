"""C{relayctl domain}: accepted domains, of the running daemon, or of the file where none runs."""

from __future__ import annotations

from urllib.parse import quote

import click

from twistedrelay.answers.connectors import UnknownConnector
from twistedrelay.answers.domains import domain_properties, domain_summary, find_domain
from twistedrelay.config.schema import Config
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.object_verbs import add_verbs
from twistedrelay.relayctl.output import Row, format_options, print_properties, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session


@click.group("domain", cls=Group)
def command() -> None:
    """Accepted domains: which mail is taken from anybody, and where it goes."""


add_verbs(command, "accepted_domains", "AcceptedDomain")


@command.command("list")
@format_options
@pass_session
def list_domains(session: Session, style: str | None) -> None:
    """List the accepted domains (Get-AcceptedDomain)."""

    def read(config: Config) -> list[Row]:
        return [domain_summary(config, name) for name in config.accepted_domains]

    found = session.daemon_or_file(lambda client: client.get("/v1/domains"), read)
    print_rows(found, ("name", "domain_name", "domain_type", "default"), style, none="There is no accepted domain.")


@command.command("show")
@click.argument("name", shell_complete=completing.domains)
@format_options
@pass_session
def show(session: Session, name: str, style: str | None) -> None:
    """Show all parameters of an accepted domain."""

    def read(config: Config) -> Row:
        try:
            return domain_properties(config, find_domain(config, name))
        except UnknownConnector as error:
            raise Failure(str(error), error.advice) from error

    print_properties(session.daemon_or_file(lambda client: client.get(f"/v1/domains/{quote(name, safe='')}"), read), style)
