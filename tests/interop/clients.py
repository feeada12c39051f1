"""Real clients, one entry each: which programs it takes, and its command line for one message.

A new client is a new entry in L{CLIENTS}; where it is a library, its program is in C{programs/}.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import attrs

from tests.network import LOOPBACK

PROGRAMS = Path(__file__).parent / "programs"
NODEMAILER = "/usr/share/nodejs/nodemailer"
JAVAMAIL = ("/usr/share/java/javax.mail.jar", "/usr/share/java/javax.activation.jar")


@attrs.frozen
class Errand:
    """One message to send.

    @ivar security: C{""}, C{"starttls"} or C{"tls"} (from the first octet).
    @ivar user: empty for an anonymous session.
    @ivar file: the message, CRLF line ends.
    """

    port: int
    security: str
    user: str
    password: str
    sender: str
    recipients: tuple[str, ...]
    file: Path

    @property
    def arguments(self) -> list[str]:
        """For the programs in C{programs/}."""
        return [LOOPBACK, str(self.port), self.security, self.user, self.password, self.sender, ",".join(self.recipients), str(self.file)]

    @property
    def body(self) -> bytes:
        """The message without its header section, with LF, for clients that make their own."""
        return self.file.read_bytes().partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")


@attrs.frozen
class Client:
    """A client program.

    @ivar needs: programs and files that must be there (see L{tests.programs.TOOLS}).
    @ivar command: the command line, given those in the same order.
    @ivar stdin: what it reads.
    @ivar environment: variables besides ours.
    """

    needs: tuple[str, ...]
    command: Callable[[Errand, tuple[str, ...]], list[str]]
    stdin: Callable[[Errand], bytes] = lambda errand: b""
    environment: dict[str, str] = attrs.Factory(dict)


def _swaks(errand: Errand, found: tuple[str, ...]) -> list[str]:
    command = [found[0], "--server", LOOPBACK, "--port", str(errand.port), "--timeout", "60s", "--from", errand.sender]
    command += ["--to", ",".join(errand.recipients), "--data", f"@{errand.file}"]
    command += {"": [], "starttls": ["-tls"], "tls": ["-tlsc"]}[errand.security]
    return command + (["--auth", "LOGIN", "--auth-user", errand.user, "--auth-password", errand.password] if errand.user else [])


def _curl(errand: Errand, found: tuple[str, ...]) -> list[str]:
    scheme = "smtps" if errand.security == "tls" else "smtp"
    command = [found[0], "-sS", "--max-time", "60", "--insecure", "--url", f"{scheme}://{LOOPBACK}:{errand.port}/curl.example"]
    command += ["--mail-from", errand.sender, "--upload-file", str(errand.file)]
    command += [option for recipient in errand.recipients for option in ("--mail-rcpt", recipient)]
    command += ["--ssl-reqd"] if errand.security == "starttls" else []
    return command + (["--user", f"{errand.user}:{errand.password}"] if errand.user else [])


def _msmtp(errand: Errand, found: tuple[str, ...]) -> list[str]:
    command = [found[0], "--file=/dev/null", f"--host={LOOPBACK}", f"--port={errand.port}", f"--from={errand.sender}", "--timeout=60"]
    if errand.security:
        command += ["--tls=on", "--tls-certcheck=off", f"--tls-starttls={'on' if errand.security == 'starttls' else 'off'}"]
    if errand.user:
        command += ["--auth=on", f"--user={errand.user}", f"--passwordeval=printf %s '{errand.password}'"]
    return [*command, "--", *errand.recipients]


def _s_nail(errand: Errand, found: tuple[str, ...]) -> list[str]:
    login = f"{quote(errand.user, safe='')}:{quote(errand.password, safe='')}@" if errand.user else ""
    scheme = "smtps" if errand.security == "tls" else "smtp"
    options = [f"mta={scheme}://{login}{LOOPBACK}:{errand.port}", "tls-verify=ignore", "hostname=s-nail.example", "v15-compat"]
    options += [f"smtp-auth={'plain' if errand.user else 'none'}"]
    options += ["smtp-use-starttls"] if errand.security == "starttls" else []
    subject = errand.file.stem
    command = [found[0], "-:/", *(part for option in options for part in ("-S", option))]
    return [*command, "-r", errand.sender, "-s", subject, *errand.recipients]


def _python(errand: Errand, name: str) -> list[str]:
    return [sys.executable, str(PROGRAMS / name), *errand.arguments]


CLIENTS: dict[str, Client] = {
    "swaks": Client(("swaks",), _swaks),
    "curl": Client(("curl",), _curl),
    "msmtp": Client(("msmtp",), _msmtp, lambda errand: errand.file.read_bytes().replace(b"\r\n", b"\n")),
    "s-nail": Client(("s-nail",), _s_nail, lambda errand: errand.body, {"HOME": "/nonexistent", "MAILRC": "/dev/null"}),
    "smtplib": Client((), lambda errand, found: _python(errand, "send_smtplib.py")),
    "Twisted": Client((), lambda errand, found: _python(errand, "send_twisted.py")),
    "nodemailer": Client(
        ("node", NODEMAILER),
        lambda errand, found: [found[0], str(PROGRAMS / "send.js"), *errand.arguments],
        environment={"NODEMAILER": NODEMAILER},
    ),
    "Net::SMTP": Client(
        ("perl", "/usr/share/perl5/Authen/SASL.pm", "/usr/share/perl5/IO/Socket/SSL.pm"),
        lambda errand, found: [found[0], str(PROGRAMS / "send.pl"), *errand.arguments],
    ),
    "JavaMail": Client(
        ("javac", *JAVAMAIL),
        lambda errand, found: [found[0][:-1], "-cp", ":".join(found[1:]), str(PROGRAMS / "Send.java"), *errand.arguments],
    ),
}
