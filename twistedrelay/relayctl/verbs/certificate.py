"""C{relayctl certificate}: the certificate store.  No daemon is needed; a running one sees a change within a minute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.output import Row, format_options, print_properties, print_rows, what_if_option
from twistedrelay.relayctl.passwords import read_password
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.values.printable import escape

if TYPE_CHECKING:
    from twistedrelay.answers.certificates import Certificates


@click.group("certificate", cls=Group)
def command() -> None:
    """Certificates that connectors show."""


@contextlib.contextmanager
def _store(session: Session) -> Iterator[Certificates]:
    """The store; what is wrong with its files goes to standard error, what it refuses is a failure."""
    from twistedrelay.answers.certificates import CertificateError, Certificates

    store = Certificates(session.config)
    for problem in store.problems:
        click.echo(f"Warning: {escape(problem)}", err=True)
    try:
        yield store
    except CertificateError as error:
        text = str(error)
        if text.startswith(("the ", "there ")):  # others begin with a file's name, which stays as it is
            text = text[0].upper() + text[1:]
        raise Failure(f"{text}.") from error


def _as_shown(row: Row, style: str | None) -> Row:
    """A row with the services as Exchange's letters, for people."""
    from twistedrelay.answers.certificates import services_mask

    return row if style == "json" else {**row, "services": services_mask(row["services"])}


@command.command("list")
@format_options
@pass_session
def list_certificates(session: Session, style: str | None) -> None:
    """List the certificates (Get-ExchangeCertificate)."""
    with _store(session) as store:
        rows, problems = store.rows(), store.problems
    if problems and not rows:
        raise Failure("There is no certificate that can be used.", "Mend what is said above, or run relayctl as root.")
    shown = [_as_shown(row, style) for row in rows]
    print_rows(shown, ("thumbprint", "services", "subject"), style, none="The store is empty.")


@command.command("show")
@click.argument("name")
@format_options
@pass_session
def show(session: Session, name: str, style: str | None) -> None:
    """Show a certificate and the connectors that show it (Get-ExchangeCertificate | Format-List).

    NAME is a thumbprint or how it begins, <I>issuer<S>subject, or a host name.
    """
    with _store(session) as store:
        row = store.row(name)
    if row is None:
        raise Failure(f"There is no certificate {name}.", "See `relayctl certificate list`.")
    print_properties(_as_shown(row, style), style)


@command.command("import")
@click.argument("certificate", type=click.Path(dir_okay=False))
@click.option("--private-key", metavar="FILE", type=click.Path(dir_okay=False), help="The private key, where it is in another file.")
@click.option("--password-stdin", is_flag=True, help="The file's password is the first line of standard input.")
@what_if_option
@pass_session
def import_certificate(session: Session, certificate: str, private_key: str | None, password_stdin: bool, what_if: bool) -> None:
    """Copy a certificate with its chain and its private key into the store (Import-ExchangeCertificate).

    CERTIFICATE is a PEM or PKCS#12 (.pfx) file.

    \b
      relayctl certificate import mail.pfx
      relayctl certificate import mail.crt --private-key mail.key
    """
    from twistedrelay.answers.certificates import PasswordNeeded

    key = private_key or certificate
    with _store(session) as store:
        password = read_password(True, confirm=False) if password_stdin else None
        try:
            row = store.import_file(certificate, key, password, keep=not what_if)
        except PasswordNeeded:
            if password_stdin:
                raise
            row = store.import_file(certificate, key, read_password(False, confirm=False), keep=not what_if)
    names = ", ".join(row["certificate_domains"]) or row["subject"]
    if what_if:
        click.echo(f"What if: the certificate {row['thumbprint']} ({escape(names)}) would be imported.")
        return
    click.echo(f"The certificate {row['thumbprint']} ({escape(names)}) is imported, as {escape(row['file'])}.")
    _print_use(row)


@command.command("self-signed")
@click.argument("fqdn")
@click.option("--renew", is_flag=True, help="Also where there is one that is valid.")
@what_if_option
@pass_session
def self_signed(session: Session, fqdn: str, renew: bool, what_if: bool) -> None:
    """Make a self-signed certificate for a host (New-ExchangeCertificate)."""
    with _store(session) as store:
        row = store.make_self_signed(fqdn, renew=renew, keep=not what_if)
    if row is None:
        click.echo(f"What if: a self-signed certificate would be made for {escape(fqdn)}.")
        return
    click.echo(f"The self-signed certificate {row['thumbprint']} for {escape(fqdn)} is made, as {escape(row['file'])}.")
    _print_use(row)


def _print_use(row: Row) -> None:
    """Who shows it from now on, and how to name it."""
    if row["receive_connectors"]:
        click.echo(f"Within a minute it is shown by: {', '.join(map(escape, row['receive_connectors']))}.")
    else:
        click.echo("No connector shows it by itself: its names are not their fqdn, or they have a better one.")
    name = row["tls_certificate_name"].replace("'", "''")
    click.echo(f"A connector that is to show it always names it:\n    tls_certificate_name: '{escape(name)}'")
