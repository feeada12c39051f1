"""What a client makes of a daemon that is not there, or not well."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.network import PATIENCE
from twistedrelay.control.client import ControlClient, NoDaemon, Refused

Answering = Callable[[bytes], ControlClient]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    """A socket that answers one request with some octets."""
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    threads: list[threading.Thread] = []

    def start(octets: bytes) -> ControlClient:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(octets)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return ControlClient(path)

    yield start
    for thread in threads:
        thread.join(PATIENCE)
    listener.close()


def test_no_socket_and_a_dead_one(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with pytest.raises(NoDaemon, match="No daemon answers") as none:
        ControlClient(path).status()
    assert none.value.absent
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    with pytest.raises(NoDaemon) as dead:
        ControlClient(path).status()
    assert dead.value.absent


@pytest.mark.parametrize("octets", [b"", b"nonsense\r\n\r\n"])
def test_a_daemon_that_does_not_speak(answering: Answering, octets: bytes) -> None:
    with pytest.raises(NoDaemon) as found:
        answering(octets).status()
    assert not found.value.absent
    assert "log" in str(found.value)


@pytest.mark.parametrize("octets", [b"3\r\n\r\n<p>", b'100\r\n\r\n{"cut": '])
def test_answers_that_are_no_json(answering: Answering, octets: bytes) -> None:
    with pytest.raises(Refused, match="not understood"):
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: " + octets).status()


def test_a_refusal_has_the_daemons_words(answering: Answering) -> None:
    with pytest.raises(Refused, match="no such thing") as found:
        answering(b'HTTP/1.1 404 Not Found\r\nContent-Length: 26\r\n\r\n{"detail":"no such thing"}').status()
    assert found.value.status == 404


def test_the_client_needs_no_twisted() -> None:
    code = "import sys, twistedrelay.control.client; print('twisted' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
