"""Real client libraries and programs against the real daemon."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.end_to_end.relay import child_environment
from tests.end_to_end.sink import Delivered, Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, eventually, unverified

PASSWORD = "päss wörd"

#: Twisted's own submission client; run in a process of its own, for its reactor.
TWISTED_CLIENT = """
import sys
from io import BytesIO
from OpenSSL import SSL
from twisted.internet import defer, ssl, task
from twisted.mail.smtp import ESMTPSenderFactory

class Trusting(ssl.ClientContextFactory):
    method = SSL.TLS_METHOD

def main(reactor, port, user, password):
    sent = defer.Deferred()
    content = BytesIO(b"Subject: by Twisted\\n\\n.Testing\\n")
    factory = ESMTPSenderFactory(user.encode(), password.encode(), user, ["cengiz@gmail.com", "user@akkaya.local"], content, sent,
                                 contextFactory=Trusting(), requireAuthentication=True, requireTransportSecurity=True)
    reactor.connectTCP("127.0.0.1", int(port), factory)
    return sent.addCallback(lambda result: print(result[0]))

task.react(main, sys.argv[1:])
"""


@pytest.fixture(scope="module")
def user(shared_site: Site) -> str:
    """An account whose password is not ASCII."""
    shared_site.relay.add_user("zoe@akkaya.local", PASSWORD)
    return "zoe@akkaya.local"


def content(subject: str) -> bytes:
    """A message that is found again by its subject."""
    return f"Subject: {subject}\r\n\r\nTesting\r\n".encode()


def arrived(sink: Sink, subject: str, count: int = 1) -> list[Delivered]:
    """The messages with a subject, once they are there."""
    line = f"Subject: {subject}\r\n".encode()

    def found() -> list[Delivered]:
        return [one for one in sink.delivered if line in one.content]

    eventually(lambda: len(found()) == count, f"{subject} arrives")
    return found()


def test_smtplib_anonymous(shared_site: Site) -> None:
    """One session, many messages, one refused recipient among good ones."""
    with smtplib.SMTP(LOOPBACK, shared_site.relay.port, timeout=PATIENCE) as client:
        for _ in range(3):
            refused = client.sendmail("a@client.example", ["user@akkaya.local", "cengiz@gmail.com"], content("by smtplib"))
            assert refused == {"cengiz@gmail.com": (550, b"5.7.54 SMTP; Unable to relay recipient in non-accepted domain")}
        assert client.vrfy("user")[0] == 252
        assert client.noop()[0] == 250
        assert client.rset()[0] == 250
        assert client.docmd("HELP")[0] == 214
    arrived(shared_site.mailbox, "by smtplib", 3)


@pytest.mark.parametrize("mechanism", ["plain", "login"])
@pytest.mark.parametrize("at_once", [True, False], ids=["initial response", "no initial response"])
def test_smtplib_login(shared_site: Site, user: str, mechanism: str, at_once: bool) -> None:
    """AUTH PLAIN and LOGIN, with and without an initial response; a password beyond ASCII."""
    with smtplib.SMTP(LOOPBACK, shared_site.relay.ports["submission"], timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        client.ehlo()

        def plain(challenge: bytes | None = None) -> str | None:
            return f"\0{user}\0{PASSWORD}" if challenge is not None or at_once else None

        answers = iter([user, PASSWORD])

        def login(challenge: bytes | None = None) -> str | None:
            return next(answers) if challenge is not None or at_once else None

        client.user, client.password = user, PASSWORD
        code, _ = auth(client, mechanism.upper(), plain if mechanism == "plain" else login, at_once)
        assert code == 235
        subject = f"{mechanism} {'at once' if at_once else 'in steps'}"
        client.sendmail(user, "cengiz@gmail.com", content(subject))
    arrived(shared_site.outside, subject)


def auth(client: smtplib.SMTP, mechanism: str, answer: Callable[[bytes | None], str | None], at_once: bool) -> tuple[int, bytes]:
    """An AUTH exchange in UTF-8, which smtplib's own cannot do."""
    from base64 import b64decode, b64encode

    def encoded(text: str | None) -> str:
        return b64encode((text or "").encode()).decode()

    code, text = client.docmd("AUTH", f"{mechanism} {encoded(answer(None))}" if at_once else mechanism)
    while code == 334:
        code, text = client.docmd(encoded(answer(b64decode(text))))
    return code, text


def test_twisteds_own_client(shared_site: Site, user: str) -> None:
    """ESMTPSenderFactory with STARTTLS and AUTH."""
    command = [sys.executable, "-c", TWISTED_CLIENT, str(shared_site.relay.ports["submission"]), user, PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=child_environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"
    arrived(shared_site.mailbox, "by Twisted")
    assert arrived(shared_site.outside, "by Twisted")[0].content.endswith(b"\r\n.Testing\r\n")


@pytest.mark.parametrize("options", [[], ["--pipeline"], ["-tls"], ["--protocol", "SMTP"]], ids=["plain", "pipelined", "STARTTLS", "HELO"])
def test_swaks(shared_site: Site, program: Callable[[str], str], options: list[str]) -> None:
    """swaks in its ways of speaking."""
    command = [program("swaks"), "--server", LOOPBACK, "--port", str(shared_site.relay.port), "--timeout", "60s", *options]
    subject = " ".join(["by swaks", *options])
    command += ["--from", "a@client.example", "--to", "user@akkaya.local,other@akkaya.local", "--header", f"Subject: {subject}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(arrived(shared_site.mailbox, subject)[0].recipients) == ["other@akkaya.local", "user@akkaya.local"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_curl(shared_site: Site, program: Callable[[str], str], user: str, mechanism: str, scheme: str) -> None:
    """curl with STARTTLS and implicit TLS, both mechanisms."""
    curl = program("curl")
    subject = f"by curl, {scheme} {mechanism}"
    file = shared_site.relay.directory / "mail"
    file.write_bytes(content(subject))
    port = shared_site.relay.ports["submission" if scheme == "smtp" else "submissions"]
    command = [
        curl,
        "-sS",
        "--ssl-reqd",
        "--insecure",
        "--url",
        f"{scheme}://{LOOPBACK}:{port}/client.example",
        "--login-options",
        f"AUTH={mechanism}",
    ]
    command += ["--user", f"{user}:{PASSWORD}", "--mail-from", user, "--mail-rcpt", "cengiz@gmail.com", "--mail-rcpt", "user@akkaya.local"]
    done = subprocess.run(
        [*command, "--upload-file", str(file), "--max-time", "60"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    arrived(shared_site.outside, subject)
    arrived(shared_site.mailbox, subject)
