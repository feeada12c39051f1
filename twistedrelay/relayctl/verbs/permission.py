"""C{relayctl permission}: who may do what on which receive connector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from twistedrelay.answers.connectors import UnknownConnector, find_connector
from twistedrelay.answers.permission_wishes import permission_wish
from twistedrelay.answers.permissions import permissions
from twistedrelay.config.schema import Config
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.changes import About, make
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.output import Row, format_options, print_rows, what_if_option
from twistedrelay.relayctl.session import Failure, Session, pass_session

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("permission", cls=Group)
def command() -> None:
    """Who may do what on which receive connector."""


@command.command("list")
@click.argument("connector", required=False, shell_complete=completing.receive_connectors)
@click.option("--user", metavar="USER", help="Only what this principal has.")
@format_options
@pass_session
def list_permissions(session: Session, connector: str | None, user: str | None, style: str | None) -> None:
    """List the rights on receive connectors, and what gives each (Get-ADPermission)."""

    def read(config: Config) -> list[Row]:
        try:
            names = [find_connector(config, connector)] if connector else list(config.receive_connectors)
        except UnknownConnector as error:
            raise Failure(str(error), error.advice) from error
        return [row for name in names for row in permissions(config, name)]

    query = {"connector": connector} if connector else {}
    found: list[Row] = session.daemon_or_file(lambda client: client.get("/v1/permissions", query), read)
    if user is not None:
        wanted = _principal(user)
        found = [row for row in found if row["user"].casefold() == wanted]
    print_rows(found, ("identity", "user", "extended_right", "source"), style, none="No right fits.")


def _principal(user: str) -> str:
    from twistedrelay.config.principals import parse_principal

    try:
        return parse_principal(user).casefold()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--user") from None


def _permission_options(command: _Command) -> _Command:
    rights = "Rights, as Accept-Any-Recipient or in full as ms-Exch-SMTP-Accept-Any-Recipient."
    command = click.option("--extended-rights", metavar="A,B,…", multiple=True, required=True, help=rights)(command)
    who = "'NT AUTHORITY\\Anonymous Logon', 'Authenticated Users', 'Externally Secured Servers', a user's address, or group:NAME."
    command = click.option("--user", metavar="USER", required=True, help=who)(command)
    return what_if_option(click.argument("connector", shell_complete=completing.receive_connectors)(command))


@command.command("add")
@_permission_options
@pass_session
def add(session: Session, connector: str, user: str, extended_rights: tuple[str, ...], what_if: bool) -> None:
    """Give somebody extended rights on CONNECTOR (Add-ADPermission).

    \b
      relayctl permission add IP_Relay --user 'Anonymous Logon' \\
          --extended-rights Accept-Any-Recipient
    """
    _change(session, connector, user, extended_rights, "add", what_if)


@command.command("remove")
@_permission_options
@pass_session
def remove(session: Session, connector: str, user: str, extended_rights: tuple[str, ...], what_if: bool) -> None:
    """Take extended rights on CONNECTOR away (Remove-ADPermission)."""
    _change(session, connector, user, extended_rights, "remove", what_if)


def _change(session: Session, connector: str, user: str, given: tuple[str, ...], action: str, what_if: bool) -> None:
    rights = [right.strip() for text in given for right in text.split(",") if right.strip()]
    try:
        plan = permission_wish(connector, user, rights, action)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    path = "/v1/permissions" if action == "add" else "/v1/permissions/remove"

    def ask(client: ControlClient, query: Mapping[str, str]) -> Any:
        return client.post(path, {"connector": connector, "user": user, "extended_rights": rights}, query)

    make(session, ask, plan, About("receive_connectors", connector), what_if)
