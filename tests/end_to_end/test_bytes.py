"""What goes out is what came in, octet for octet, behind the trace header that RFC 5321 wants."""

from __future__ import annotations

import base64
import random
import re

import pytest

from tests.end_to_end.site import Site
from tests.network import eventually, stuffed

HEADER = b"From: <a@client.example>\r\nSubject: =?utf-8?q?T=C3=BCr?=\r\nMessage-ID: <1@client.example>\r\n\r\n"

CORPUS: dict[str, bytes] = {
    "plain": HEADER + b"Testing\r\n",
    "8-bit text": HEADER + "Grüße aus İstanbul, 你好\r\n".encode() + "Grüße\r\n".encode("latin-1"),
    "every octet but NUL, CR and LF": HEADER + bytes(octet for octet in range(1, 256) if octet not in b"\r\n") + b"\r\n",
    "8-bit header": "Subject: Grüße\r\n\r\nbody\r\n".encode(),
    "folded and odd headers": b"Subject: a\r\n b\r\n\tc\r\nX-Empty:\r\nX-Dup: 1\r\nX-Dup: 2\r\n\r\nbody\r\n",
    "a trace header of before": b"Received: from x by y; Sun, 22 Nov 2026 00:00:00 +0000\r\nSubject: a\r\n\r\nbody\r\n",
    "header only": b"Subject: no body\r\n",
    "header and separator only": b"Subject: empty body\r\n\r\n",
    "header section empty": b"\r\nbody behind an empty header section\r\n",
    "lines of dots": HEADER + b".\r\n..\r\n...\r\n.a\r\n. \r\na.\r\n.\r\n",
    "dots at both ends": b".Subject: x\r\n\r\n.",
    "almost an end of data": HEADER + b"a\r\n.\r\n.\r\n..\r\n\r\n.\r\n\r\n",
    "empty lines": HEADER + b"\r\n\r\n\r\n\r\n",
    "blanks at line ends": HEADER + b"a \r\n \r\n\t\r\nb\t\r\n",
    "lines of 998, 1000 and 100,000": HEADER + b"x" * 998 + b"\r\n" + b"y" * 1000 + b"\r\n" + b"z" * 100_000 + b"\r\n",
    "commands in the body": HEADER + b"QUIT\r\nMAIL FROM:<x@y.example>\r\nRSET\r\n",
    "mbox separator": HEADER + b"From here on\r\n>From there\r\n",
}

NO_HEADER: dict[str, bytes] = {
    "no header section": b"Just a line of text\r\nand another: with a colon\r\n",
    "a dot first": b".\r\n",
}


def trace_taken_off(content: bytes) -> bytes:
    """What is behind the first header field, which must be our Received."""
    found = re.match(rb"Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", content)
    assert found is not None, content[:300]
    assert b"with " in found[0]
    assert re.search(rb";\s+[A-Z][a-z]{2}, [ \d]?\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \([^)]*\))?\r\n$", found[0])
    assert max(map(len, found[0].split(b"\r\n"))) <= 998
    return content[found.end() :]


def through(site: Site, content: bytes, pieces: int = 0) -> bytes:
    """Send content, in pieces where asked for, and return what the next hop got of it."""
    wire = stuffed(content)
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        for line in ("MAIL FROM:<a@client.example> BODY=8BITMIME", "RCPT TO:<user@akkaya.local>"):
            assert session.command(line).startswith("250")
        assert session.command("DATA").startswith("354")
        for start in range(0, len(wire), pieces or len(wire)):
            session.send(wire[start : start + (pieces or len(wire))])
        said = session.reply()
        assert said.startswith("250"), said
    eventually(lambda: site.mailbox.delivered, "it arrives")
    return trace_taken_off(site.mailbox.delivered.pop().content)


def test_octets_are_kept(site: Site) -> None:
    """The corpus, message by message, at once and in pieces of seven octets."""
    for name, content in CORPUS.items():
        expected = content if content.endswith(b"\r\n") else content + b"\r\n"
        assert through(site, content) == expected, name
        if len(content) < 2000:
            assert through(site, content, pieces=7) == expected, f"{name}, in pieces"


def test_text_without_a_header_section_stays_text(site: Site) -> None:
    """An empty line parts it from our trace header, so that its first lines do not become header fields."""
    for name, content in NO_HEADER.items():
        assert through(site, content) == b"\r\n" + content, name


def test_an_empty_message(site: Site) -> None:
    """A dot and nothing before it."""
    assert through(site, b"") in {b"", b"\r\n"}


@pytest.mark.slow
def test_large_messages(site: Site) -> None:
    """Three megabytes: a binary attachment in base64, and raw 8-bit; large content takes another way through the spool."""
    octets = random.Random(3).randbytes(3_000_000)
    encoded = HEADER + base64.encodebytes(octets).replace(b"\n", b"\r\n")
    assert through(site, encoded) == encoded
    raw = HEADER + re.sub(rb"[\r\n\0]", b".", octets)
    raw = b"\r\n".join(raw[start : start + 900] for start in range(len(HEADER), len(raw), 900))
    raw = HEADER + raw + b"\r\n"
    assert through(site, raw) == raw


@pytest.mark.parametrize(
    "content", [b"a\nb\r\n", b"a\rb\r\n", b"a\n.\nb\r\n", b"a\r\n.\nMAIL FROM:<x@y.example>\r\n", b"a\r\r\nb\r\n", b"a\0b\r\n"]
)
def test_bare_line_endings_are_refused_after_the_true_end(site: Site, content: bytes) -> None:
    """No octet after a bare CR or LF is ever taken for a command."""
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        session.command("MAIL FROM:<a@client.example>")
        session.command("RCPT TO:<user@akkaya.local>")
        session.command("DATA")
        session.send(HEADER + content + b".\r\n")
        assert session.reply().startswith("550 5.6.11")
        assert session.command("NOOP").startswith("250")
    assert site.mailbox.delivered == []
