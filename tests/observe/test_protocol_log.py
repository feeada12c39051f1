"""Tests for L{twistedrelay.observe.protocol_log}."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from twistedrelay import __version__
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_log import ProtocolLog, heading
from twistedrelay.observe.protocol_rows import BATCH, FIELDS, FLUSH_INTERVAL, MAX_WAITING
from twistedrelay.values import events, reply

NOON = 1_795_348_800.0
WHERE = ("0123456789ABCDEF", "Default Frontend", "192.0.2.1:50000")


class World:
    """A protocol log, and its thread that works at once or when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.reports: list[str] = []
        self.slow: list[Callable[[], None]] | None = None
        directory = LogDirectory(str(path), "RECV", heading, now=lambda: NOON)
        self.log = ProtocolLog(self.clock, directory, ["Default Frontend"], "EXCSERVER", self.in_thread, self.reports.append, lambda: NOON)

    def in_thread(self, function: Any, *arguments: Any) -> Deferred[None]:
        if self.slow is None:
            return maybeDeferred(function, *arguments)
        fires: Deferred[None] = Deferred()
        self.slow.append(lambda: maybeDeferred(function, *arguments).chainDeferred(fires))
        return fires

    def connect(self) -> Callable[[str, str], None]:
        self.log.emit(events.Connected(*WHERE, "192.0.2.25:25"))
        tracer = self.log.tracer(WHERE[0])
        assert tracer is not None
        return tracer

    def lines(self) -> list[str]:
        self.clock.advance(FLUSH_INTERVAL)
        return "".join(path.read_text() for path in sorted(self.path.iterdir())).splitlines() if self.path.exists() else []

    def rows(self) -> list[list[str]]:
        """Event, data and context of all lines."""
        return [row[6:] for row in csv.reader(line for line in self.lines() if not line.startswith("#"))]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "protocol")


def test_the_format(world: World) -> None:
    trace = world.connect()
    trace(">", "220 relay.example")
    world.log.emit(events.Disconnected(*WHERE, "QUIT", 0, 1.0))
    assert world.lines() == [
        "#Software: twistedrelay",
        f"#Version: {__version__}",
        "#Log-type: SMTP Receive Protocol Log",
        "#Date: 2026-11-22T12:00:00.000Z",
        f"#Fields: {FIELDS}",
        r"2026-11-22T12:00:00.000Z,EXCSERVER\Default Frontend,0123456789ABCDEF,0,192.0.2.25:25,192.0.2.1:50000,+,,",
        r"2026-11-22T12:00:00.000Z,EXCSERVER\Default Frontend,0123456789ABCDEF,1,192.0.2.25:25,192.0.2.1:50000,>,220 relay.example,",
        r"2026-11-22T12:00:00.000Z,EXCSERVER\Default Frontend,0123456789ABCDEF,2,192.0.2.25:25,192.0.2.1:50000,-,,QUIT",
    ]


def test_what_happens_in_a_session(world: World) -> None:
    world.connect()
    for event in (
        events.PermissionsSet(*WHERE, "Anonymous Logon", ("SMTPSubmit", "AcceptRoutingHeaders")),
        events.TLSStarted(*WHERE, "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        events.TLSFailed(*WHERE, "no shared cipher"),
        events.LoginFailed(*WHERE, "PLAIN", "cengiz", "wrong password"),
        events.LoggedIn(*WHERE, "PLAIN", "cengiz@akkaya.local"),
        events.CommandRefused(*WHERE, "MAIL", reply.RATE_EXCEEDED, "message_rate_limit"),
        events.CommandRefused(*WHERE, "RCPT", reply.UNABLE_TO_RELAY, ""),
        events.ServiceEvent("info", "of no session"),
    ):
        world.log.emit(event)
    assert world.rows() == [
        ["+", "", ""],
        ["*", "SMTPSubmit AcceptRoutingHeaders", "Set Session Permissions"],
        ["*", "", "TLS protocol TLSv1.3 negotiation succeeded using TLS_AES_256_GCM_SHA384"],
        ["*", "", "TLS negotiation failed: no shared cipher"],
        ["*", "cengiz", "Inbound authentication failed with PLAIN: wrong password"],
        ["*", "cengiz@akkaya.local", "authenticated"],
        ["*", "", "refused: message_rate_limit"],
    ]


def test_a_connection_that_was_turned_away(world: World) -> None:
    world.log.emit(events.ConnectionRefused(*WHERE, "max_inbound_connection", reply.TOO_MANY_CONNECTIONS))
    assert world.rows() == [["+", "", ""], [">", str(reply.TOO_MANY_CONNECTIONS), ""], ["-", "", "max_inbound_connection"]]
    assert world.log.tracer(WHERE[0]) is None


CLIENT = (WHERE[0], "IP_Relay", "192.0.2.7:4711")  # whom the peer speaks for by XCLIENT


def test_a_session_that_becomes_another_clients(world: World) -> None:
    world.log.change(["Default Frontend", "IP_Relay"], "EXCSERVER")
    trace = world.connect()
    trace("<", "XCLIENT ADDR=192.0.2.7")
    world.log.emit(events.Disconnected(*WHERE, "XCLIENT", 0, 1.0))
    world.log.emit(events.Connected(*CLIENT, "192.0.2.25:25"))
    trace(">", "220 relay.example")
    world.log.emit(events.Disconnected(*CLIENT, "QUIT", 0, 1.0))
    rows = [row[1:7] for row in csv.reader(line for line in world.lines() if not line.startswith("#"))]
    assert [row[2] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert [row[5] for row in rows] == ["+", "<", "-", "+", ">", "-"]
    assert [row[0] for row in rows] == ["EXCSERVER\\Default Frontend"] * 3 + ["EXCSERVER\\IP_Relay"] * 3
    assert [row[4] for row in rows] == [WHERE[2]] * 3 + [CLIENT[2]] * 3


@pytest.mark.parametrize(("connector", "told"), [("Default Frontend", ["XCLIENT"]), ("IP_Relay", ["QUIT"])])
def test_only_one_of_the_connectors_of_a_session_is_logged(world: World, connector: str, told: list[str]) -> None:
    world.log.change([connector], "EXCSERVER")
    world.log.emit(events.Connected(*WHERE, "192.0.2.25:25"))
    trace = world.log.tracer(WHERE[0], True)
    assert trace is not None
    trace("<", "XCLIENT")
    world.log.emit(events.Disconnected(*WHERE, "XCLIENT", 0, 1.0))
    world.log.emit(events.Connected(*CLIENT, "192.0.2.25:25"))
    trace("<", "QUIT")
    world.log.emit(events.Disconnected(*CLIENT, "QUIT", 0, 1.0))
    rows = world.rows()
    assert [row[0] for row in rows] == ["+", "<", "-"]
    assert [row[1] for row in rows if row[0] == "<"] == told


def test_where_nothing_is_logged_no_session_is_told(world: World) -> None:
    world.log.change([], "EXCSERVER")
    assert world.log.tracer(WHERE[0], True) is None


def test_a_client_that_may_not_come_by_xclient_is_in_the_log_once(world: World) -> None:
    world.log.change(["Default Frontend", "IP_Relay"], "EXCSERVER")
    trace = world.connect()
    world.log.emit(events.ConnectionRefused(*CLIENT, "max_inbound_connection", reply.TOO_MANY_CONNECTIONS))
    trace(">", "421 too many")
    world.log.emit(events.Disconnected(*WHERE, "max_inbound_connection", 0, 1.0))
    assert world.rows() == [["+", "", ""], [">", "421 too many", ""], ["-", "", "max_inbound_connection"]]


def test_other_connectors_are_not_logged(world: World) -> None:
    other = (WHERE[0], "Client Frontend", WHERE[2])
    world.log.emit(events.Connected(*other, "192.0.2.25:587"))
    assert world.log.tracer(WHERE[0]) is None
    world.log.emit(events.Disconnected(*other, "QUIT", 0, 1.0))
    assert world.lines() == []
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("hostile", ['a,b "c"', "a\r\n#Fields: x", '","', "\x1b[2J", "\N{RIGHT-TO-LEFT OVERRIDE}x", "x" * 50_000])
def test_no_text_breaks_a_line(world: World, hostile: str) -> None:
    trace = world.connect()
    trace("<", hostile)
    trace("<", "next")
    rows = world.rows()
    assert [row[0] for row in rows] == ["+", "<", "<"]
    assert all(len(row) == 3 and len(row[1]) <= 2000 and row[1].isprintable() for row in rows)
    if hostile.isprintable() and len(hostile) < 2000:
        assert rows[1][1] == hostile


def test_lines_are_gathered(world: World) -> None:
    trace = world.connect()
    assert not world.path.exists()
    for _ in range(BATCH):
        trace("<", "NOOP")
    assert world.path.exists(), "so many do not wait"


def test_a_disk_that_is_too_slow_loses_lines_and_says_so_once(world: World) -> None:
    world.slow = []
    trace = world.connect()
    for _ in range(MAX_WAITING + 5):
        trace("<", "NOOP")
    assert len(world.slow) == 1, "one write at a time"
    assert world.reports == ["the protocol log cannot be written, and entries are lost: the disk is too slow"]
    slow, world.slow = world.slow, None
    slow[0]()
    assert world.reports[1:] == ["the protocol log is written again; entries that were lost: 6"]
    assert len(world.rows()) == MAX_WAITING


def test_a_disk_that_refuses(world: World) -> None:
    world.path.write_text("in the way")
    trace = world.connect()
    world.clock.advance(FLUSH_INTERVAL)
    trace("<", "NOOP")
    world.clock.advance(FLUSH_INTERVAL)
    [told] = world.reports
    assert "File exists" in told
    world.path.unlink()
    trace("<", "QUIT")
    assert world.rows() == [["<", "QUIT", ""]]
    assert world.reports[1] == "the protocol log is written again; entries that were lost: 2"


def test_the_end_waits_for_what_is_being_written(world: World) -> None:
    world.slow = []
    trace = world.connect()
    world.clock.advance(FLUSH_INTERVAL)
    trace("<", "QUIT")
    done = world.log.stop(2.0)
    assert not done.called
    slow, world.slow = world.slow, None
    slow[0]()
    assert done.called
    assert [row[0] for row in world.rows()] == ["+", "<"]
    assert world.clock.getDelayedCalls() == []
