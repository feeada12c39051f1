"""An SMTP dialogue that shows each of its steps.

It decides how a step looks: C{-->} what is sent, C{<--} what comes back and after how long, C{***} for every secret.  The protocol itself
is smtplib's.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

#: Gives the answer to a challenge, or with None the initial response.
Respond = Callable[[bytes | None], str | None]

_VERBS = {"ehlo", "helo", "mail", "rcpt", "data", "quit", "rset", "starttls", "auth"}


class Shown(smtplib.SMTP):
    """An SMTP client that tells C{show} about each line.  It connects when it is made."""

    def __init__(self, host: str, port: int, show: Callable[[str], None], **options: Any) -> None:
        self._show = show
        self._asked = time.monotonic()
        self._in_command = False
        self._secret = False
        self._show(f"=== connecting to {host} port {port}")
        super().__init__(host, port, **options)

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command, its verb in capitals."""
        if cmd.lower() in _VERBS and not self._secret:
            cmd = cmd.upper()
            shown = f"{cmd} {args}" if args else cmd
            if cmd == "AUTH":
                mechanism, *response = args.split(" ", 1)
                shown = f"AUTH {mechanism} ***" if response else f"AUTH {mechanism}"
        else:
            shown = "***"
        self._show(f"--> {shown}")
        self._in_command = True
        try:
            super().putcmd(cmd, args)
        finally:
            self._in_command = False

    def send(self, s: str | bytes) -> None:  # type: ignore[override]
        """Send octets."""
        if not self._in_command:
            self._show(f"--> (the message, {len(s)} octets, and the final dot)")
        self._asked = time.monotonic()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Wait for a reply."""
        code, text = super().getreply()
        taken = (time.monotonic() - self._asked) * 1000
        lines = text.decode("utf-8", "replace").split("\n")
        for line in lines[:-1]:
            self._show(f"<-- {code}-{line}")
        self._show(f"<-- {code} {lines[-1]}  ({taken:.0f} ms)")
        return code, text

    def log_in(self, user: str, password: str) -> None:
        """Log in once, by the best mechanism that both know; a second try would count as a second failure.

        @raise smtplib.SMTPException: no mechanism fits, or the login is refused.
        """
        self.user, self.password = user, password
        offered = self.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            code, text = self.auth("PLAIN", self.auth_plain)
        elif "LOGIN" in offered:
            code, text = self.auth("LOGIN", self.auth_login)
        else:
            raise smtplib.SMTPNotSupportedError("the server offers neither AUTH PLAIN nor AUTH LOGIN")
        if code not in (235, 503):
            raise smtplib.SMTPAuthenticationError(code, text)

    def auth(self, mechanism: str, authobject: Respond, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        """Log in by a mechanism; the first command names it, all that follow are secrets."""
        initial = authobject(None) if initial_response_ok else None

        def respond(challenge: bytes | None = None) -> str | None:
            self._secret = challenge is not None
            return initial if challenge is None else authobject(challenge)

        try:
            return super().auth(mechanism, respond, initial_response_ok=initial_response_ok)  # type: ignore[arg-type]
        finally:
            self._secret = False

    def starttls(self, *, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:  # type: ignore[override]
        """Start TLS and show what was agreed."""
        answer = super().starttls(context=context)
        self.show_tls()
        return answer

    def show_tls(self) -> None:
        """Show version and cipher of the connection."""
        if isinstance(self.sock, ssl.SSLSocket):
            cipher = self.sock.cipher()
            self._show(f"=== TLS started: {self.sock.version()} {cipher[0] if cipher else ''}")


class ShownImplicitTLS(Shown, smtplib.SMTP_SSL):
    """The same over TLS from the first octet (RFC 8314)."""


def refusal(error: smtplib.SMTPException) -> str:
    """What a server said when it refused."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
        return f"{error.smtp_code} {text}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"<{address}>: {code} {text.decode('utf-8', 'replace')}" for address, (code, text) in error.recipients.items())
    return str(error)


def deliver(client: Shown, sender: str, recipients: Sequence[str], message: bytes) -> tuple[int, str]:
    """One transaction, strictly step by step.

    @return: the reply to the message.
    @raise smtplib.SMTPResponseException: a step was refused.
    """
    eight_bit = ["BODY=8BITMIME"] if client.has_extn("8bitmime") and not message.isascii() else []
    code, text = client.mail(sender, eight_bit)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, text, sender)
    refused = {}
    for recipient in recipients:
        code, text = client.rcpt(recipient)
        if code not in (250, 251):
            refused[recipient] = (code, text)
    if refused:
        raise smtplib.SMTPRecipientsRefused(refused)
    code, text = client.data(message)
    if code != 250:
        raise smtplib.SMTPDataError(code, text)
    return code, text.decode("utf-8", "replace")
