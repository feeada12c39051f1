"""What a sender gets back, read as a person and as a program would read it."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

from tests.end_to_end.relay import FQDN, Relay, article
from tests.end_to_end.sink import Delivered, Sink
from tests.end_to_end.site import Site
from tests.network import eventually

ORIGINAL = (
    "From: =?utf-8?q?Boss?= <boss@example.test>\r\nTo: user@akkaya.local\r\nSubject: =?utf-8?q?T=C3=BCr?= and\r\n  more\r\n"
    "Message-ID: <1@example.test>\r\nX-Odd:\r\n\r\n"
    "Grüße,\r\n.\r\n--=_boundary\r\n  trailing blanks  \r\n\r\n.. dots\r\nFrom here on\r\n"
).encode()


def parts_of(report: Delivered) -> tuple[EmailMessage, str, list[EmailMessage], bytes]:
    """The parsed report, its text, the groups of fields of its status, and the octets of what is attached."""
    parsed = message_from_bytes(report.content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    text, status, _ = parsed.iter_parts()
    groups = status.get_payload()
    boundary = str(parsed.get_boundary()).encode()
    attached = report.content.split(b"\r\n--" + boundary)[3].partition(b"\r\n\r\n")[2]
    assert isinstance(text, EmailMessage)
    return parsed, text.get_content(), groups, attached  # type: ignore[return-value]


def check_header(report: EmailMessage, envelope: Delivered, to: str) -> None:
    """What every report has."""
    assert envelope.sender == ""
    assert envelope.recipients == (to,)
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["To"].addresses[0].addr_spec == to
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert re.fullmatch(rf"<\S+@{re.escape(FQDN)}>", str(report["Message-ID"]))
    assert parsedate_to_datetime(str(report["Date"]))


def test_what_could_not_be_delivered(site: Site) -> None:
    """The refusal in plain words and in RFC 3464's fields; the original comes back octet for octet."""
    site.mailbox.on("rcpt", "550 5.1.1 User unknown; see https://akkaya.local/help")
    with site.relay.dialogue() as session:
        session.command("EHLO client.example.test")
        assert session.message("boss@example.test", ["user@akkaya.local"], ORIGINAL).startswith("250")
    [returned] = eventually(lambda: site.outside.delivered, "the report arrives")
    report, text, (of_message, of_recipient), attached = parts_of(returned)
    check_header(report, returned, "boss@example.test")
    assert report["Subject"] == "Undeliverable: Tür and more"
    assert "user@akkaya.local" in text
    assert "User unknown; see https://akkaya.local/help" in " ".join(text.split())
    assert FQDN in text
    assert max(map(len, text.splitlines())) <= 78
    assert of_message["Reporting-MTA"] == f"dns; {FQDN}"
    assert of_message["Received-From-MTA"] == "dns; client.example.test"
    assert parsedate_to_datetime(str(of_message["Arrival-Date"]))
    assert of_recipient["Final-Recipient"] == "rfc822; user@akkaya.local"
    assert of_recipient["Action"] == "failed"
    assert of_recipient["Status"] == "5.1.1"
    assert of_recipient["Remote-MTA"] == "dns; [127.0.0.1]"
    assert of_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 User unknown; see https://akkaya.local/help"
    assert attached.endswith(ORIGINAL)
    assert attached.removesuffix(ORIGINAL).startswith(b"Received: ")


def test_how_much_of_the_original_comes_back(site: Site) -> None:
    """Of a message that is too large only its header section; about a message with a null return path nothing at all."""
    site.mailbox.on("rcpt", "550 5.1.1 User unknown")
    body = b"x" * 70 + b"\r\n"
    site.relay.submit(["user@akkaya.local"], b"Subject: null\r\n\r\n" + body, sender="")
    site.relay.submit(["user@akkaya.local"], b"Subject: large\r\n\r\n" + body * 150_000, sender="boss@example.test")
    [returned] = eventually(lambda: site.outside.delivered, "the report arrives")
    eventually(site.relay.is_empty, "nothing waits any more")
    assert len(site.outside.delivered) == 1
    _, _, _, attached = parts_of(returned)
    assert b"\r\nContent-Type: text/rfc822-headers\r\n" in returned.content
    assert attached.endswith(b"\r\nSubject: large\r\n")
    assert len(returned.content) < 10_000


def test_what_is_late() -> None:
    """The notice says that nothing needs to be done, until when it is tried, and has the header section only."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["transport"] |= {"delay_notification_timeout": "2s"}
        mailbox.on("rcpt", "451 4.2.1 Mailbox is busy")
        with Relay(configuration, ports) as relay:
            relay.submit(["user@akkaya.local"], ORIGINAL, sender="boss@example.test", options="BODY=8BITMIME")
            [returned] = eventually(lambda: outside.delivered, "the notice arrives")
    notice, text, (_, of_recipient), attached = parts_of(returned)
    check_header(notice, returned, "boss@example.test")
    assert notice["Subject"] == "Delivery delayed: Tür and more"
    assert "You do not need to send it again." in text
    assert of_recipient["Action"] == "delayed"
    assert of_recipient["Status"] == "4.2.1"
    late = parsedate_to_datetime(str(of_recipient["Will-Retry-Until"])) - parsedate_to_datetime(str(of_recipient["Last-Attempt-Date"]))
    assert 1.9 < late.total_seconds() / 86400 <= 2
    assert attached.rstrip(b"\r\n").endswith(b"X-Odd:")


def test_in_the_language_of_the_sender_and_in_our_own_words() -> None:
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["transport"] |= {"external_dsn_default_language": "fr", "generate_copy_of_dsn_for": ["5.2.2"]}
        configuration["server"]["postmaster"] = "postmaster@help.example"
        configuration["system_messages"] = [{"dsn_code": "5.1.1", "language": "de", "text": "Fragen Sie in Zimmer 7."}]
        mailbox.on("rcpt", lambda argument: "550 5.1.1 Unknown" if "gone" in argument else "550 5.2.2 Full")
        with Relay(configuration, ports) as relay:
            relay.submit(["gone@akkaya.local"], b"Content-Language: de-DE\r\n\r\nTach\r\n", sender="boss@example.test")
            [german] = eventually(lambda: outside.delivered, "the report arrives")
            relay.submit(["full@akkaya.local"], b"Subject: x\r\n\r\n", sender="boss@example.test")
            eventually(lambda: len(outside.delivered) > 1 and relay.is_empty(), "the other report arrives, and its copy")
            readers = {reader for report in outside.delivered[1:] for reader in report.recipients}
    report, text, _, _ = parts_of(german)
    assert report["Subject"] == "Unzustellbar: Ihre Nachricht"
    assert "Fragen Sie in Zimmer 7." in text
    _, text, _, _ = parts_of(outside.delivered[1])
    assert "La boîte aux lettres du destinataire est pleine." in text
    assert readers == {"boss@example.test", "postmaster@help.example"}


def test_a_report_that_cannot_be_delivered_ends(site: Site) -> None:
    """Neither its sender nor postmaster takes it: it is dropped, and the log says so."""
    site.mailbox.on("rcpt", "550 5.1.1 User unknown")
    site.relay.submit(["gone@akkaya.local"], ORIGINAL, sender="gone-too@akkaya.local", options="BODY=8BITMIME")
    eventually(lambda: "given up without a report: its return path is null" in site.relay.output(), "the report is dropped")
    eventually(site.relay.is_empty, "nothing waits any more")
    assert site.mailbox.delivered == []


def test_two_relays_that_point_at_each_other() -> None:
    """A message that goes in circles is stopped, its report, which goes in circles as well, is dropped, and nothing is left."""
    with Sink() as outside:
        configuration, ports = article("127.0.0.1:1", outside.hop)
        other, other_ports = article("127.0.0.1:1", outside.hop)
        configuration["accepted_domains"]["akkaya.local"]["next_hop"] = f"127.0.0.1:{other_ports['relay']}"
        other["accepted_domains"]["akkaya.local"]["next_hop"] = f"127.0.0.1:{ports['relay']}"
        other["server"]["fqdn"] = "other.akkaya.local"
        for each in (configuration, other):
            for connector in each["receive_connectors"].values():
                connector |= {"max_hop_count": 10, "max_local_hop_count": 5}
        with Relay(configuration, ports) as relay, Relay(other, other_ports) as second:
            relay.submit(["user@akkaya.local"], sender="boss@akkaya.local")
            eventually(lambda: "given up without a report" in relay.output() + second.output(), "the report of the loop is dropped")
            eventually(lambda: relay.is_empty() and second.is_empty(), "nothing goes round any more")
            relay.submit(["user@akkaya.local"], sender="boss@example.test")
            [returned] = eventually(lambda: outside.delivered, "the report arrives")
    _, text, (_, of_recipient), _ = parts_of(returned)
    assert of_recipient["Status"] == "5.4.6"
    assert "in a circle" in text
