"""C{relayctl send}: a test message through a relay."""

from __future__ import annotations

import contextlib
import email.message
import email.policy
import email.utils
import ipaddress
import re
import smtplib
import ssl
from pathlib import Path

import attrs
import click

from twistedrelay.config.schema import Config
from twistedrelay.relayctl.dialogue import Shown, ShownImplicitTLS, deliver, refusal
from twistedrelay.relayctl.passwords import read_password
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.values.printable import escape

_QUEUED = re.compile(r"(<[^>]*>)? *\[InternalId=(\d+)")

_HINTS = (
    ("5.7.54", "The recipient is not of an accepted domain: log in (--user), or give the connector Accept-Any-Recipient."),
    ("5.7.57", "This connector wants a login: give --user and --password-stdin."),
    ("5.7.60", "This account may not send as that sender: see `relayctl user list`, or add it by --send-as."),
    ("5.7.0", "This connector wants TLS first: give --starttls."),
    ("5.7.3", "The login failed: see `relayctl user list`, or set the password by `relayctl user passwd`."),
    ("4.3.2", "No connector takes this address, or a connection limit was reached: see `relayctl connector list` and the log."),
)


@attrs.frozen(slots=True)
class Request:
    """How to connect.

    @ivar tls: C{"starttls"}, C{"implicit"}, C{"none"}, or None: as the server has it.
    """

    tls: str | None
    insecure: bool
    helo: str | None
    timeout: float
    user: str | None
    password: str = attrs.field(repr=False)


@attrs.frozen(slots=True)
class Server:
    """Where to send to."""

    host: str
    port: int
    implicit_tls: bool = False


def parse_server(text: str) -> Server:
    """C{host}, C{host:port}, C{[::1]:port}."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?", text)
    if found is None or int(found[3] or 25) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT, e.g. relay.example.com:25 or [::1]:2525", param_hint="--server")
    port = int(found[3] or 25)
    return Server(found[1] or found[2], port, implicit_tls=port == 465)


def server_of(config: Config, login: bool) -> Server:
    """A binding of the configuration that fits: for accounts where there is a login, for anonymous clients where there is none."""
    group = "ExchangeUsers" if login else "AnonymousUsers"
    fitting = [c for c in config.receive_connectors.values() if c.enabled and group in c.permission_groups]
    for connector in sorted(fitting, key=lambda c: c.implicit_tls):
        for binding in connector.bindings:
            address = ipaddress.ip_address(binding.host)
            loopback = "127.0.0.1" if address.version == 4 else "::1"
            return Server(loopback if address.is_unspecified else binding.host, binding.port, connector.implicit_tls)
    raise Failure(f"No enabled receive connector has the permission group {group}.", "Name the relay with --server HOST:PORT.")


@click.command("send")
@click.option("--from", "sender", metavar="ADDRESS", required=True, help="The sender; <> is the null path.")
@click.option("--to", "recipients", metavar="ADDRESS", required=True, multiple=True, help="A recipient; may be given several times.")
@click.option("--server", metavar="HOST:PORT", help="The relay; default: a fitting binding of the configuration.")
@click.option("--user", metavar="NAME", help="Log in.")
@click.option("--password-file", type=click.Path(dir_okay=False, path_type=Path), help="A file with the password in its first line.")
@click.option("--password-stdin", is_flag=True, help="The password is the first line of standard input.")
@click.option("--starttls", "tls", flag_value="starttls", help="Insist on STARTTLS; default: use it where offered.")
@click.option("--implicit-tls", "tls", flag_value="implicit", help="TLS from the start, as on port 465.")
@click.option("--no-tls", "tls", flag_value="none", help="Clear text.")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option("--subject", metavar="TEXT", default="Test message from relayctl", show_default=True, help="The subject of the message.")
@click.option("--body", metavar="TEXT", default="This is a test message, sent by relayctl.", show_default=True, help="Its text.")
@click.option("--helo", metavar="NAME", help="The name to greet with.")
@click.option("--timeout", type=click.FloatRange(min=0.1, max=600), default=30.0, show_default=True, help="Seconds for each step.")
@pass_session
def command(
    session: Session,
    sender: str,
    recipients: tuple[str, ...],
    server: str | None,
    user: str | None,
    password_file: Path | None,
    password_stdin: bool,
    tls: str | None,
    insecure: bool,
    subject: str,
    body: str,
    helo: str | None,
    timeout: float,
) -> None:
    """Send a test message and show each SMTP step with its time (Send-MailMessage, Test-SmtpConnectivity).

    Ends with 0 where the relay has taken the message, else with 1.

    \b
      relayctl send --from scanner@akkaya.local --to someone@example.org
    """
    password = _password(user, password_file, password_stdin)
    where = parse_server(server) if server else server_of(session.config, user is not None)
    sender = "" if sender == "<>" else sender
    message = compose(sender, recipients, subject, body)
    try:
        code, text = _send(where, Request(tls, insecure, helo, timeout, user, password), sender, recipients, message)
    except smtplib.SMTPException as error:
        said = refusal(error)
        raise Failure(f"Refused: {said}", next((hint for mark, hint in _HINTS if mark in said), "")) from error
    except ssl.SSLCertVerificationError as error:
        raise Failure(
            f"The certificate of {where.host} is not valid: {error.verify_message}.",
            "Take any with --insecure, or name the host as its certificate does.",
        ) from error
    except (ssl.SSLError, UnicodeError, ValueError) as error:
        raise Failure(f"Not sent: {error}.", "Look at the last step above.") from error
    except OSError as error:
        raise Failure(
            f"{where.host} port {where.port}: {error.strerror or error}.",
            "Is the relay running? See `relayctl status`, or name another with --server.",
        ) from error
    queued = _QUEUED.search(text)
    told = f"queue id {queued[2]} {queued[1] or ''}".rstrip() if queued else f"{code} {text}"
    click.echo(escape(f"Accepted by {where.host} port {where.port}: {told}"))


def _password(user: str | None, file: Path | None, stdin: bool) -> str:
    if user is None:
        if file is not None or stdin:
            raise click.UsageError("A password needs --user.")
        return ""
    if file is not None and stdin:
        raise click.UsageError("Give --password-file or --password-stdin, not both.")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeError) as error:
            raise Failure(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return read_password(stdin, confirm=False)


def compose(sender: str, recipients: tuple[str, ...], subject: str, body: str) -> bytes:
    """The test message."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    try:
        message["From"] = sender or "postmaster"
        message["To"] = ", ".join(recipients)
        message["Subject"] = subject
    except ValueError as error:
        raise click.UsageError(f"That cannot be a header: {error}") from error
    message["Date"] = email.utils.localtime()
    message["Message-ID"] = email.utils.make_msgid(domain="relayctl.invalid")
    message.set_content(body)
    return message.as_bytes()


def _show(line: str) -> None:
    click.echo(escape(line))


def _context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connect(where: Server, request: Request) -> Shown:
    options = {"local_hostname": request.helo, "timeout": request.timeout}
    if request.tls != "implicit" and not (where.implicit_tls and request.tls is None):
        return Shown(where.host, where.port, _show, **options)
    client = ShownImplicitTLS(where.host, where.port, _show, context=_context(verify=not request.insecure), **options)
    client.show_tls()
    return client


def _prepare(client: Shown, request: Request) -> None:
    """Greet and, where it is asked for, start TLS and log in."""
    client.ehlo_or_helo_if_needed()
    implicit = isinstance(client, ShownImplicitTLS)
    if not implicit and (request.tls == "starttls" or (request.tls is None and client.has_extn("starttls"))):
        # Opportunistic encryption needs no valid certificate; a password does, and so does who insists on TLS.
        client.starttls(context=_context(verify=not request.insecure and (request.tls == "starttls" or request.user is not None)))
        client.ehlo_or_helo_if_needed()
    elif request.user is not None and request.tls is None and not implicit:
        raise Failure(
            "The relay offers no STARTTLS, and a password does not go over clear text unasked.",
            "Use a submission port, or give --no-tls.",
        )
    if request.user is not None:
        client.log_in(request.user, request.password)


def _send(where: Server, request: Request, sender: str, recipients: tuple[str, ...], message: bytes) -> tuple[int, str]:
    """The whole dialogue."""
    with contextlib.closing(_connect(where, request)) as client:
        try:
            _prepare(client, request)
            return deliver(client, sender, recipients, message)
        finally:
            # Leave politely also after a refusal; where that fails, what was said before is what counts.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                client.quit()
