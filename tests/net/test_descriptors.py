"""Tests for L{twistedrelay.net.descriptors} and for the listener that runs out of them."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.network import LOOPBACK
from twistedrelay.net.descriptors import OTHERS, REPORT_INTERVAL, REST, Reserve, raise_limit
from twistedrelay.net.transport import ListeningPort, Turn


class Limits:
    """The limit of open files, as setrlimit sees it."""

    def __init__(self, soft: int, hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limits = soft, hard
        monkeypatch.setattr(resource, "getrlimit", lambda which: self.limits)
        monkeypatch.setattr(resource, "setrlimit", self.set)

    def set(self, which: int, limits: tuple[int, int]) -> None:
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "expected", "room"),
    [
        (1024, 524288, 20000 + 1000 + OTHERS, 20000),
        (1024, resource.RLIM_INFINITY, 20000 + 1000 + OTHERS, 20000),
        (524288, 524288, 524288, 20000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 20000),
        (1024, 4096, 4096, 4096 - 1000 - OTHERS),
        (256, 1024, 1024, 512),
    ],
)
def test_the_limit_is_raised_as_far_as_needed(soft: int, hard: int, expected: int, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(soft, hard, monkeypatch)
    found, advice = raise_limit(20000, 1000)
    assert (found, limits.limits) == (room, (expected, hard))
    assert ("LimitNOFILE" in advice and str(room) in advice) is (room < 20000)


def test_outbound_connections_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(64, 524288, monkeypatch)
    assert raise_limit(10, None) == (10, "")
    assert limits.limits[0] > 1000


def test_a_limit_that_cannot_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    Limits(2000, 524288, monkeypatch)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    room, advice = raise_limit(20000, 1000)
    assert room == 1000
    assert advice


class FakeSocket:
    """A listening socket without descriptors left, until one is given back."""

    def __init__(self, waiting: list[socket.socket], failure: int = errno.EMFILE) -> None:
        self.waiting = waiting
        self.failure = failure
        self.free = 0

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if not self.free:
            raise OSError(self.failure, os.strerror(self.failure))
        if not self.waiting:
            raise BlockingIOError(errno.EAGAIN, "nobody waits")
        return self.waiting.pop(0), (LOOPBACK, 1)


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Connected sockets: ours and the client's."""
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


class Freeing(Reserve):
    """Gives its descriptor to a L{FakeSocket}."""

    fake: FakeSocket

    def release(self) -> None:
        super().release()
        self.fake.free = 1


class Exhausted(ListeningPort):
    """A port on a L{FakeSocket}."""

    def __init__(self, fake: FakeSocket, clock: Clock, reserve: Reserve) -> None:
        super().__init__(0, None, LOOPBACK, Turn(clock), clock, reserve, b"421 no room\r\n")  # type: ignore[arg-type]
        self.socket: Any = fake
        self.reading = True

    def startReading(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False


@pytest.mark.parametrize("failure", [errno.EMFILE, errno.ENFILE])
def test_who_waits_hears_why_and_the_listener_rests(failure: int, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    clock, reports = Clock(), []
    reserve = Freeing(clock, reports.append)
    reserve.fake = fake = FakeSocket([ours for ours, _ in pairs], failure)
    port = Exhausted(fake, clock, reserve)
    port.doRead()
    assert [theirs.recv(100) for _, theirs in pairs] == [b"421 no room\r\n"] * 3
    assert [theirs.recv(100) for _, theirs in pairs] == [b""] * 3
    assert not port.reading
    assert len(reports) == 1
    assert "3 refused" in reports[0]
    clock.advance(REST)
    assert port.reading
    fake.free = 0
    port.doRead()
    assert len(reports) == 1
    clock.advance(REPORT_INTERVAL)
    fake.free = 0
    port.doRead()
    assert len(reports) == 2
    reserve.release()


def test_a_reserve_that_a_thread_took_comes_back_before_anybody_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [True]

    def open_or_not(*arguments: object) -> int:
        if taken[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*arguments)  # type: ignore[arg-type]

    clock, real = Clock(), os.open
    reserve = Freeing(clock, lambda text: None)
    reserve.fake = fake = FakeSocket([])
    port = Exhausted(fake, clock, reserve)
    monkeypatch.setattr(os, "open", open_or_not)
    port.doRead()
    assert reserve._descriptor < 0
    taken[0] = False
    monkeypatch.setattr(reserve, "refuse", lambda *_: held.append(reserve._descriptor))
    held: list[int] = []
    clock.advance(REST)
    fake.free = 0
    port.doRead()
    assert held[0] >= 0
    reserve.release()


def test_a_listener_that_stops_while_it_rests() -> None:
    clock = Clock()
    reserve = Freeing(clock, lambda text: None)
    reserve.fake = fake = FakeSocket([])
    port = Exhausted(fake, clock, reserve)
    port.connected = False
    port.doRead()
    port.stopListening()
    assert clock.getDelayedCalls() == []
    reserve.release()


def test_a_connection_that_failed_is_passed_over() -> None:
    clock = Clock()
    reserve = Reserve(clock, pytest.fail)
    port = Exhausted(FakeSocket([], errno.ECONNABORTED), clock, reserve)
    port.doRead()
    assert port.reading
    reserve.release()
