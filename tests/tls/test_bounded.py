"""Connections with an end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twistedrelay.tls.bounded import BoundedEndpoint


class Taking(Protocol):
    def __init__(self) -> None:
        self.taken = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.taken += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True


class Endpoint:
    """Connects at once."""

    def __init__(self) -> None:
        self.transport = StringTransport()

    def connect(self, factory: Any) -> Deferred[Any]:
        self.made = factory.buildProtocol(None)
        self.made.makeConnection(self.transport)
        return succeed(self.made)


def connected(clock: Clock) -> tuple[Taking, Endpoint]:
    endpoint = Endpoint()
    found: list[Taking] = []
    BoundedEndpoint(endpoint, clock, 10, 5.0).connect(Factory.forProtocol(Taking)).addCallback(found.append)
    return found[0], endpoint


def test_no_more_octets() -> None:
    taking, endpoint = connected(Clock())
    endpoint.made.dataReceived(b"12345")
    endpoint.made.dataReceived(b"67890")
    assert (taking.taken, endpoint.transport.disconnected) == (b"1234567890", False)
    endpoint.made.dataReceived(b"1")
    assert (taking.taken, endpoint.transport.disconnected) == (b"1234567890", True)


def test_no_more_time() -> None:
    clock = Clock()
    taking, endpoint = connected(clock)
    clock.advance(4.9)
    assert not endpoint.transport.disconnected
    clock.advance(0.2)
    assert endpoint.transport.disconnected
    endpoint.made.connectionLost(Failure(ConnectionError()))
    assert taking.lost


def test_nothing_is_left_of_one_that_ended_before() -> None:
    clock = Clock()
    taking, endpoint = connected(clock)
    endpoint.made.connectionLost(Failure(ConnectionError()))
    assert taking.lost
    assert clock.getDelayedCalls() == []
