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


def test_a_daemon_that_does_not_speak(answering: Answering) -> None:
    with pytest.raises(NoDaemon, match="ended the connection without an answer") as found:
        answering(b"").status()
    assert (found.value.absent, found.value.heard) == (False, True)


@pytest.mark.parametrize(
    "octets", [b"220 mail ESMTP\r\n", b"HTTP/1.1 200 OK\r\nServer: nginx/1.0\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 404 x\r\n\r\n"]
)
def test_another_program(answering: Answering, octets: bytes) -> None:
    with pytest.raises(NoDaemon, match="Another program than twistedrelay answers on") as found:
        answering(octets).status()
    assert (found.value.absent, found.value.heard) == (False, False)


def test_a_daemon_of_a_version_that_did_not_say_its_name(answering: Answering) -> None:
    """It goes on after an upgrade until it is restarted, and has done what it was asked."""
    with pytest.raises(NoDaemon, match="after an upgrade, restart the daemon") as found:
        answering(b"HTTP/1.1 200 OK\r\nServer: TwistedWeb/26.10.0\r\nContent-Length: 2\r\n\r\n{}").status()
    assert (found.value.absent, found.value.heard) == (False, True)


def test_a_daemon_that_hears_and_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client = ControlClient(str(tmp_path / "s"))
        client.timeout = 0.05
        with pytest.raises(NoDaemon, match="did not answer: timed out") as found:
            client.status()
    assert (found.value.absent, found.value.heard) == (False, True)


def test_which_version_answers(answering: Answering) -> None:
    client = answering(b"HTTP/1.1 200 OK\r\nServer: twistedrelay/0.0.1\r\nContent-Length: 2\r\n\r\n{}")
    assert client.version == ""
    client.status()
    assert client.version == "0.0.1"


@pytest.mark.parametrize("octets", [b"3\r\n\r\n<p>", b'100\r\n\r\n{"cut": '])
def test_answers_that_are_no_json(answering: Answering, octets: bytes) -> None:
    with pytest.raises(Refused, match="not understood"):
        answering(b"HTTP/1.1 200 OK\r\nServer: twistedrelay/1\r\nContent-Length: " + octets).status()


def test_a_refusal_has_the_daemons_words(answering: Answering) -> None:
    with pytest.raises(Refused, match="no such thing") as found:
        answering(b'HTTP/1.1 404 Not Found\r\nServer: twistedrelay/1\r\nContent-Length: 26\r\n\r\n{"detail":"no such thing"}').status()
    assert found.value.status == 404


def test_the_client_needs_no_twisted() -> None:
    code = "import sys, twistedrelay.control.client; print('twisted' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_what_is_no_text_is_not_asked() -> None:
    for ask in (ControlClient("/nowhere").post, ControlClient("/nowhere").patch):
        with pytest.raises(UnicodeEncodeError):
            ask("/v1/connectors", {"name": "\udcff"})
