"""The extensions of the receiving side by the real daemon: chunks, LMTP, addresses beyond ASCII, parameters."""

from __future__ import annotations

import random
import smtplib
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, eventually, free_port

HEADER = b"Subject: Test email\r\nMessage-ID: <1@client.example>\r\n\r\n"


@pytest.fixture
def site() -> Iterator[Site]:
    """The article's relay with an LMTP connector beside the others."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        ports["lmtp"] = free_port()
        ordinary = configuration["receive_connectors"]["Default Frontend"]
        configuration["receive_connectors"]["Inside"] = {**ordinary, "bindings": [f"{LOOPBACK}:{ports['lmtp']}"], "protocol": "LMTP"}
        with Relay(configuration, ports) as relay:
            yield Site(relay, mailbox, outside)


def chunk(octets: bytes, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets


@pytest.mark.parametrize("pieces", [1, 7, 100_000])
def test_chunks_in_any_pieces(site: Site, pieces: int) -> None:
    """What comes in chunks, in one packet or in many, goes out as it was."""
    content = HEADER + b".\r\n..\r\nQUIT\r\n" + (b"x" * 76 + b"\r\n") * (5 if pieces == 1 else 2000)
    rng = random.Random(1)
    stream, at = b"", 0
    while at < len(content):
        size = rng.randrange(0, 60 if pieces == 1 else 50_000)
        stream += chunk(content[at : at + size])
        at += size
    stream = b"EHLO client\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\n" + stream + chunk(b"", True) + b"QUIT\r\n"
    expected = 4 + stream.count(b"BDAT ")
    with site.relay.dialogue() as session:
        for start in range(0, len(stream), pieces):
            session.send(stream[start : start + pieces])
        said = [session.reply() for _ in range(expected)]
    assert {line[:4] for line in said[:-1]} <= {"250 ", "250-"}
    assert said[-1].startswith("221")
    assert "Queued mail for delivery" in said[-2]
    eventually(lambda: site.mailbox.delivered, "the message is delivered")
    assert site.mailbox.delivered[0].content.endswith(b"\r\n" + content)


def test_a_large_message_in_large_chunks(site: Site) -> None:
    content = HEADER + (b"0123456789abcdef" * 60 + b"\r\n") * 5000
    with site.relay.dialogue() as session:
        for line in ("EHLO client", "MAIL FROM:<a@client.example>", "RCPT TO:<user@akkaya.local>"):
            assert session.command(line).startswith("250")
        for at in range(0, len(content), 1_000_000):
            session.send(chunk(content[at : at + 1_000_000], at + 1_000_000 >= len(content)))
            assert session.reply().startswith("250")
    eventually(lambda: site.mailbox.delivered, "the message is delivered")
    assert site.mailbox.delivered[0].content.endswith(b"\r\n" + content)


def test_chunks_that_are_cut_off_are_no_message(site: Site) -> None:
    for end in (b"", b"BDAT 5\r\nabc", b"RSET\r\n", b"EHLO client\r\n", b"BDAT x\r\n"):
        with site.relay.dialogue() as session:
            session.send(b"EHLO client\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\n" + chunk(HEADER) + end)
            for _ in range(4):
                assert session.reply().startswith("250")
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        assert session.message("a@client.example", ["user@akkaya.local"], HEADER + b"the only one\r\n").startswith("250")
    eventually(lambda: site.mailbox.delivered, "the message is delivered")
    assert [b"the only one" in message.content for message in site.mailbox.delivered] == [True]


def test_too_much_in_chunks(site: Site) -> None:
    with site.relay.dialogue() as session:
        for line in ("EHLO client", "MAIL FROM:<a@client.example>", "RCPT TO:<user@akkaya.local>"):
            session.command(line)
        megabyte = b"x" * 1_048_576
        for _ in range(36):
            session.send(chunk(megabyte))
            assert session.reply().startswith("250")
        session.send(chunk(b"QUIT\r\n") + chunk(b"QUIT\r\n", True))
        assert [session.reply()[:9] for _ in range(2)] == ["552 5.3.4"] * 2
        assert session.command("NOOP").startswith("250")


def test_swaks_by_lmtp(site: Site, program: Callable[[str], str]) -> None:
    command = [program("swaks"), "--protocol", "LMTP", "--server", LOOPBACK, "--port", str(site.relay.ports["lmtp"])]
    command += ["--from", "a@client.example", "--to", "user@akkaya.local,info@akkaya.local", "--helo", "client"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Queued mail for delivery") == 2
    eventually(lambda: site.mailbox.delivered, "the message is delivered")
    assert b"\r\n with LMTP\r\n" in site.mailbox.delivered[0].content


def test_smtplib_by_lmtp(site: Site) -> None:
    with smtplib.LMTP(LOOPBACK, site.relay.ports["lmtp"], timeout=PATIENCE) as client:
        assert client.sendmail("a@client.example", ["user@akkaya.local", "x@elsewhere.example"], HEADER + b"x\r\n").keys() == {
            "x@elsewhere.example"
        }
    eventually(lambda: site.mailbox.delivered, "the message is delivered")


def test_smtplib_with_addresses_beyond_ascii(site: Site) -> None:
    """smtplib sends SMTPUTF8 and BODY=8BITMIME of its own for such a message."""
    with smtplib.SMTP(LOOPBACK, site.relay.port, timeout=PATIENCE) as client:
        client.ehlo("client")
        assert client.has_extn("smtputf8")
        client.mail("jösé@bücher.example", ["SMTPUTF8", "BODY=8BITMIME"])
        assert client.rcpt("büro@akkaya.local")[0] == 250
        code, text = client.data(HEADER + "Grüße\r\n".encode())
        assert code == 250, text


def test_smtplib_asks_for_notifications(site: Site) -> None:
    with smtplib.SMTP(LOOPBACK, site.relay.port, timeout=PATIENCE) as client:
        refused = client.sendmail(
            "a@client.example",
            "user@akkaya.local",
            HEADER + b"x\r\n",
            mail_options=["RET=HDRS", "ENVID=QQ+2B1"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;user@akkaya.local"],
        )
        assert refused == {}
        client.mail("a@client.example")
        assert client.rcpt("user@akkaya.local", ["NOTIFY=NEVER,DELAY"])[0] == 501
        assert client.rcpt("user@akkaya.local", ["PIGEON=1"]) == (555, b"5.5.4 Unsupported parameter")
    eventually(lambda: site.mailbox.delivered, "the message is delivered")


PERL = r"""
use Net::SMTP;
my $client = Net::SMTP->new("127.0.0.1", Port => $ARGV[0], Hello => "client", Timeout => 60) or die "no connection";
$client->mail("a\@client.example", Bits => "binary", ENVID => "QQ1", Return => "HDRS") or die $client->message;
$client->to("user\@akkaya.local", { Notify => ["FAILURE", "DELAY"] }) or die $client->message;
$client->bdat("Subject: Test email\r\n\r\n.\r\n") or die $client->message;
$client->bdatlast("the end\n\0") or die $client->message;
print $client->message;
$client->quit;
"""


def test_perls_net_smtp_sends_binary_chunks(site: Site, program: Callable[[str], str]) -> None:
    """A client that knows BDAT and was not written for this test; it comes with Perl, which swaks needs."""
    program("swaks")
    done = subprocess.run(["perl", "-e", PERL, str(site.relay.port)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "Queued mail for delivery" in done.stdout
