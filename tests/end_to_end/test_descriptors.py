"""A real daemon that runs out of file descriptors."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, PATIENCE, eventually


class Limited(Relay):
    """A daemon that may open few files."""

    soft, hard = 256, 700

    def command(self, *options: str) -> list[str]:
        """See L{Relay.command}."""
        return ["sh", "-c", f'ulimit -Sn {self.soft}; ulimit -Hn {self.hard}; exec "$@"', "sh", *super().command(*options)]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Where mail goes."""
    with Sink() as running:
        yield running


def pid(relay: Relay) -> int:
    assert relay.process is not None
    return relay.process.pid


def open_files(relay: Relay) -> int:
    return len(os.listdir(f"/proc/{pid(relay)}/fd"))


def cpu(relay: Relay) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid(relay)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_limit_is_raised_and_too_few_are_announced(sink: Sink) -> None:
    """At the start: as many as the hard limit allows, and a warning that it is too low."""
    configuration, ports = article(sink.hop)
    with Limited(configuration, ports) as relay:
        assert resource.prlimit(pid(relay), resource.RLIMIT_NOFILE) == (700, 700)
        assert "the limit of open files (700) is too low for server.max_connections (20000)" in relay.output()


def test_no_descriptor_is_left(sink: Sink) -> None:
    """Who connects then hears 421; nothing spins, nothing breaks; and when there is room again, mail flows."""
    configuration, ports = article(sink.hop)
    with Relay(configuration, ports) as relay:
        limit = open_files(relay) + 30
        resource.prlimit(pid(relay), resource.RLIMIT_NOFILE, (limit, limit))
        sessions = [socket.create_connection((LOOPBACK, relay.port), timeout=PATIENCE) for _ in range(200)]
        said = [session.recv(100)[:4] for session in sessions]
        assert said.count(b"220 ") in range(15, 35)
        assert said.count(b"421 ") == 200 - said.count(b"220 ")
        assert said[0] == b"220 ", "those that came first are served"
        before = cpu(relay)
        waiting = [socket.create_connection((LOOPBACK, relay.port), timeout=PATIENCE) for _ in range(20)]
        time.sleep(2)
        assert cpu(relay) - before < 1.0
        for session in (*sessions, *waiting):
            session.close()
        eventually(lambda: open_files(relay) < limit - 20, "descriptors are free again")
        relay.submit(["user@akkaya.local"])
        eventually(lambda: sink.for_recipient("user@akkaya.local"), "the message is delivered")
        assert relay.output().count("no file descriptor for new connections") == 1
        assert relay.output().count("(Too many open files)") == 1
