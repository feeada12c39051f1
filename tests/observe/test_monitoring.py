"""Tests for L{twistedrelay.observe.monitoring} and L{twistedrelay.observe.systemd}: listeners, signs of life, messages."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer, reactor
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.network import PATIENCE, free_port
from tests.observe.metrics_world import World
from twistedrelay.observe.metrics import Metrics
from twistedrelay.observe.metrics_site import MAX_BODY, MAX_CONNECTIONS, REQUEST_TIMEOUT, MonitoringSite, monitoring_factory
from twistedrelay.observe.monitoring import Monitoring, MonitoringError
from twistedrelay.observe.systemd import ServiceManager
from twistedrelay.values.histogram import Histogram


class Ear:
    """A service manager's socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(path)

    def heard(self) -> list[str]:
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self._socket.recv(4096).decode().splitlines()
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/notify"
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "8000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        made = Ear(path)
        yield made
        made.close()


def watched(world: World) -> Monitoring:
    monitoring = Monitoring(
        world.reactor,
        "",
        world.health,
        Histogram(),
        Metrics(world.reactor, world.sources),
        lambda: "3 sessions",
        now=lambda: world.spool.gauge.clock[0],
    )
    monitoring.startService()
    return monitoring


def pass_time(world: World, seconds: float) -> None:
    for _ in range(int(seconds * 2)):
        world.spool.gauge.clock[0] += 0.5
        world.reactor.advance(0.5)


def test_start_life_and_end(ear: Ear) -> None:
    world = World()
    monitoring = watched(world)
    assert ear.heard() == []
    monitoring.ready()
    assert ear.heard() == ["STATUS=3 sessions", "READY=1"]
    pass_time(world, 4)
    assert ear.heard().count("WATCHDOG=1") == 4
    monitoring.reloading()
    [reloading, since] = ear.heard()
    assert reloading == "RELOADING=1"
    assert since.startswith("MONOTONIC_USEC=")
    monitoring.ready()
    ear.heard()
    monitoring.stopping()
    assert ear.heard()[0] == "STOPPING=1"
    pass_time(world, 2)
    assert set(ear.heard()) == {"WATCHDOG=1"}
    monitoring.stopService()
    pass_time(world, 10)
    assert ear.heard() == []


def test_no_sign_of_life_while_the_spools_thread_hangs(ear: Ear) -> None:
    world = World()
    monitoring = watched(world)
    monitoring.ready()
    world.spool.gauge.measures.busy()
    pass_time(world, 4)
    assert "WATCHDOG=1" in ear.heard()
    pass_time(world, 10)
    said = ear.heard()
    assert any(line.startswith("STATUS=the spool's thread has been stuck for ") for line in said)
    assert "WATCHDOG=1" not in said[-1:]
    pass_time(world, 10)
    assert ear.heard() == []
    world.spool.gauge.measures.idle()
    pass_time(world, 2)
    assert "WATCHDOG=1" in ear.heard()
    monitoring.stopService()


def test_no_sign_of_life_while_the_schedule_is_late(ear: Ear) -> None:
    world = World()
    monitoring = watched(world)
    world.schedule.behind = 5.0
    pass_time(world, 6)
    assert "WATCHDOG=1" not in ear.heard()
    monitoring.stopService()


def test_a_manager_that_is_gone_is_no_reason_to_fail(ear: Ear) -> None:
    ear.close()
    os.unlink(os.environ["NOTIFY_SOCKET"])
    ServiceManager().ready()


def test_a_manager_that_does_not_read_never_holds_us_up(ear: Ear) -> None:
    manager = ServiceManager()
    for _ in range(10_000):
        manager.notify()


@pytest.mark.parametrize(("whose", "wanted"), [("ours", 8.0), ("another's", 0.0)])
def test_the_watchdog_may_be_for_another_process(ear: Ear, monkeypatch: pytest.MonkeyPatch, whose: str, wanted: float) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if whose == "ours" else "1")
    assert ServiceManager().watchdog == wanted


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    manager = ServiceManager()
    manager.ready()
    assert (manager.is_enabled, manager.watchdog) == (False, 0.0)


def test_how_late_the_reactor_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    world = World()
    monitoring = watched(world)
    pass_time(world, 3)
    assert (monitoring.lag.count, monitoring.lag.sum) == (3, 0.0)
    world.spool.gauge.clock[0] += 0.75
    pass_time(world, 1)
    assert monitoring.lag.sum == 0.75
    monitoring.stopService()


class ListenerTests(TestCase):
    """The listener over real sockets."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.world = World()

    def monitoring(self, listen: str) -> Monitoring:
        metrics = Metrics(self.world.reactor, self.world.sources)
        made = Monitoring(reactor, listen, self.world.health, Histogram(), metrics, str)
        self.addCleanup(made.stopService)
        return made

    def ask(self, path: str, text: bytes) -> defer.Deferred[bytes]:
        def work() -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(path)
                client.sendall(text)
                found = b""
                while piece := client.recv(65536):
                    found += piece
                return found

        return deferToThread(work)

    async def test_a_unix_socket_that_was_left_behind_is_replaced(self) -> None:
        path = f"{self.directory}/m.sock"
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path)
        monitoring = self.monitoring(f"unix:{path}")
        monitoring.startService()
        answer = await self.ask(path, b"GET /readyz HTTP/1.0\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"200 OK" in head.splitlines()[0]
        assert json.loads(body)["ready"]
        self.world.spool.healthy = False
        answer = await self.ask(path, b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b"503 " in answer.splitlines()[0]

    def test_an_address_that_cannot_be_had(self) -> None:
        port = free_port()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            monitoring = self.monitoring(f"127.0.0.1:{port}")
            with pytest.raises(MonitoringError) as caught:
                monitoring.privilegedStartService()
        assert f"metrics.listen: 127.0.0.1:{port}: " in str(caught.value)


def connected(world: World, factory: MonitoringSite) -> tuple[Any, StringTransport]:
    """A client's connection to the site."""
    protocol: Any = factory.buildProtocol(None)
    transport = StringTransport()
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return protocol, transport


def asked(world: World, text: bytes) -> bytes:
    """The site's answer to octets."""
    protocol, transport = connected(world, monitoring_factory(Metrics(world.reactor, world.sources), world.health, world.reactor))
    protocol.dataReceived(text)
    world.reactor.advance(0)
    found: bytes = transport.value()
    protocol.connectionLost(None)
    return found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.0\r\ncontent-length: 0\r\n\r\n", b"405"),
        (b"GET /metrics/below HTTP/1.0\r\n\r\n", b"200"),
        (b"GET / HTTP/1.0\r\n\r\n", b"404"),
        (b"GET /../etc/passwd HTTP/1.0\r\n\r\n", b"404"),
    ],
)
def test_only_reading(text: bytes, code: bytes) -> None:
    assert asked(World(), text).split(b" ", 2)[1] == code


def test_a_long_body_is_not_read() -> None:
    answer = asked(World(), b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + bytes(MAX_BODY + 1))
    assert b"200 OK" not in answer


def test_a_request_that_comes_in_drops_has_its_end() -> None:
    world = World()
    protocol, transport = connected(world, monitoring_factory(Metrics(world.reactor, world.sources), world.health, world.reactor))
    for octet in b"GET /metrics HTTP/1.1\r\nhost":
        protocol.dataReceived(bytes((octet,)))
        world.reactor.advance(1.0)
    assert not transport.disconnected
    world.reactor.advance(REQUEST_TIMEOUT)
    assert transport.disconnected


def test_clients_that_hang_keep_nobody_out() -> None:
    """All places are taken by clients that began a request; then the one that waits for the longest time goes."""
    world = World()
    factory = monitoring_factory(Metrics(world.reactor, world.sources), world.health, world.reactor)
    hanging = []
    for _ in range(MAX_CONNECTIONS):
        hanging.append(connected(world, factory))
        hanging[-1][0].dataReceived(b"GET /metr")
        world.reactor.advance(0.1)
    prometheus, transport = connected(world, factory)
    assert [other.disconnected for _, other in hanging] == [True] + [False] * (MAX_CONNECTIONS - 1)
    prometheus.dataReceived(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    world.reactor.advance(0)
    assert transport.value().endswith(b"alive\n")


def test_a_defect_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def broken() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(world.health, "check", broken)
    assert asked(world, b"GET /readyz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 500 ")
