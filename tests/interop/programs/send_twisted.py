"""Twisted's own ESMTPSenderFactory: host port security user password sender recipients file."""

import sys
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import defer, ssl, task
from twisted.mail.smtp import ESMTPSenderFactory


class Trusting(ssl.ClientContextFactory):
    """Any certificate will do."""

    method = SSL.TLS_METHOD


def main(
    reactor: Any, host: str, port: str, security: str, user: str, password: str, sender: str, recipients: str, file: str
) -> "defer.Deferred[None]":
    """Send; print how many recipients were taken."""
    sent: defer.Deferred[Any] = defer.Deferred()
    with Path(file).open("rb") as content:
        octets = content.read().replace(b"\r\n", b"\n")
    from io import BytesIO

    factory = ESMTPSenderFactory(
        user.encode() or None,
        password.encode() or None,
        sender,
        recipients.split(","),
        BytesIO(octets),
        sent,
        contextFactory=Trusting() if security else None,
        requireAuthentication=bool(user),
        requireTransportSecurity=security == "starttls",
        heloFallback=not user,
    )
    if security == "tls":
        reactor.connectSSL(host, int(port), factory, Trusting())
    else:
        reactor.connectTCP(host, int(port), factory)
    return sent.addCallback(lambda result: print(result[0]))


task.react(main, sys.argv[1:])
