"""What devices and programs really put on the wire, at the session; the recorded packets, nothing else."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.net.relay import FQDN, PASSWORD, Client, FakeUsers, Relay

USER = b64encode(FakeUsers.address.encode())
SECRET = b64encode(PASSWORD.encode())
SUBMISSION = {"Client Frontend": {"permission_groups": ["ExchangeUsers"], "auth_mechanism": ["Tls", "BasicAuth"]}}


def greeted(relay: Relay | None = None) -> Client:
    """A client behind the banner."""
    client = (relay or Relay()).connect()
    assert client.codes() == [220]
    return client


def play(client: Client, *packets: bytes) -> list[int]:
    """The codes that packets earn."""
    for packet in packets:
        client.send(packet)
    return client.codes()


def test_a_printer_logs_in_behind_helo() -> None:
    """HP: HELO with an address, then AUTH LOGIN; the prompts are the ones that Xerox waits for."""
    client = greeted(Relay(SUBMISSION))
    client.send(b"HELO [192.168.1.20]\r\nAUTH LOGIN\r\n")
    assert client.said().endswith("\r\n334 VXNlcm5hbWU6\r\n")
    client.send(USER + b"\r\n")
    assert client.said() == "334 UGFzc3dvcmQ6\r\n"
    assert play(client, SECRET + b"\r\n", b"MAIL FROM:<" + FakeUsers.address.encode() + b">\r\n") == [235, 250]


@pytest.mark.parametrize("mail", [b"MAIL FROM: a@client.example", b"MAIL FROM:a@client.example", b"mail from: <a@client.example>"])
@pytest.mark.parametrize("rcpt", [b"RCPT TO: user@akkaya.local", b"rcpt to:user@akkaya.local", b"RCPT TO: <user@akkaya.local.>"])
def test_devices_without_brackets(mail: bytes, rcpt: bytes) -> None:
    relay = Relay()
    client = greeted(relay)
    packets = (b"HELO\r\n", mail + b"\r\n", rcpt + b"\r\n", b"DATA\r\n", b"Subject: scan\r\n\r\nx\r\n.\r\n", b"QUIT\r\n")
    assert play(client, *packets) == [250, 250, 250, 354, 250, 221]
    assert relay.spool.stored[0].recipients[0].address.text == "user@akkaya.local"


@pytest.mark.parametrize("size", [1, 2, 7, 4096])
def test_the_article_in_packets_of_any_size(size: int) -> None:
    relay = Relay()
    client = greeted(relay)
    octets = b"helo\r\nmail from: a@client.example\r\nrcpt to: user@akkaya.local\r\ndata\r\nsubject: test\r\n\r\n..x\r\n.\r\nquit\r\n"
    assert play(client, *(octets[at : at + size] for at in range(0, len(octets), size))) == [250, 250, 250, 354, 250, 221]
    assert relay.spool.contents[0].octets.endswith(b"subject: test\r\n\r\n.x\r\n")


def test_mail_behind_a_failed_login() -> None:
    """Send-MailMessage goes on as if nothing had happened; its user sees what MAIL was answered."""
    client = greeted(Relay(SUBMISSION))
    assert play(client, b"EHLO WIN10-PC7\r\n", b"AUTH login " + USER + b"\r\n", b"d3Jvbmc=\r\n") == [250, 334, 535]
    assert client.command(f"MAIL FROM:<{FakeUsers.address}>").startswith("530 5.7.57 ")


def test_mechanisms_that_are_not_offered() -> None:
    """C{AUTH gssapi} with an empty line behind it; then the next mechanism."""
    client = greeted(Relay(SUBMISSION))
    assert play(client, b"EHLO WIN10-PC7\r\n", b"AUTH gssapi\r\n", b"AUTH ntlm\r\n") == [250, 504, 504]
    assert play(client, b"AUTH login " + USER + b"\r\n", SECRET + b"\r\n") == [334, 235]


def test_auth_plain_in_two_steps() -> None:
    """curl and s-nail."""
    client = greeted(Relay(SUBMISSION))
    client.command("EHLO x.example")
    assert client.command("AUTH PLAIN") == "334 \r\n"
    assert play(client, b64encode(f"\0{FakeUsers.address}\0{PASSWORD}".encode()) + b"\r\n") == [235]


def test_a_hello_behind_the_login_keeps_it() -> None:
    """MailKit."""
    client = greeted(Relay(SUBMISSION))
    client.command("EHLO x.example")
    client.login()
    assert "AUTH" not in client.command("EHLO x.example")
    assert client.command(f"MAIL FROM: <{FakeUsers.address}> SIZE=100 AUTH=<>")[:3] == "250"


def test_content_in_many_writes() -> None:
    """Send-MailMessage: header, empty line, body and end one by one."""
    relay = Relay()
    client = relay.connect().begin()
    parts = (b"MIME-Version: 1.0\r\nSubject: Test email\r\n", b"\r\n", b"Testing", b"\r\n", b"\r\n.\r\n")
    assert play(client, *parts) == [250]
    assert relay.spool.contents[0].octets.endswith(b"\r\nSubject: Test email\r\n\r\nTesting\r\n\r\n")


def test_a_dot_and_lf_ends_nothing() -> None:
    """What CUPS once did is never taken for an end."""
    relay = Relay({"Default Frontend": {"bare_linefeed_rejection_enabled": False}})
    client = relay.connect().begin()
    assert play(client, b"Subject: x\r\n\r\ntext\r\n.\n", b"MAIL FROM:<evil@x.example>\r\n") == []
    assert play(client, b".\r\n") == [250]
    assert b"MAIL FROM:<evil@x.example>\r\n" in relay.spool.contents[0].octets


def test_quit_and_gone() -> None:
    """.NET and outlook.com close right behind QUIT."""
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n.\r\nQUIT\r\n")
    client.transport.close()
    assert relay.sessions.count() == 0
    assert len(relay.submitted) == 1


@pytest.mark.parametrize("hello", [b"EHLO (null)", b"ehlo FE80::1", b"EHLO", b"EHLO printer_2", b"HELO [IPv6:::1]"])
def test_names_that_are_none(hello: bytes) -> None:
    """Accepted, and nothing of them gets into a header that could break it."""
    relay = Relay()
    client = greeted(relay)
    packets = (hello + b"\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n", b"\r\n.\r\n")
    assert play(client, *packets) == [250, 250, 250, 354, 250]
    first = relay.spool.contents[0].octets.split(b"\r\n")[0]
    assert first.startswith(b"Received: from ")
    assert b"(null)" not in first


def test_a_tls_hello_on_the_clear_port() -> None:
    """HP 477dw: binary, without a line end; it is held in bounds until the client gives up."""
    relay = Relay()
    client = greeted(relay)
    assert play(client, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(range(256)) * 2) == []
    relay.pass_time(301)
    assert client.codes() == [421]


def test_the_name_in_the_reply_is_the_servers() -> None:
    relay = Relay({"Client Frontend": {"fqdn": "mail.cozumpark.com"}})
    client = relay.connect()
    assert client.said().startswith("220 mail.cozumpark.com ")
    assert client.command("EHLO x.example").startswith("250-mail.cozumpark.com Hello [192.168.1.30]\r\n")
    client.begin().send(b"Subject: x\r\n\r\n.\r\n")
    assert f"Hostname={FQDN}]" in client.said()
