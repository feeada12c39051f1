"""The live view, on a terminal and without one."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from twistedrelay.control.client import NoDaemon
from twistedrelay.relayctl.verbs import top

NAMES = ("sessions", "received", "recipients_delivered", "recipients_deferred", "recipients_failed", "commands_refused")


class Daemon:
    """A relay that took five messages between any two looks."""

    def __init__(self) -> None:
        self.healthy = True
        self.away = False
        self.looks = 0

    def status(self) -> dict[str, Any]:
        if self.away:
            raise NoDaemon("No daemon answers on /run/[x].")
        self.looks += 1
        counts = dict.fromkeys(NAMES, 10 + 5 * self.looks)
        about = {"server": "EXCSERVER", "version": "9.9", "uptime_seconds": 90061, "sessions": 1, "message_count": 7, "queue_count": 2}
        return {**about, "spool_healthy": self.healthy, "totals": counts}

    def queues(self) -> list[dict[str, Any]]:
        few = {"identity": "EXCSERVER\\few.example", "status": "Ready", "message_count": 2, "last_error": ""}
        many = {"identity": "EXCSERVER\\many.example", "status": "Retry", "message_count": 5, "last_error": "[red]421 busy"}
        return [few, many]

    def get(self, path: str) -> list[dict[str, Any]]:
        assert path == "/v1/sessions"
        return [
            {
                "session": "0660E08F74706B04",
                "connector": "IP_Relay",
                "peer": "192.0.2.1:1",
                "helo": "a\x1b[2Jb",
                "messages": 3,
                "state": "Idle",
            }
        ]


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds lie between two looks."""
    times = iter(range(0, 1000, 2))
    monkeypatch.setattr(top.time, "monotonic", lambda: float(next(times)))


def drawn(look: top._Look, width: int = 160, height: int = 24) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="standard")
    console.print(top._Drawn(look))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.usefixtures("moments")
def test_the_first_look_has_totals_and_the_next_ones_rates() -> None:
    daemon: Any = Daemon()
    first = top._Look(daemon)
    assert first.summary.splitlines() == [
        "EXCSERVER 9.9  up 1 d 1:01:01  sessions 1  messages 7  queues 2",
        "sessions begun 15  received 15  delivered 15  deferred 15  failed 15  commands refused 15",
    ]
    second = top._Look(daemon, first)
    assert second.summary.splitlines()[1].startswith("sessions begun 20 (2.5/s)  received 20 (2.5/s)  delivered 20 (2.5/s)")


def test_a_daemon_that_was_started_again_has_no_negative_rate() -> None:
    daemon: Any = Daemon()
    first = top._Look(daemon)
    daemon.looks = -1
    assert "received 10 (0.0/s)" in top._Look(daemon, first).summary


def test_a_sick_spool_cannot_be_overlooked() -> None:
    daemon: Any = Daemon()
    daemon.healthy = False
    assert top._Look(daemon).summary.splitlines()[0].endswith("THE SPOOL IS SICK")


def test_what_is_drawn() -> None:
    daemon: Any = Daemon()
    text = drawn(top._Look(daemon))
    assert text.index("many.example") < text.index("few.example")  # the fullest first
    assert "[red]421 busy" in text  # no markup of a peer's
    assert "192.0.2.1:1" in text
    assert "\x1b[2J" not in text  # nor its escape sequences


def test_a_narrow_terminal_does_without_some_columns_and_breaks_no_title() -> None:
    daemon: Any = Daemon()
    lines = re.sub(r"\x1b\[[\d;]*m", "", drawn(top._Look(daemon), 80)).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if "Identity" in line] == [
        ["Identity", "Status", "MessageCount", "IncomingRate", "OutgoingRate", "LastError"]
    ]
    daemon.queues = lambda: [{"identity": f"EXCSERVER\\{'x' * 40}", "status": "Retry", "message_count": 5, "last_error": "451 4.4.1 busy"}]
    lines = re.sub(r"\x1b\[[\d;]*m", "", drawn(top._Look(daemon), 80)).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if "Identity" in line] == [["Identity", "Status", "MessageCount", "OutgoingRate", "LastError"]]


def test_40_columns() -> None:
    daemon: Any = Daemon()
    daemon.queues = lambda: [{"identity": f"EXCSERVER\\{'x' * 40}", "status": "Retry", "message_count": 5, "last_error": "451 4.4.1 busy"}]
    lines = re.sub(r"\x1b\[[\d;]*m", "", drawn(top._Look(daemon), 40)).splitlines()
    assert max(map(len, lines)) <= 40
    assert [line.split() for line in lines if "Identity" in line] == [["Identity", "Status", "MessageCount"]]


@pytest.mark.parametrize("height", [10, 24, 60])
def test_a_low_terminal_says_that_there_is_more(height: int) -> None:
    daemon: Any = Daemon()
    few = daemon.queues()[0]
    daemon.queues = lambda: [few] * 70
    sessions = daemon.get("/v1/sessions") * 9
    daemon.get = lambda path: sessions
    lines = drawn(top._Look(daemon), height=height).splitlines()
    assert len(lines) == height
    assert re.search(r"… and \d\d more", lines[3 + max((height - 6) // 2, height - 6 - 9)])
    assert ("more" in lines[-1]) is (height == 10)


def test_looks_are_not_kept() -> None:
    daemon: Any = Daemon()
    first = top._Look(daemon)
    gone, look = weakref.ref(first), top._Look(daemon, first)
    del first
    assert gone() is None
    assert look.summary


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_live(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, daemon, waits = Screen(), Daemon(), iter([False, False, False, True])
    steps = iter([False, True, False])

    def quit_within(seconds: float) -> bool:
        assert seconds == 0.5
        daemon.away = next(steps, False)
        return next(waits)

    @contextlib.contextmanager
    def keys() -> Iterator[None]:
        yield

    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(top, "_quit_within", quit_within)
    monkeypatch.setattr(top, "_keys", keys)
    anyone: Any = daemon
    top._live(anyone, top._Look(anyone), 0.5)
    text = screen.getvalue()
    assert "No daemon answers on /run/[x]." in text
    assert daemon.looks == 3
    assert text.index("No daemon answers") < text.rindex("EXCSERVER 9.9")
    assert text.endswith("\x1b[?1049l")  # the screen as it was
