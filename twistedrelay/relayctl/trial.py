"""A look at a receive connector from outside: what it says to a client that connects, starts TLS and asks about recipients.

It decides what is asked, and never sends mail: each transaction is given up before DATA.  A binding is tried from this host, so another
connector may answer there; which one does is said.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import smtplib
import ssl
from collections.abc import Callable
from typing import Any

import attrs
import click
from cryptography import x509

from twistedrelay.answers.answering import answering_connector
from twistedrelay.config.schema import Config
from twistedrelay.config.units import BindingValue
from twistedrelay.relayctl.dialogue import Shown, ShownImplicitTLS
from twistedrelay.relayctl.output import Row
from twistedrelay.values.printable import escape

#: A domain that is nobody's (RFC 2606), for a recipient outside.
_OUTSIDE = "someone@example.com"


@attrs.frozen
class Trial:
    """What is asked.

    @ivar recipients: empty: postmaster of the first accepted domain, and somebody outside.
    @ivar source: the address to connect from; empty: the system's choice.
    @ivar quiet: show no dialogue.
    """

    sender: str
    recipients: tuple[str, ...]
    source: str
    timeout: float
    quiet: bool


def connector_trial(config: Config, name: str, trial: Trial) -> list[Row]:
    """Try each binding of a connector; a row for each, with C{error} where it could not be tried."""
    connector = config.receive_connectors[name]
    return [_tried(config, name, binding, connector.implicit_tls, trial) for binding in connector.bindings]


def _tried(config: Config, name: str, binding: BindingValue, implicit_tls: bool, trial: Trial) -> Row:
    address = ipaddress.ip_address(binding.host)
    loopback = "127.0.0.1" if address.version == 4 else "::1"
    host = loopback if address.is_unspecified else binding.host
    row: Row = {"binding": str(binding), "connector": None, "banner": "", "ehlo": [], "tls": "", "certificate": ""}
    row |= {"verdicts": [], "error": ""}

    def show(line: str) -> None:
        if not trial.quiet:
            click.echo(escape(line))

    try:
        client = _connected(host, binding.port, implicit_tls, trial, row, show)
        with contextlib.closing(client):
            peer, local = client.sock.getsockname()[0], BindingValue(host, binding.port)  # type: ignore[union-attr]
            row["connector"] = answering_connector(config, local, peer, datetime.datetime.now().date())
            if row["connector"] != name:
                show(f"=== {row['connector'] or 'no connector'} answers {peer} here, not {name}: the most specific range wins")
            _ask(client, config, trial, row, show)
    except (OSError, smtplib.SMTPException) as error:
        row["error"] = str(getattr(error, "strerror", None) or error)
    return row


def _connected(host: str, port: int, implicit_tls: bool, trial: Trial, row: Row, show: Callable[[str], None]) -> Shown:
    options: dict[str, Any] = {"timeout": trial.timeout, "source_address": (trial.source, 0) if trial.source else None}
    client: Shown = (
        _WithBanner(row, host, port, show, context=_any_certificate(), **options)
        if implicit_tls
        else _PlainWithBanner(row, host, port, show, **options)
    )
    if implicit_tls:
        client.show_tls()
    return client


class _PlainWithBanner(Shown):
    """Keeps the banner."""

    def __init__(self, row: Row, *arguments: Any, **options: Any) -> None:
        self._row = row
        super().__init__(*arguments, **options)

    def getreply(self) -> tuple[int, bytes]:
        """Wait for a reply."""
        code, text = super().getreply()
        if not self._row["banner"]:
            self._row["banner"] = f"{code} {text.decode('utf-8', 'replace')}"
        return code, text


class _WithBanner(_PlainWithBanner, ShownImplicitTLS):
    """The same over TLS from the first octet."""


def _any_certificate() -> ssl.SSLContext:
    """A look wants to see the certificate, whatever it is worth."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _ask(client: Shown, config: Config, trial: Trial, row: Row, show: Callable[[str], None]) -> None:
    client.ehlo()
    if not isinstance(client.sock, ssl.SSLSocket) and client.has_extn("starttls"):
        client.starttls(context=_any_certificate())
        client.ehlo()
    row["ehlo"] = [f"{name.upper()} {value}".strip() for name, value in client.esmtp_features.items()]
    if isinstance(client.sock, ssl.SSLSocket):
        row["tls"] = f"{client.sock.version()} {(client.sock.cipher() or ('',))[0]}"
        row["certificate"] = _certificate(client.sock.getpeercert(binary_form=True) or b"")
        show(f"=== certificate: {row['certificate']}")
    for recipient in trial.recipients or _recipients(config):
        code, text = client.mail(trial.sender)
        if code == 250:
            code, text = client.rcpt(recipient)
        row["verdicts"].append(f"{recipient}: {code} {text.decode('utf-8', 'replace')}")
        client.rset()
    with contextlib.suppress(OSError, smtplib.SMTPException):
        client.quit()


def _recipients(config: Config) -> list[str]:
    ours = next((domain for domain in config.accepted_domains if not domain.startswith("*.")), None)
    return [*([f"postmaster@{ours}"] if ours else []), _OUTSIDE]


def _certificate(der: bytes) -> str:
    """Subject, issuer and last day of a certificate."""
    found = x509.load_der_x509_certificate(der)
    subject, issuer = found.subject.rfc4514_string(), found.issuer.rfc4514_string()
    signer = "self-signed" if found.subject == found.issuer else f"issued by {issuer}"
    return f"{subject}, {signer}, good until {found.not_valid_after_utc:%Y-%m-%d}"
