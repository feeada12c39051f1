"""Dialogues recorded from real clients, replayed octet by octet, in the packets the clients used."""

from __future__ import annotations

import contextlib
import re
import time
from base64 import b64encode

import pytest

from tests.end_to_end.sink import Delivered, Sink
from tests.end_to_end.site import PASSWORD, USER, Site
from tests.network import Dialogue, eventually


def coded(text: str) -> str:
    """Base64 of a text."""
    return b64encode(text.encode()).decode()


def arrived(sink: Sink, token: bytes) -> Delivered:
    """The message with a token in it, once it is there."""
    return eventually(lambda: [one for one in sink.delivered if token in one.content], "it arrives")[0]


def secured(site: Site, name: str, port: str = "submission") -> Dialogue:
    """A session behind STARTTLS and EHLO."""
    session = site.relay.dialogue(port)
    session.command(f"EHLO {name}")
    session.start_tls()
    session.command(f"EHLO {name}")
    return session


def test_send_mailmessage(shared_site: Site) -> None:
    """PowerShell: a bare machine name, AUTH login in lower case with the user in it, the content in several writes, no QUIT."""
    with shared_site.relay.dialogue("submission") as session:
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
        for part in (b"MIME-Version: 1.0\r\nSubject: from PowerShell\r\n", b"\r\n", b"Testing", b"\r\n", b"\r\n.\r\n"):
            session.send(part)
            time.sleep(0.01)  # a packet of its own
        assert session.reply().startswith("250 2.6.0")
    assert arrived(shared_site.outside, b"Subject: from PowerShell\r\n").content.endswith(b"\r\n\r\nTesting\r\n\r\n")


def test_send_mailmessage_with_a_wrong_password(shared_site: Site) -> None:
    """It goes on with MAIL after 535; the reply to that is what its user sees. DOMAIN\\user is the local part."""
    with shared_site.relay.dialogue("submission") as session:
        session.command("EHLO WIN10-PC7")
        session.start_tls()
        session.command("EHLO WIN10-PC7")
        session.command(f"AUTH login {coded(USER)}")
        assert session.command(coded("wrong")) == "535 5.7.3 Authentication unsuccessful"
        assert session.command(f"MAIL FROM:<{USER}>").startswith("530 5.7.57")
        session.command(f"AUTH login {coded('AKKAYA' + chr(92) + 'cengiz')}")
        assert session.command(coded(PASSWORD)).startswith("235")


def test_dotnet_does_not_wait_for_221(shared_site: Site) -> None:
    """.NET Framework and .NET 5: QUIT, and gone.  What was accepted before is delivered."""
    with secured(shared_site, "WIN10-PC7") as session:
        session.command(f"AUTH login {coded(USER)}")
        session.command(coded(PASSWORD))
        assert session.message(USER, ["cengiz@gmail.com"], b"Subject: and gone\r\n\r\nTesting\r\n").startswith("250")
        session.send(b"QUIT\r\n")
    arrived(shared_site.outside, b"Subject: and gone\r\n")


def test_dotnet_falls_back_to_helo(shared_site: Site) -> None:
    """Only 500 and 502 make it say HELO; whatever it calls itself, EHLO gets neither."""
    for name in ("WIN10-PC7", "my_pc", "müller-pc", "a b", "x" * 300):
        with shared_site.relay.dialogue() as session:
            assert session.command(f"EHLO {name}")[:3] not in ("500", "502")
            assert session.command("HELO WIN10-PC7").startswith("250 ")


def test_dotnet_gssapi_without_credentials(shared_site: Site) -> None:
    """C{AUTH gssapi} with a blank and an empty line behind it, in one packet: each line gets its reply, and the session is in step."""
    with secured(shared_site, "WIN10-PC7") as session:
        session.send(b"AUTH gssapi \r\n\r\n")
        assert session.reply().startswith("504")
        assert session.reply().startswith("500")
        assert session.command(f"AUTH login {coded(USER)}").startswith("334")
        assert session.command(coded(PASSWORD)).startswith("235")


def test_an_offered_mechanism_only(shared_site: Site) -> None:
    """GSSAPI and NTLM are neither offered nor understood: 504, and the session goes on."""
    with shared_site.relay.dialogue("submission") as session:
        session.command("EHLO WIN10-PC7")
        session.start_tls()
        offered = session.command("EHLO WIN10-PC7")
        assert "GSSAPI" not in offered
        assert "NTLM" not in offered
        assert session.command("AUTH gssapi") == "504 5.7.4 Unrecognized authentication type"
        assert session.command("NOOP").startswith("250")


def test_nodemailer(shared_site: Site) -> None:
    """MAIL, RCPT and DATA in one packet; no QUIT."""
    with shared_site.relay.dialogue() as session:
        session.command("EHLO [127.0.0.1]")
        session.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
        assert [session.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        session.send(b"Subject: from nodemailer\r\n\r\nTesting\r\n.\r\n")
        assert session.reply().startswith("250")
    arrived(shared_site.mailbox, b"Subject: from nodemailer\r\n")


def test_msmtp_with_a_refused_recipient(shared_site: Site) -> None:
    """RCPT and DATA in one packet: no valid recipient, so no 354."""
    with shared_site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.command("MAIL FROM:<a@client.example>")
        session.send(b"RCPT TO:<cengiz@gmail.com>\r\nDATA\r\n")
        assert session.reply().startswith("550 5.7.54")
        assert session.reply()[0] == "5"
        assert session.command("RSET").startswith("250")


def test_smtplibs_spelling(shared_site: Site) -> None:
    """C{mail FROM:<a> size=87}, C{data}."""
    with shared_site.relay.dialogue() as session:
        session.command("ehlo [127.0.0.1]")
        assert session.command("mail FROM:<a@client.example> size=87").startswith("250")
        assert session.command("rcpt TO:<user@akkaya.local>").startswith("250")
        assert session.command("data").startswith("354")


def test_outlook_com(shared_site: Site) -> None:
    """C{SIZE=n AUTH=<>}, a space after the colon, and closing right after QUIT."""
    with shared_site.relay.dialogue("submission") as session:
        session.command("EHLO outlook.example")
        session.start_tls()
        session.command("EHLO outlook.example")
        assert session.command(f"AUTH PLAIN {coded(f'{chr(0)}{USER}{chr(0)}{PASSWORD}')}").startswith("235")
        assert session.command(f"MAIL FROM: <{USER}> SIZE=100 AUTH=<>").startswith("250")
        assert session.command("RCPT TO: <cengiz@gmail.com>").startswith("250")
        session.send(b"QUIT\r\n")


@pytest.mark.parametrize("name", ["localhost", "WIN10-PC7"])
def test_go_and_dotnet_international(shared_site: Site, name: str) -> None:
    """BODY=8BITMIME and SMTPUTF8 whenever they are offered, also for plain addresses."""
    with shared_site.relay.dialogue() as session:
        offered = session.command(f"EHLO {name}")
        assert "8BITMIME" in offered
        parameters = "BODY=8BITMIME" + (" SMTPUTF8" if "SMTPUTF8" in offered else "")
        assert session.command(f"MAIL FROM:<a@client.example> {parameters}").startswith("250")
        assert session.command("RCPT TO:<user@akkaya.local>").startswith("250")
        assert session.command("DATA").startswith("354")
        session.send(f"Subject: from {name}\r\n\r\näöü\r\n.\r\n".encode())
        assert session.reply().startswith("250")
    assert "äöü".encode() in arrived(shared_site.mailbox, f"Subject: from {name}\r\n".encode()).content


@pytest.mark.parametrize("hello", ["HELO [192.168.1.20]", "HELO printer_2", "EHLO (null)", "ehlo FE80::1", "EHLO"])
def test_odd_names(shared_site: Site, hello: str) -> None:
    """Devices introduce themselves as they like."""
    with shared_site.relay.dialogue() as session:
        assert session.command(hello).startswith("250")
        assert session.command("MAIL FROM: a@client.example").startswith("250"), "HP 4345: no brackets"


def test_git(shared_site: Site) -> None:
    """EHLO twice after TLS."""
    with shared_site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.start_tls()
        assert "STARTTLS" not in session.command("EHLO localhost")
        assert session.command("EHLO localhost").startswith("250")


def test_mutt_puts_the_stuffed_dot_in_a_packet_of_its_own(shared_site: Site) -> None:
    """Dots at packet boundaries, over TLS."""
    with shared_site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.start_tls()
        session.command("EHLO localhost")
        session.command("MAIL FROM:<a@client.example>")
        session.command("RCPT TO:<user@akkaya.local>")
        session.command("DATA")
        for part in (b"Subject: dots\r\n\r\n", b".", b".line\r\n", b"..\r", b"\n", b".", b"\r", b"\n"):
            session.send(part)
            time.sleep(0.01)
        assert session.reply().startswith("250")
    assert arrived(shared_site.mailbox, b"Subject: dots\r\n").content.endswith(b"Subject: dots\r\n\r\n.line\r\n.\r\n")


def test_a_tls_hello_on_the_clear_port(shared_site: Site) -> None:
    """HP 477dw: refused or hung up on, and the relay lives."""
    with shared_site.relay.dialogue() as session:
        session.send(bytes.fromhex("16030100a5010000a10303") + b"\x20" * 32 + b"\r\n")
        with contextlib.suppress(EOFError, ConnectionError):
            assert session.reply()[0] in "45"
    with shared_site.relay.dialogue() as session:
        assert session.command("NOOP").startswith("250")


def test_commands_behind_starttls_are_never_answered(shared_site: Site) -> None:
    """What a man in the middle puts behind STARTTLS in the clear closes the session."""
    with shared_site.relay.dialogue() as session:
        session.command("EHLO localhost")
        session.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<a@evil.example>\r\n")
        replies = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                replies.append(session.reply())
        assert not [reply for reply in replies if reply.startswith("250")]


def test_javamail_repeats_the_user(shared_site: Site) -> None:
    """PLAIN with the user as authorisation identity, too."""
    with secured(shared_site, "java.example") as session:
        assert session.command(f"AUTH PLAIN {coded(f'{USER}{chr(0)}{USER}{chr(0)}{PASSWORD}')}").startswith("235")


def test_auth_plain_in_two_steps(shared_site: Site) -> None:
    """curl and s-nail wait for an (empty) challenge."""
    with secured(shared_site, "curl.example") as session:
        assert session.command("AUTH PLAIN").rstrip() == "334"
        assert session.command(coded(f"\0{USER}\0{PASSWORD}")).startswith("235")


def test_hp_logs_in_after_helo(shared_site: Site) -> None:
    """HELO under TLS, and AUTH behind it."""
    with shared_site.relay.dialogue("submission") as session:
        session.command("EHLO printer")
        session.start_tls()
        assert session.command("HELO printer").startswith("250 ")
        assert session.command("AUTH LOGIN").startswith("334")
        assert session.command(coded(USER)).startswith("334")
        assert session.command(coded(PASSWORD)).startswith("235")
        assert session.command(f"MAIL FROM:<{USER}>").startswith("250")


def test_xerox_wants_its_prompts(shared_site: Site) -> None:
    """C{Username:} and C{Password:} in base64, and not a word more."""
    with secured(shared_site, "xerox") as session:
        assert session.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert session.command(coded(USER)) == "334 UGFzc3dvcmQ6"
        assert session.command(coded(PASSWORD)).startswith("235")


def test_mailkit_says_ehlo_again(shared_site: Site) -> None:
    """EHLO behind AUTH: the login stays, and AUTH is not offered again."""
    with secured(shared_site, "mailkit.example") as session:
        session.command(f"AUTH PLAIN {coded(f'{chr(0)}{USER}{chr(0)}{PASSWORD}')}")
        assert "AUTH" not in session.command("EHLO mailkit.example")
        assert session.command(f"MAIL FROM:<{USER}>").startswith("250")
        assert session.command("RCPT TO:<cengiz@gmail.com>").startswith("250")


def test_megaraid(shared_site: Site) -> None:
    """No angle brackets, and every line in packets of its own."""
    with shared_site.relay.dialogue() as session:
        for line, code in (
            ("HELO megaraid", "250"),
            ("MAIL FROM: a@client.example", "250"),
            ("RCPT TO: user@akkaya.local", "250"),
            ("DATA", "354"),
            ("Subject: MegaRAID\r\n\r\nDisk 3 failed\r\n.", "250"),
            ("QUIT", "221"),
        ):
            for octet in line.encode() + b"\r\n":
                session.send(bytes([octet]))
            assert session.reply().startswith(code), line
    arrived(shared_site.mailbox, b"Subject: MegaRAID\r\n")


#: Lines as one packet each, with the codes of all replies to it.
KNOWLEDGE: dict[str, tuple[tuple[str, str], ...]] = {
    "Thunderbird": (
        ("EHLO [192.168.1.20]", "250"),
        ("MAIL FROM:<a@client.example> BODY=8BITMIME SIZE=300", "250"),
        ("RCPT TO:<user@akkaya.local>", "250"),
        ("DATA", "354"),
    ),
    "Apple Mail": (
        ("EHLO smtpclient.apple", "250"),
        ("MAIL FROM:<a@client.example> SIZE=300", "250"),
        ("RCPT TO:<user@akkaya.local>", "250"),
        ("DATA", "354"),
    ),
    "Domino": (
        ("EHLO domino.example", "250"),
        ("RSET", "250"),
        ("MAIL FROM:<a@client.example> SIZE=300", "250"),
        ("RCPT TO:<user@akkaya.local>", "250"),
        ("DATA", "354"),
    ),
    "Exim": (
        ("EHLO exim.example", "250"),
        ("MAIL FROM:<a@client.example> SIZE=1300\r\nRCPT TO:<user@akkaya.local>\r\nDATA", "250 250 354"),
    ),
    "Sendmail": (
        ("EHLO sendmail.example", "250"),
        ("MAIL From:<a@client.example> SIZE=300 BODY=8BITMIME\r\nRCPT To:<user@akkaya.local>\r\nDATA", "250 250 354"),
    ),
}


@pytest.mark.parametrize("client", KNOWLEDGE)
def test_dialogues_from_protocol_knowledge(shared_site: Site, client: str) -> None:
    """Clients of which there is no recording; the message and QUIT go in one packet where the client pipelines."""
    with shared_site.relay.dialogue() as session:
        for packet, codes in KNOWLEDGE[client]:
            session.send(packet.encode() + b"\r\n")
            assert " ".join(session.reply()[:3] for _ in codes.split()) == codes, packet
        session.send(f"Subject: from {client}\r\n\r\nTesting\r\n.\r\nQUIT\r\n".encode())
        assert session.reply().startswith("250")
        assert session.reply().startswith("221")
        assert session.closed()
    arrived(shared_site.mailbox, f"Subject: from {client}\r\n".encode())
