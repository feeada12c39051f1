"""Chunks that come while the disk fills up or the client vanishes: each command has its reply, and what was acknowledged arrives."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, Dialogue, eventually, free_port

SMALL = b"BDAT 15 LAST\r\nSubject: ok\r\n\r\n"
LARGE = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 300_000
LONG_HEADER = b"X-Line: b\r\n" * 60_000 + LARGE


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of its own."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def chunks(content: bytes, count: int) -> Iterator[bytes]:
    """A message in chunks."""
    step = len(content) // count + 1
    for at in range(0, len(content), step):
        chunk = content[at : at + step]
        yield b"BDAT %d%s\r\n" % (len(chunk), b" LAST" * (at + step >= len(content))) + chunk


def begun(relay: Relay, port: str) -> Dialogue:
    """A session inside a transaction, once the relay takes mail."""

    def attempt() -> Dialogue | None:
        session = relay.dialogue(port)
        session.command("LHLO client" if port == "lmtp" else "EHLO client")
        if session.command("MAIL FROM:<a@client.example>").startswith("250"):
            assert session.command("RCPT TO:<user@akkaya.local>").startswith("250")
            return session
        session.close()
        return None

    session = eventually(attempt, "mail is taken (again)", 60)
    assert session is not None
    return session


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_the_disk_fills_up_while_chunks_come() -> None:
    """4xx at the end of the message, nothing out of step, and all is well when there is room."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        ports["lmtp"] = free_port()
        connector = {**configuration["receive_connectors"]["Default Frontend"], "max_header_size": "1MB"}
        configuration["receive_connectors"]["Default Frontend"] = connector
        configuration["receive_connectors"]["LMTP"] = {**connector, "bindings": [f"{LOOPBACK}:{ports['lmtp']}"], "protocol": "LMTP"}
        relay = Relay(configuration, ports)
        with small_disk(relay.state, "12m"):
            try:
                relay.start()
                for port in ("relay", "lmtp"):
                    for content in (LARGE, LONG_HEADER):
                        for count in (1, 40):
                            with begun(relay, port) as session:
                                for chunk in chunks(content, count):
                                    session.send(chunk)
                                replies = [session.reply() for _ in range(count)]
                                assert all(reply.startswith("250") for reply in replies[:-1]), replies
                                assert replies[-1].startswith("452 4.3.1"), replies
                                assert session.command("NOOP").startswith("250")
                                assert session.command("QUIT").startswith("221")
                    with begun(relay, port) as session:
                        session.send(SMALL)
                        assert session.reply().startswith("250")
                eventually(relay.is_empty, "everything is delivered")
                assert [message.content.endswith(b"Subject: ok\r\n\r\n") for message in sink.delivered] == [True, True]
                assert list((relay.state / "spool/bodies").iterdir()) == []
            finally:
                if relay.process is not None:
                    relay.stop()
        assert "Traceback" not in relay.output()
        relay.close()


def test_a_client_that_vanishes_behind_its_last_chunk(site: Site) -> None:
    """The message is taken or not, never half; where it is taken, it is said that the client may not know."""
    for number in range(40):
        session = begun(site.relay, "relay")
        content = b"Subject: %d\r\n\r\n" % number + b"z" * 50_000 + b"\r\n"
        for chunk in chunks(content, 5):
            session.send(chunk)
        time.sleep(0.0005 * (number % 8))
        session._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        session.close()
    eventually(lambda: site.relay.status()["sessions"] == 0, "all sessions end")
    eventually(site.relay.is_empty, "everything is delivered")
    numbers = [message.content.partition(b"Subject: ")[2].partition(b"\r\n")[0] for message in site.mailbox.delivered]
    assert len(set(numbers)) == len(numbers)
    assert all(message.content.endswith(b"z" * 50_000 + b"\r\n") for message in site.mailbox.delivered)
    eventually(lambda: len(re.findall(r"\] RECEIVE \d", site.relay.output())) == len(numbers), "each is in the log")
    assert "RECEIVE UNCERTAIN" in site.relay.output()
