"""Addresses that change on the way out: for a smart host that takes known senders only, for SPF, and for a test system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.end_to_end.relay import FQDN, Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.network import eventually

SCAN = b"From: Scanner <scan7@printers.local>\r\nSubject: Scan\r\n\r\nFrom: scan7@printers.local\r\n.dot\r\n"
SRS = re.compile(r"SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=foreign\.example=boss@srs\.akkaya\.local")


@contextmanager
def rewriting(**keys: Any) -> Iterator[Site]:
    """A site whose send connector has these keys."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["send_connectors"]["Internet"] |= keys
        with Relay(configuration, ports) as relay:
            yield Site(relay, mailbox, outside)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_device_writes_as_somebody_whom_the_smart_host_knows(large: bool) -> None:
    """Envelope and header; what is in the body, and what goes to our own mailboxes, stays."""
    content = SCAN + b"x" * 70 * 100_000 + b"\r\n" if large else SCAN
    with rewriting(sender_rewrite={"*@printers.local": "scanner@akkaya.local"}, sender_rewrite_headers_enabled=True) as site:
        site.relay.submit(["user@there.example", "cengiz@akkaya.local"], content, sender="scan7@printers.local")
        [outside] = eventually(lambda: site.outside.delivered, "it arrives outside")
        [inside] = eventually(lambda: site.mailbox.delivered, "it arrives inside")
        site.relay.submit(["user@there.example"], SCAN, sender="boss@akkaya.local")
        eventually(lambda: len(site.outside.delivered) == 2, "the other message arrives")
    assert (outside.sender, inside.sender) == ("scanner@akkaya.local", "scan7@printers.local")
    assert outside.content.endswith(b"\r\n" + content.replace(b"scan7@printers.local", b"scanner@akkaya.local", 1))
    assert inside.content.endswith(b"\r\n" + content)
    assert site.outside.delivered[1].sender == "boss@akkaya.local"


def test_what_comes_back_goes_to_the_address_that_is_known() -> None:
    """A report is about what the device sent, and is for the device: only the next hop saw another sender."""
    with rewriting(sender_rewrite={"*": "scanner@akkaya.local"}) as site:
        site.outside.on("rcpt", "550 5.1.1 User unknown")
        site.relay.submit(["user@there.example"], SCAN, sender="cengiz@akkaya.local")
        [returned] = eventually(lambda: site.mailbox.delivered, "the report arrives")
    assert (returned.sender, returned.recipients) == ("", ("cengiz@akkaya.local",))


def test_a_foreign_sender_and_the_bounce_to_it() -> None:
    """Out under an address of ours, and back through it, also after a restart with a new secret; nobody else gets through by it."""
    with rewriting(srs_domain="srs.akkaya.local") as site:
        site.relay.submit(["user@there.example"], SCAN, sender="boss@foreign.example")
        [sent] = eventually(lambda: site.outside.delivered, "it arrives")
        assert SRS.fullmatch(sent.sender), sent.sender
        secret = site.relay.state / "srs.secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        site.relay.stop()
        secret.write_text(f"a new secret for this relay\n{secret.read_text()}")
        site.relay.start()
        with site.relay.dialogue() as session:
            session.command("EHLO there.example")
            session.command("MAIL FROM:<>")
            for forged in (sent.sender.replace("boss", "other"), sent.sender.replace("foreign", "victim")):
                assert session.command(f"RCPT TO:<{forged}>").startswith("550 5.1.1 ")
            assert session.command("RCPT TO:<user@srs.akkaya.local>").startswith("550 5.7.54 ")
            assert session.command("RCPT TO:<boss@foreign.example>").startswith("550 5.7.54 ")
            session.command("RSET")
            assert session.message("", [sent.sender.lower()], b"Subject: bounce\r\n\r\n").startswith("250")
        eventually(lambda: len(site.outside.delivered) == 2, "the bounce goes on")
        bounce = site.outside.delivered[1]
    assert (bounce.sender, bounce.recipients) == ("", ("boss@foreign.example",))


def test_a_report_about_mail_that_came_back_to_us() -> None:
    """Somebody forwarded it into our own domain, with the return path that we made: the report goes to who is inside, and not round."""
    with rewriting(srs_domain="srs.akkaya.local") as site:
        site.relay.submit(["user@there.example"], SCAN, sender="boss@foreign.example")
        [sent] = eventually(lambda: site.outside.delivered, "it arrives")
        site.mailbox.on("rcpt", "550 5.1.1 User unknown")
        with site.relay.dialogue() as session:
            session.command("EHLO there.example")
            assert session.message(sent.sender, ["gone@akkaya.local"], SCAN).startswith("250")
        eventually(lambda: len(site.outside.delivered) == 2, "the report arrives")
        report = site.outside.delivered[1]
    assert (report.sender, report.recipients) == ("", ("boss@foreign.example",))


def test_a_test_system_writes_to_nobody() -> None:
    """All recipients but those that are allowed become one; it says whose they were, where only that one reads it."""
    with rewriting(redirect_all_to="test@qa.example", allowed_recipients=["*@qa.example"]) as site:
        site.relay.submit(["a@there.example", "b@elsewhere.example"], SCAN, sender="app@akkaya.local")
        site.relay.submit(["tester@qa.example"], SCAN, sender="app@akkaya.local")
        eventually(site.relay.is_empty, "all is sent")
        delivered = site.outside.delivered
    assert {recipient for message in delivered for recipient in message.recipients} == {"test@qa.example", "tester@qa.example"}
    redirected = [message for message in delivered if "test@qa.example" in message.recipients]
    for message in redirected:
        assert b"X-TwistedRelay-Original-Recipient: a@there.example,\r\n b@elsewhere.example\r\n\r\n" in message.content
    [left] = [message for message in delivered if "tester@qa.example" in message.recipients]
    assert b"X-TwistedRelay" not in left.content


def test_who_is_not_allowed_gets_nothing_and_the_sender_hears_of_it() -> None:
    with rewriting(allowed_recipients=["*@qa.example"]) as site:
        site.relay.submit(["tester@qa.example", "customer@there.example"], SCAN, sender="app@akkaya.local")
        [report] = eventually(lambda: site.mailbox.delivered, "the report arrives")
        [delivered] = eventually(lambda: site.outside.delivered, "the allowed one arrives")
    assert delivered.recipients == ("tester@qa.example",)
    assert report.recipients == ("app@akkaya.local",)
    assert b"The relay that you use is set up not to send to this address." in report.content
    assert b"Final-Recipient: rfc822; customer@there.example\r\n" in report.content
    assert b"Diagnostic-Code: X-TwistedRelay; 550 5.7.1 " in report.content
    assert b"tester@qa.example" not in report.content.partition(b"message/delivery-status")[2].partition(b"message/rfc822")[0]
    assert FQDN.encode() in report.content
