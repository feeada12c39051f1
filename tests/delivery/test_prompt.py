"""What is said to a server leaves at once, and in its order."""

from __future__ import annotations

from typing import Any

from twisted.internet import main

from twistedrelay.delivery.prompt import Prompt


class Transport:
    """A socket that takes so many octets, and what the reactor has to send."""

    TLS = False
    connected = True

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent = b""
        self.queue = b""
        self.lost = False

    def writeSomeData(self, data: bytes) -> Any:
        if self.lost:
            return main.CONNECTION_LOST
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def write(self, data: bytes) -> None:
        self.queue += data

    def stopWriting(self) -> None:
        """The queue is empty."""

    def drain(self) -> None:
        """The reactor has sent what waited."""
        self.sent, self.queue = self.sent + self.queue, b""
        self.stopWriting()


def test_what_fits_is_sent_at_once() -> None:
    transport = Transport(100)
    prompt = Prompt(transport)
    prompt.write(b"EHLO a\r\n")
    prompt.write(b"QUIT\r\n")
    assert (transport.sent, transport.queue) == (b"EHLO a\r\nQUIT\r\n", b"")


def test_nothing_overtakes_what_did_not_fit() -> None:
    transport = Transport(4)
    prompt = Prompt(transport)
    prompt.write(b"first")
    transport.room = 100
    prompt.write(b"second")
    assert (transport.sent, transport.queue) == (b"firs", b"tsecond")
    transport.drain()
    prompt.write(b"third")
    assert (transport.sent, transport.queue) == (b"firstsecondthird", b"")


def test_a_failure_is_for_the_reactor_to_find() -> None:
    transport = Transport(100)
    transport.lost = True
    prompt = Prompt(transport)
    prompt.write(b"NOOP\r\n")
    assert transport.queue == b"NOOP\r\n"


def test_tls_and_a_closed_connection_are_left_alone() -> None:
    transport = Transport(100)
    prompt = Prompt(transport)
    transport.TLS = True
    prompt.write(b"a")
    transport.TLS, transport.connected = False, False
    prompt.write(b"b")
    assert (transport.sent, transport.queue) == (b"", b"ab")


def test_a_transport_that_is_none_of_a_reactor() -> None:
    class Other:
        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

    other = Other()
    Prompt(other).write(b"x")
    assert other.written == b"x"
