"""Content leaves by BDAT where that is offered: to another relay of ours and to a real Postfix, and by DATA where it is switched off."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.postfix import Postfix
from tests.end_to_end.relay import Configuration, Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.tap import Tap
from tests.network import LOOPBACK, eventually

DOTS = b"Subject: dots\r\n\r\n.\r\n..\r\n.one\r\nRSET\r\nMAIL FROM:<evil@x.test>\r\n"
LARGE = b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n.dot\r\n") * 30_000
EIGHT_BIT = "Subject: 8bit\r\n\r\nGrüße\r\n".encode()
UNENDED = b"Subject: end\r\n\r\nthe last line has no end"


def sent(taps: Tap) -> list[bytes]:
    """The commands that brought content, without what they brought."""
    said = b"".join(taps.said)
    found, at = [], 0
    while match := re.compile(rb"(?:^|(?<=\n))(?:BDAT (\d+) LAST|DATA)\r\n").search(said, at):
        found.append(match[0].split()[0])
        at = match.end() + int(match[1]) if match[1] else said.index(b"\r\n.\r\n", match.end()) + 5
    return found


def submit_all(relay: Relay) -> None:
    """Each kind of content, to two recipients."""
    with relay.dialogue(source="127.0.0.2") as session:
        session.command("EHLO client")
        for content in (DOTS, LARGE, EIGHT_BIT):
            assert session.message("a@akkaya.local", ["one@there.test", "two@there.test"], content).startswith("250")
        assert session.command("MAIL FROM:<a@akkaya.local>").startswith("250")
        assert session.command("RCPT TO:<one@there.test>").startswith("250")
        session.send(b"BDAT %d LAST\r\n" % len(UNENDED) + UNENDED)
        assert session.reply().startswith("250")


def through(tap: Tap, **more: object) -> tuple[Configuration, dict[str, int]]:
    """A relay whose mail for there.test goes through a tap, over one connection."""
    configuration, ports = article(f"{LOOPBACK}:{tap.port}")
    configuration["send_connectors"] = {
        "There": {"address_spaces": ["*"], "smart_hosts": [f"{LOOPBACK}:{tap.port}"], "max_outbound_connections": 1, **more}
    }
    return configuration, ports


def check(outside: Sink, ending: bytes) -> None:
    """All of it arrives, and nothing of it was taken for a command."""
    eventually(lambda: len(outside.delivered) >= 4, "all arrive")
    arrived = sorted(message.content.partition(b"\r\n\r\n")[2] for message in outside.delivered)
    assert arrived == sorted(content.partition(b"\r\n\r\n")[2] for content in (DOTS, LARGE, EIGHT_BIT, UNENDED + ending))
    assert {message.sender for message in outside.delivered} == {"a@akkaya.local"}


@pytest.mark.parametrize("chunking", [True, False])
def test_another_relay_of_ours(chunking: bool) -> None:
    """It offers CHUNKING; a last line without an end arrives as it is, as far as everybody speaks BDAT."""
    with Sink() as outside:
        outside.features.append("CHUNKING")
        theirs, their_ports = article(outside.hop, outside.hop)
        theirs["receive_connectors"]["IP_Relay"]["remote_ip_ranges"] = [LOOPBACK]
        with Relay(theirs, their_ports) as far, Tap(far.port) as tap:
            more: dict[str, object] = {"ignore_starttls": True} if chunking else {"ignore_starttls": True, "chunking_enabled": False}
            with Relay(*through(tap, **more)) as near:
                submit_all(near)
                check(outside, b"" if chunking else b"\r\n")
                eventually(near.is_empty, "nothing waits")
            assert sent(tap) == [b"BDAT" if chunking else b"DATA"] * 4
            eventually(far.is_empty, "nothing waits there")


@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix's master must be started as root")
def test_postfix(program: Callable[[str], str]) -> None:
    """A real Postfix takes all of it by BDAT, over one connection."""
    program("master")
    with Sink() as outside, tempfile.TemporaryDirectory(prefix="postfix-") as directory:  # pytest's own are closed to Postfix's users
        Path(directory).chmod(0o755)
        postfix = Postfix(Path(directory))
        postfix.start(outside.port)
        try:
            with Tap(postfix.port) as tap, Relay(*through(tap)) as relay:
                submit_all(relay)
                check(outside, b"\r\n")
                eventually(relay.is_empty, "nothing waits")
                assert sent(tap) == [b"BDAT"] * 4
                assert len(tap.said) <= 2
        finally:
            postfix.stop()
