"""C{relayctl user}: the accounts of the users file.  No daemon is needed; a running one sees a change at the next login."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import click

from twistedrelay.relayctl import completing
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.output import format_options, print_rows, what_if_option
from twistedrelay.relayctl.passwords import read_password
from twistedrelay.relayctl.session import Failure, Session, pass_session

password_stdin_option = click.option("--password-stdin", is_flag=True, help="The password is the first line of standard input.")


_REVIEW = ("address", "source", "age_days", "last_login", "logins", "source_addresses", "failures", "remarks")
_SPARE = ("source", "age_days", "logins", "failures")


class Age(click.ParamType[float]):
    """A duration such as C{90d}, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        from twistedrelay.config.units import duration

        try:
            return duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group("user", cls=Group)
def command() -> None:
    """Accounts that may log in."""


@contextlib.contextmanager
def _file_errors(session: Session) -> Iterator[None]:
    """What the users file refuses, as failures."""
    from twistedrelay.config.users import PasswordError, UsersAccessError, UsersError

    try:
        yield
    except PasswordError as error:
        raise Failure(f"The password cannot be used: {error}.") from error
    except UsersAccessError as error:
        raise Failure(f"{error}.", f"Is {session.config.users} yours to change? Else run relayctl as root or the relay's user.") from error
    except UsersError as error:
        raise Failure(f"{error}.") from error


def _names(session: Session) -> list[str]:
    """All accounts.  A file that cannot be read is not one without accounts."""
    return [user.address for user in session.users.list()]


def _known(session: Session, address: str) -> bool:
    return address.casefold() in map(str.casefold, _names(session))


def _no_user(session: Session, address: str) -> Failure:
    from twistedrelay.config.problems import names_advice

    names = _names(session)
    advice = f"{names_advice(address, names)} See `relayctl user list`." if names else "There is no account yet; see `relayctl user add`."
    return Failure(f"There is no user {address}.", advice)


@command.command("add")
@click.argument("address")
@password_stdin_option
@click.option("--send-as", metavar="ADDRESS", multiple=True, help="Another address it may send as; may be given several times.")
@what_if_option
@pass_session
def add(session: Session, address: str, password_stdin: bool, send_as: tuple[str, ...], what_if: bool) -> None:
    """Add an account; it logs in as ADDRESS and may send as ADDRESS.

    \b
      relayctl user add scanner@akkaya.local --send-as printer@akkaya.local
    """
    from twistedrelay.config.users import checked_address

    with _file_errors(session):
        for each in (address, *send_as):
            checked_address(each)  # before a password is asked for
        if _known(session, address):
            raise Failure(f"The user {address} exists already.", f"Set a new password with `relayctl user passwd {address}`.")
        also = f" It may also send as {', '.join(send_as)}." if send_as else ""
        if what_if:
            click.echo(f"What if: the user {address} would be added to {session.config.users}.{also}")
            return
        session.users.add(address, read_password(password_stdin, confirm=True), send_as)
    click.echo(f"The user {address} is added.{also}")


@command.command("passwd")
@click.argument("address", shell_complete=completing.users)
@password_stdin_option
@what_if_option
@pass_session
def passwd(session: Session, address: str, password_stdin: bool, what_if: bool) -> None:
    """Set a new password."""
    with _file_errors(session):
        if not _known(session, address):
            raise _no_user(session, address)
        if what_if:
            click.echo(f"What if: the user {address} would get a new password.")
            return
        session.users.passwd(address, read_password(password_stdin, confirm=True))
    click.echo(f"The user {address} has a new password.")


@command.command("remove")
@click.argument("address", shell_complete=completing.users)
@what_if_option
@pass_session
def remove(session: Session, address: str, what_if: bool) -> None:
    """Remove an account."""
    with _file_errors(session):
        if not _known(session, address):
            raise _no_user(session, address)
        if what_if:
            click.echo(f"What if: the user {address} would be removed from {session.config.users}.")
            return
        session.users.remove(address)
    click.echo(f"The user {address} is removed.")


@command.command("list")
@format_options
@pass_session
def list_users(session: Session, style: str | None) -> None:
    """List the accounts."""
    with _file_errors(session):
        users = session.users.list()
    rows = [
        {"address": user.address, "send_as": list(user.send_as), "created": user.created.isoformat() if user.created else None}
        for user in users
    ]
    none = f"There is no account in {session.config.users}; `relayctl user add ADDRESS` makes one."
    print_rows(rows, ("address", "send_as", "created"), style, none=none)


@command.command("review")
@click.option("--unused-since", metavar="AGE", type=Age(), help="Only accounts that nobody has used for so long, such as 90d.")
@format_options
@pass_session
def review_users(session: Session, unused_since: float | None, style: str | None) -> None:
    """Review the accounts: their age, last use, number of logins, where they are used from, failed logins.

    Accounts of other sources (LDAP, PAM, Dovecot, OAuth) are listed once they logged in.
    """
    from twistedrelay.answers.users import RecordError, review

    with _file_errors(session):
        users = session.users.list()
    now = time.time()
    try:
        found = review(session.config, users, now, unused_since)
    except RecordError as error:
        raise Failure(f"{error}.", "Run relayctl as root or the relay's user.") from error
    print_rows(found.rows, _REVIEW, style, _SPARE)
    if found.began is None:
        click.echo("No login is recorded yet: the daemon records logins while it runs.", err=True)
    elif unused_since is not None and found.began.timestamp() > now - unused_since:
        click.echo(f"Logins are recorded only since {found.began:%Y-%m-%d}; earlier ones are not known.", err=True)
    if found.unknown_failures and style is None:
        click.echo(f"{found.unknown_failures} failed logins had names that are no account's.", err=True)
