"""The listener and its transports."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from twistedrelay.net.descriptors import Reserve
from twistedrelay.net.transport import BACKLOG, ListeningPort, Turn


class FakeTransport:
    """Counts what it is asked for; C{broken} fails."""

    def __init__(self, broken: bool = False) -> None:
        self.sent = 0
        self.aborted = False
        self.broken = broken

    def send(self) -> None:
        self.sent += 1
        if self.broken:
            raise ZeroDivisionError("a defect")

    def abortConnection(self) -> None:
        self.aborted = True

    def getPeer(self) -> str:
        return "192.0.2.1"


def test_a_turn_sends_for_all_and_once() -> None:
    clock = Clock()
    turn: Any = Turn(clock)
    transports = [FakeTransport() for _ in range(3)]
    for transport in transports:
        turn.add(transport)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(0)
    assert [transport.sent for transport in transports] == [1, 1, 1]
    assert clock.getDelayedCalls() == []


def test_one_that_breaks_keeps_no_other_waiting() -> None:
    clock = Clock()
    turn: Any = Turn(clock)
    transports = [FakeTransport(), FakeTransport(broken=True), FakeTransport()]
    for transport in transports:
        turn.add(transport)
    with capturedLogs() as logs:
        clock.advance(0)
    assert [transport.sent for transport in transports] == [1, 1, 1]
    assert [transport.aborted for transport in transports] == [False, True, False]
    assert logs[0]["log_failure"].check(ZeroDivisionError)


def test_what_is_written_meanwhile_goes_in_the_next_turn() -> None:
    clock = Clock()
    turn: Any = Turn(clock)

    class Again(FakeTransport):
        def send(self) -> None:
            super().send()
            if self.sent < 3:
                turn.add(self)

    transport = Again()
    turn.add(transport)
    for _ in range(3):
        clock.advance(0)
    assert transport.sent == 3


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_listener_takes_ipv6_only() -> None:
    from twisted.internet import reactor

    reserve = Reserve(Clock(), list)
    reserve.release()
    port = ListeningPort(0, Factory.forProtocol(Protocol), "::1", Turn(reactor), reactor, reserve)  # type: ignore[arg-type]
    made = port.createInternetSocket()
    try:
        assert made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    finally:
        made.close()
    assert port.backlog == BACKLOG


def test_a_session_that_cannot_begin_is_no_one_else_s_trouble() -> None:
    from twisted.internet import reactor

    class Broken(Protocol):
        def makeConnection(self, transport: Any) -> None:
            raise ZeroDivisionError("a defect")

    broken, reserve = Broken(), Reserve(Clock(), list)
    aborted: list[Any] = []

    class Given(ListeningPort):
        socket: Any

    class FakeServer:
        def __init__(self, *arguments: Any) -> None:
            self.arguments = arguments

        def getPeer(self) -> str:
            return "192.0.2.1"

        def abortConnection(self) -> None:
            aborted.append(self)

    class Listener:
        waiting = 1

        def accept(self) -> tuple[object, tuple[str, int]]:
            if not self.waiting:
                raise BlockingIOError
            self.waiting -= 1
            return object(), ("192.0.2.1", 40000)

    factory: Any = Factory()
    factory.buildProtocol = lambda address: broken
    port = Given(0, factory, "127.0.0.1", Turn(reactor), reactor, reserve)  # type: ignore[arg-type]
    port.transport = FakeServer  # type: ignore[assignment]
    port.socket = Listener()
    with capturedLogs() as logs:
        port.doRead()
    reserve.release()
    assert len(aborted) == 1
    assert logs[0]["log_failure"].check(ZeroDivisionError)
