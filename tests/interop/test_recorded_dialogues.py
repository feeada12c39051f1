"""Dialogues recorded from real clients, replayed octet by octet, in the packets the clients used."""

from __future__ import annotations

import contextlib
import re
from base64 import b64encode

import pytest

from tests.end_to_end.site import Site
from tests.network import eventually

USER, PASSWORD = "cengiz@akkaya.local", "secret word"


def coded(text: str) -> str:
    """Base64 of a text."""
    return b64encode(text.encode()).decode()


def test_send_mailmessage(site: Site) -> None:
    """PowerShell: a bare machine name, AUTH login in lower case with the user in it, the content in several writes, no QUIT."""
    site.relay.add_user(USER, PASSWORD)
    with site.relay.dialogue("submission") as session:
        assert re.search(r"250[- ]STARTTLS", session.command("EHLO WIN10-PC7"))
        session.start_tls()
        offered = session.command("EHLO WIN10-PC7")
        assert re.search(r"250[- ]AUTH [^\r]*LOGIN", offered)
        assert session.command(f"AUTH login {coded(USER)}").startswith("334")
        assert session.command(coded(PASSWORD)) == "235 2.7.0 Authentication successful"
        assert session.command(f"MAIL FROM:<{USER}>").startswith("250")
        notify = " NOTIFY=SUCCESS,FAILURE" if "DSN" in offered else ""
        assert session.command(f"RCPT TO:<cengiz@gmail.com>{notify}").startswith("250")
        assert session.command("DATA").startswith("354")
        for part in (b"MIME-Version: 1.0\r\nSubject: Test email\r\n", b"\r\n", b"Testing", b"\r\n", b"\r\n.\r\n"):
            session.send(part)
        assert session.reply().startswith("250 2.6.0")
    eventually(lambda: site.outside.delivered, "it arrives")


def test_send_mailmessage_with_a_wrong_password(site: Site) -> None:
    """It goes on with MAIL after 535; the reply to that is what its user sees. DOMAIN\\user is the local part."""
    site.relay.add_user(USER, PASSWORD)
    with site.relay.dialogue("submission") as session:
        session.command("EHLO WIN10-PC7")
        session.start_tls()
        session.command("EHLO WIN10-PC7")
        session.command(f"AUTH login {coded(USER)}")
        assert session.command(coded("wrong")) == "535 5.7.3 Authentication unsuccessful"
        assert session.command(f"MAIL FROM:<{USER}>").startswith("530 5.7.57")
        session.command(f"AUTH login {coded('AKKAYA' + chr(92) + 'cengiz')}")
        assert session.command(coded(PASSWORD)).startswith("235")


def test_an_offered_mechanism_only(site: Site) -> None:
    """GSSAPI and NTLM are neither offered nor understood: 504, and the session goes on."""
    with site.relay.dialogue("submission") as session:
        session.command("EHLO WIN10-PC7")
        session.start_tls()
        offered = session.command("EHLO WIN10-PC7")
        assert "GSSAPI" not in offered
        assert "NTLM" not in offered
        assert session.command("AUTH gssapi") == "504 5.7.4 Unrecognized authentication type"
        assert session.command("NOOP").startswith("250")


def test_nodemailer(site: Site) -> None:
    """MAIL, RCPT and DATA in one packet; no QUIT."""
    with site.relay.dialogue() as session:
        session.command("EHLO [127.0.0.1]")
        session.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
        assert [session.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        session.send(b"Subject: Test email\r\n\r\nTesting\r\n.\r\n")
        assert session.reply().startswith("250")
    eventually(lambda: site.mailbox.delivered, "it arrives")


def test_msmtp_with_a_refused_recipient(site: Site) -> None:
    """RCPT and DATA in one packet: no valid recipient, so no 354."""
    with site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.command("MAIL FROM:<a@client.example>")
        session.send(b"RCPT TO:<cengiz@gmail.com>\r\nDATA\r\n")
        assert session.reply().startswith("550 5.7.54")
        assert session.reply()[0] == "5"
        assert session.command("RSET").startswith("250")


def test_smtplibs_spelling(site: Site) -> None:
    """C{mail FROM:<a> size=87}, C{data}."""
    with site.relay.dialogue() as session:
        session.command("ehlo [127.0.0.1]")
        assert session.command("mail FROM:<a@client.example> size=87").startswith("250")
        assert session.command("rcpt TO:<user@akkaya.local>").startswith("250")
        assert session.command("data").startswith("354")


def test_outlook_com(site: Site) -> None:
    """C{SIZE=n AUTH=<>}, a space after the colon, and closing right after QUIT."""
    site.relay.add_user(USER, PASSWORD)
    with site.relay.dialogue("submission") as session:
        session.command("EHLO outlook.example")
        session.start_tls()
        session.command("EHLO outlook.example")
        assert session.command(f"AUTH PLAIN {coded(f'{USER}{chr(0)}{USER}{chr(0)}{PASSWORD}')}").startswith("235"), (
            "the authzid repeats the user"
        )
        assert session.command("EHLO outlook.example").startswith("250"), "EHLO after AUTH keeps the login"
        assert session.command(f"MAIL FROM: <{USER}> SIZE=100 AUTH=<>").startswith("250")
        assert session.command("RCPT TO: <cengiz@gmail.com>").startswith("250")
        session.send(b"QUIT\r\n")


def test_go(site: Site) -> None:
    """BODY=8BITMIME when it is offered."""
    with site.relay.dialogue() as session:
        assert "8BITMIME" in session.command("EHLO localhost")
        assert session.command("MAIL FROM:<a@client.example> BODY=8BITMIME").startswith("250")


@pytest.mark.parametrize("hello", ["HELO [192.168.1.20]", "HELO printer_2", "EHLO (null)", "ehlo FE80::1", "EHLO"])
def test_odd_names(site: Site, hello: str) -> None:
    """Devices introduce themselves as they like."""
    with site.relay.dialogue() as session:
        assert session.command(hello).startswith("250")
        assert session.command("MAIL FROM: a@client.example").startswith("250"), "HP 4345: no brackets"


def test_git(site: Site) -> None:
    """EHLO twice after TLS."""
    with site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.start_tls()
        assert "STARTTLS" not in session.command("EHLO localhost")
        assert session.command("EHLO localhost").startswith("250")


def test_mutt_puts_the_stuffed_dot_in_a_packet_of_its_own(site: Site) -> None:
    """Dots at packet boundaries, over TLS."""
    with site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.start_tls()
        session.command("EHLO localhost")
        session.command("MAIL FROM:<a@client.example>")
        session.command("RCPT TO:<user@akkaya.local>")
        session.command("DATA")
        for part in (b"Subject: dots\r\n\r\n", b".", b".line\r\n", b"..\r", b"\n", b".", b"\r", b"\n"):
            session.send(part)
        assert session.reply().startswith("250")
    eventually(lambda: site.mailbox.delivered, "it arrives")
    assert site.mailbox.delivered[0].content.endswith(b"Subject: dots\r\n\r\n.line\r\n.\r\n")


def test_a_tls_hello_on_the_clear_port(site: Site) -> None:
    """HP 477dw: refused or hung up on, and the relay lives."""
    with site.relay.dialogue() as session:
        session.send(bytes.fromhex("16030100a5010000a10303") + b"\x20" * 32 + b"\r\n")
        with contextlib.suppress(EOFError, ConnectionError):
            assert session.reply()[0] in "45"
    with site.relay.dialogue() as session:
        assert session.command("NOOP").startswith("250")


def test_commands_behind_starttls_are_never_answered(site: Site) -> None:
    """What a man in the middle puts behind STARTTLS in the clear closes the session."""
    with site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<a@evil.example>\r\n")
        replies = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                replies.append(session.reply())
        assert not [reply for reply in replies if reply.startswith("250")]
