"""Logs that are switched on and off while the relay runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.internet.task import Clock

from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.trace import Trace
from twistedrelay.observe.wanted import Wanted
from twistedrelay.observe.written import WrittenLogs
from twistedrelay.values.events import Connected, Connectivity, Disconnected


class Values:
    """What has these attributes."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class World:
    """The logs of a relay, and who tells them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        places: dict[str, Any] = {}
        for name in ("receive_protocol_log", "send_protocol_log", "connectivity_log"):
            places |= {f"{name}_path": str(directory), f"{name}_max_age": 86400.0}
            places |= {f"{name}_max_directory_size": 1 << 20, f"{name}_max_file_size": 1 << 16}
        self.transport = Values(**places, connectivity_log_enabled=True, intra_org_connector_protocol_logging_level="None")
        self.receiver = Values(enabled=True, protocol_logging_level="None")
        self.sender = Values(enabled=True, protocol_logging_level="None")
        self.config = Values(
            server=Values(name="EXCSERVER"),
            transport=self.transport,
            receive_connectors={"IP_Relay": self.receiver},
            send_connectors={"Internet": self.sender},
        )
        self.reports: list[str] = []
        self.sink = EventSink([])
        self.trace = Trace(self.sink)
        self.logs = WrittenLogs(self.config, Clock(), maybeDeferred, time.time, self.reports.append, Counters())  # type: ignore[arg-type]
        self.change()

    def change(self) -> None:
        for sink in self.logs.change(self.config):
            self.sink.add(sink)

    def session(self, number: str) -> None:
        """A session of one line."""
        self.sink.emit(Connected(number, "IP_Relay", "192.0.2.1:50000", "192.0.2.25:25"))
        tracer = self.logs.receiving(self.trace).tracer(number)
        if tracer is not None:
            tracer("<", "QUIT")
        self.sink.emit(Disconnected(number, "IP_Relay", "192.0.2.1:50000", "QUIT", 0, 1.0))

    def connection(self, number: str, connector: str = "Internet") -> None:
        """A delivery connection of one line."""
        said = self.logs.sending(self.trace)(number, connector, "mx [192.0.2.9]:25")
        if said is not None:
            said(">", "QUIT")
        self.sink.emit(Connectivity("x.example", "mx [192.0.2.9]:25", "closed", "QUIT", connector, number))

    def written(self, kind: str) -> list[tuple[str, str]]:
        """The names of connectors and the numbers of sessions that are in a log."""
        stopped: list[None] = []
        ensureDeferred(self.logs.stop(2.0)).addCallback(stopped.append)
        assert (stopped, self.reports) == ([None], [])
        lines = [line for file in sorted(self.directory.glob(f"{kind}*.LOG")) for line in file.read_text().splitlines()]
        fields = [line.split(",") for line in lines if not line.startswith("#")]
        return list(dict.fromkeys(("", row[1]) if kind == "CONNECTLOG" else (row[1], row[2]) for row in fields))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_nothing_is_written_unasked(world: World) -> None:
    world.transport.connectivity_log_enabled = False
    world.change()
    world.session("A1")
    world.connection("B1")
    assert world.written("") == []


def test_receive_connectors(world: World) -> None:
    world.session("A1")
    world.receiver.protocol_logging_level = "Verbose"
    world.change()
    world.session("A2")
    world.config.server.name = "OTHER"
    world.change()
    world.session("A3")
    world.receiver.protocol_logging_level = "None"
    world.change()
    world.session("A4")
    assert world.written("RECV") == [("EXCSERVER\\IP_Relay", "A2"), ("OTHER\\IP_Relay", "A3")]


def test_a_session_stays_in_the_log_to_its_end(world: World) -> None:
    world.receiver.protocol_logging_level = "Verbose"
    world.change()
    world.sink.emit(Connected("A1", "IP_Relay", "192.0.2.1:50000", "192.0.2.25:25"))
    world.receiver.protocol_logging_level = "None"
    world.change()
    world.sink.emit(Disconnected("A1", "IP_Relay", "192.0.2.1:50000", "timeout", 0, 1.0))
    assert world.written("RECV") == [("EXCSERVER\\IP_Relay", "A1")]
    assert "timeout" in next(world.directory.glob("RECV*.LOG")).read_text()


def test_a_disabled_connector_is_not_logged(world: World) -> None:
    world.receiver.protocol_logging_level, world.receiver.enabled = "Verbose", False
    world.change()
    world.session("A1")
    assert world.written("RECV") == []


def test_send_connectors(world: World) -> None:
    world.connection("B1")
    world.sender.protocol_logging_level = "Verbose"
    world.change()
    world.connection("B2")
    world.connection("B3", "")
    world.transport.intra_org_connector_protocol_logging_level = "Verbose"
    world.config.server.name = "OTHER"
    world.change()
    world.connection("B4", "")
    world.sender.protocol_logging_level = "None"
    world.change()
    world.connection("B5")
    own = "OTHER\\Intra-Organization SMTP Send Connector"
    assert world.written("SEND") == [("EXCSERVER\\Internet", "B2"), (own, "B4")]


def test_the_connectivity_log(world: World) -> None:
    world.connection("B1")
    for number, wanted in (("B2", False), ("B3", True)):
        world.transport.connectivity_log_enabled = wanted
        world.change()
        world.connection(number)
    assert world.written("CONNECTLOG") == [("", "B1"), ("", "B3")]


def test_a_trace_hears_what_no_log_wants(world: World) -> None:
    heard: list[dict[str, Any]] = []
    world.trace.follow(Wanted(), heard.append)
    world.session("A1")
    world.connection("B1")
    assert [record["event"] for record in heard] == ["connect", "line", "disconnect", "line", "delivery_connection"]
    assert world.written("RECV") == []


def test_old_files_of_logs_that_nobody_wants_any_more_go(world: World) -> None:
    names = ["CONNECTLOG2020010100-1.LOG", "RECV2020010100-1.LOG", "SEND2020010100-1.LOG"]
    for name in names:
        (world.directory / name).write_text("")
        os.utime(world.directory / name, (0, 0))
    (world.directory / "RECV2020010100-2.LOG").mkdir()
    os.utime(world.directory / "RECV2020010100-2.LOG", (0, 0))
    done: list[object] = []
    world.logs.prune().addCallback(done.append)
    assert len(done) == 1
    assert [file.name for file in world.directory.iterdir()] == ["RECV2020010100-2.LOG"]
    [told] = world.reports
    assert told.startswith("old log files stay: ")
    assert "RECV2020010100-2.LOG" in told


def test_bounds_change_while_it_is_written(world: World) -> None:
    def files() -> int:
        return len(list(world.directory.glob("RECV*.LOG")))

    def session() -> None:
        world.session("A1")
        world.logs.flush()

    world.receiver.protocol_logging_level = "Verbose"
    world.change()
    session()
    session()
    assert files() == 1
    world.transport.receive_protocol_log_max_file_size = 1
    world.change()
    session()
    many = files()
    assert many > 2
    world.transport.receive_protocol_log_max_directory_size = 1
    world.change()
    session()
    assert files() < many
