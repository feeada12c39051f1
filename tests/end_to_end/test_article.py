"""The article, replayed against the real daemon: who may mail whom, by which door, in its exact words."""

from __future__ import annotations

import re
import smtplib
import subprocess
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage

from tests.end_to_end.relay import FQDN
from tests.end_to_end.sink import Delivered, Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, eventually, unverified

DENIED = "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"
QUEUED = re.compile(rf"250 2\.6\.0 <([^<>@]+@[^<>]+)> \[InternalId=(\d+), Hostname={re.escape(FQDN)}\] Queued mail for delivery")
DATE = r"\w{3}, [ \d]?\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
PASSWORD = "correct horse battery staple"


def one(sink: Sink) -> Delivered:
    """The message that the sink has got, once it has got it."""
    eventually(lambda: sink.delivered, "a message arrives")
    assert len(sink.delivered) == 1
    return sink.delivered[0]


def test_internal_relay_in_the_articles_words(site: Site) -> None:
    """Lower case, helo without a name, no angle brackets, a final dot on the domain: every reply is the article's, but for our banner."""
    with site.relay.dialogue() as session:
        assert re.fullmatch(rf"220 {re.escape(FQDN)} twistedrelay ESMTP MAIL Service ready at {DATE}", session.banner)
        assert session.command("helo") == f"250 {FQDN} Hello [127.0.0.1]"
        assert session.command("mail from: cengiz@cozumpark.com") == "250 2.1.0 Sender OK"
        assert session.command("rcpt to: user@akkaya.local.") == "250 2.1.5 Recipient OK"
        assert session.command("Data") == "354 Start mail input; end with <CRLF>.<CRLF>"
        assert QUEUED.fullmatch(session.command("Subject: Test email\r\n\r\nTesting\r\n."))
        assert session.command("quit") == "221 2.0.0 Service closing transmission channel"
        assert session.closed()
    message = one(site.mailbox)
    assert message.sender == "cengiz@cozumpark.com"
    assert [address.rstrip(".") for address in message.recipients] == ["user@akkaya.local"]
    assert message.content.endswith(b"\r\nSubject: Test email\r\n\r\nTesting\r\n")
    assert message.content.startswith(b"Received: ")


def test_a_space_and_brackets_are_taken_too(site: Site) -> None:
    """C{MAIL FROM: <a>}, as Outlook writes it."""
    with site.relay.dialogue() as session:
        session.command("EHLO WIN10-PC7")
        assert session.command("MAIL FROM: <cengiz@cozumpark.com>") == "250 2.1.0 Sender OK"
        assert session.command("RCPT TO: <user@akkaya.local>") == "250 2.1.5 Recipient OK"


def test_an_outside_recipient_is_refused(site: Site) -> None:
    """The article's words; the session goes on, and our own recipient is still served."""
    with site.relay.dialogue() as session:
        session.command("helo")
        session.command("mail from: cengiz@cozumpark.com")
        assert session.command("rcpt to: cengiz@gmail.com") == DENIED
        assert session.command("rcpt to: user@akkaya.local") == "250 2.1.5 Recipient OK"
        session.command("data")
        assert QUEUED.fullmatch(session.command("Subject: Test email\r\n\r\nTesting\r\n."))
    assert one(site.mailbox).recipients == ("user@akkaya.local",)
    assert site.outside.delivered == []


def test_postmaster_is_always_accepted(site: Site) -> None:
    """RFC 5321 section 4.5.1: without a domain, and at the accepted domain."""
    with site.relay.dialogue() as session:
        session.command("ehlo client")
        session.command("mail from:<a@b.example>")
        assert session.command("rcpt to:<postmaster>") == "250 2.1.5 Recipient OK"
        assert session.command("rcpt to:<Postmaster@akkaya.local>") == "250 2.1.5 Recipient OK"


def test_an_address_in_ip_relay_may_mail_anybody_as_anybody(site: Site) -> None:
    """The same port, another peer address: the connector with the more specific range takes it."""
    with site.relay.dialogue(source="127.0.0.2") as session:
        session.command("helo")
        assert session.command("mail from: nobody@nowhere.example") == "250 2.1.0 Sender OK"
        assert session.command("rcpt to: cengiz@gmail.com") == "250 2.1.5 Recipient OK"
        session.command("data")
        assert QUEUED.fullmatch(session.command("Subject: Test email\r\n\r\nTesting\r\n."))
    message = one(site.outside)
    assert (message.sender, message.recipients) == ("nobody@nowhere.example", ("cengiz@gmail.com",))
    with site.relay.dialogue(source="127.0.0.3") as session:
        session.command("helo")
        session.command("mail from: nobody@nowhere.example")
        assert session.command("rcpt to: cengiz@gmail.com") == DENIED


def test_submission_wants_a_login(site: Site) -> None:
    """The connector for users: no mail without TLS and AUTH, no AUTH without TLS."""
    with site.relay.dialogue("submission") as session:
        offered = session.command("EHLO client")
        assert "STARTTLS" in offered
        assert "AUTH" not in offered
        assert session.command("MAIL FROM:<cengiz@akkaya.local>")[:3] == "530"
        session.start_tls()
        assert re.search(r"250[- ]AUTH [^\r]*LOGIN", session.command("EHLO client"))
        expected = "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM"
        assert session.command("MAIL FROM:<cengiz@akkaya.local>") == expected


def test_login_relay_with_smtplib(site: Site) -> None:
    """STARTTLS and AUTH; any recipient, but only the own sender addresses."""
    site.relay.add_user("cengiz@akkaya.local", PASSWORD, "--send-as", "sales@akkaya.local")
    with smtplib.SMTP(LOOPBACK, site.relay.ports["submission"], timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        client.login("Cengiz@akkaya.local", PASSWORD)
        assert (
            client.sendmail("sales@akkaya.local", ["cengiz@gmail.com", "user@akkaya.local"], b"Subject: Test email\r\n\r\nTesting\r\n")
            == {}
        )
        code, text = client.mail("boss@akkaya.local")
        assert (code, text) == (550, b"5.7.60 SMTP; Client does not have permissions to send as this sender")
    assert one(site.outside).recipients == ("cengiz@gmail.com",)
    assert one(site.mailbox).recipients == ("user@akkaya.local",)


def test_login_over_implicit_tls(site: Site) -> None:
    """Port 465's way."""
    site.relay.add_user("cengiz@akkaya.local", PASSWORD)
    with smtplib.SMTP_SSL(LOOPBACK, site.relay.ports["submissions"], timeout=PATIENCE, context=unverified()) as client:
        assert "starttls" not in (client.ehlo()[1].decode().lower())
        client.login("cengiz@akkaya.local", PASSWORD)
        client.sendmail("cengiz@akkaya.local", "cengiz@gmail.com", b"Subject: Test email\r\n\r\nTesting\r\n")
    assert one(site.outside).sender == "cengiz@akkaya.local"


def test_a_wrong_password(site: Site) -> None:
    """535, and the reply to MAIL tells clients that ignore it (Send-MailMessage)."""
    site.relay.add_user("cengiz@akkaya.local", PASSWORD)
    with smtplib.SMTP(LOOPBACK, site.relay.ports["submission"], timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        client.ehlo()
        assert client.docmd("AUTH PLAIN", "AGNlbmdpekBha2theWEubG9jYWwAd3Jvbmc=") == (535, b"5.7.3 Authentication unsuccessful")
        assert client.mail("cengiz@akkaya.local")[0] == 530
    assert PASSWORD not in site.relay.output()


def test_login_relay_with_swaks(site: Site, program: Callable[[str], str]) -> None:
    """The article's Send-MailMessage, by swaks."""
    swaks = program("swaks")
    site.relay.add_user("cengiz@akkaya.local", PASSWORD)
    command = [swaks, "--server", LOOPBACK, "--port", str(site.relay.ports["submission"]), "-tls", "--auth", "LOGIN"]
    command += ["--auth-user", "cengiz@akkaya.local", "--auth-password", PASSWORD]
    command += ["--from", "cengiz@akkaya.local", "--to", "cengiz@gmail.com", "--header", "Subject: Test email", "--timeout", "60s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert QUEUED.search(done.stdout)
    assert b"Subject: Test email\r\n" in one(site.outside).content


def test_login_relay_with_curl(site: Site, program: Callable[[str], str]) -> None:
    """The same by curl."""
    curl = program("curl")
    site.relay.add_user("cengiz@akkaya.local", PASSWORD)
    (site.relay.directory / "mail").write_bytes(b"Subject: Test email\r\n\r\nTesting\r\n")
    command = [curl, "-sS", "--ssl-reqd", "--insecure", "--url", f"smtp://{LOOPBACK}:{site.relay.ports['submission']}/client.example"]
    command += ["--user", f"cengiz@akkaya.local:{PASSWORD}", "--mail-from", "cengiz@akkaya.local", "--mail-rcpt", "cengiz@gmail.com"]
    command += ["--upload-file", str(site.relay.directory / "mail"), "--max-time", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert one(site.outside).content.endswith(b"\r\nSubject: Test email\r\n\r\nTesting\r\n")


def test_the_message_to_an_unknown_user_comes_back(site: Site) -> None:
    """The parcel with the wrong address: the mailbox server refuses, the sender gets a report with a null return path."""
    site.mailbox.on("rcpt", lambda address: "550 5.1.1 User unknown" if address.startswith("unknown@") else None)
    with site.relay.dialogue() as session:
        session.command("ehlo client")
        taken = session.message(
            "cengiz@cozumpark.com", ["unknown@akkaya.local", "user@akkaya.local"], b"Subject: Test email\r\n\r\nTesting\r\n"
        )
        assert QUEUED.fullmatch(taken)
    assert one(site.mailbox).recipients == ("user@akkaya.local",)
    returned = one(site.outside)
    assert (returned.sender, returned.recipients) == ("", ("cengiz@cozumpark.com",))
    report = message_from_bytes(returned.content, policy=policy.default)
    assert isinstance(report, EmailMessage)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert "postmaster@akkaya.local" in str(report["From"])
    parts = list(report.iter_parts())
    assert [part.get_content_type() for part in parts[:2]] == ["text/plain", "message/delivery-status"]
    status = parts[1].as_string()
    assert re.search(r"(?im)^Final-Recipient: rfc822; ?unknown@akkaya\.local", status)
    assert re.search(r"(?im)^Action: failed", status)
    assert re.search(r"(?im)^Status: 5\.1\.1", status)
    assert re.search(r"(?im)^Diagnostic-Code: smtp; ?550 5\.1\.1 User unknown", status)
    assert "user@akkaya.local" not in status.replace("unknown@akkaya.local", "")
    assert parts[2].get_content_type() in {"message/rfc822", "text/rfc822-headers"}
    eventually(site.relay.is_empty, "nothing waits any more")


def test_no_report_about_a_report(site: Site) -> None:
    """A message with a null return path that cannot be delivered ends there."""
    site.mailbox.on("rcpt", "550 5.1.1 User unknown")
    with site.relay.dialogue() as session:
        session.command("ehlo client")
        assert QUEUED.fullmatch(session.message("", ["unknown@akkaya.local"], b"Subject: report\r\n\r\nTesting\r\n"))
    eventually(lambda: any(command.upper().startswith("RCPT") for command in site.mailbox.commands), "it was tried")
    eventually(site.relay.is_empty, "it is gone")
    assert site.outside.delivered == []


def test_the_table_of_connectors(site: Site) -> None:
    """C{relayctl connector list} is the article's table."""
    shown = site.relay.relayctl("connector", "list")
    assert shown.returncode == 0, shown.stderr
    lines = [re.split(r"\s{2,}", line.strip()) for line in shown.stdout.splitlines() if line.strip()]
    assert lines[0] == ["Identity", "Bindings", "Enabled"]
    rows = {row[0]: row[1:] for row in lines[1:]}
    port = site.relay.port
    assert rows["EXCSERVER\\Default Frontend"] == [f"{{127.0.0.1:{port}}}", "True"]
    assert rows["EXCSERVER\\IP_Relay"] == [f"{{127.0.0.1:{port}}}", "True"]
    assert {"EXCSERVER\\Client Frontend", "EXCSERVER\\Submissions"} <= set(rows)
