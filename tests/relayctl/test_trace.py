"""The live trace as it is printed, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.relayctl.conftest import Relayctl
from twistedrelay.control.client import ControlClient

NUMBER = "0660E08F74706B04"


def record(line: str, session: str | None = NUMBER) -> dict[str, Any]:
    return {"time": "2026-11-22T12:00:00.123456Z", "event": "line", "session": session, "line": line}


class Stream:
    """What the daemon tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: list[dict[str, Any]] = []
        self.asked: list[tuple[str, Mapping[str, str] | None]] = []
        self.interrupted = False
        self.closed = False
        monkeypatch.setattr(ControlClient, "stream", lambda client, path, query=None: self._stream(path, query))

    def _stream(self, path: str, query: Mapping[str, str] | None) -> Iterator[dict[str, Any]]:
        self.asked.append((path, query))
        try:
            yield from self.records
            if self.interrupted:
                raise KeyboardInterrupt
        finally:
            self.closed = True


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    return Stream(monkeypatch)


def test_lines(stream: Stream, relayctl: Relayctl) -> None:
    stream.records = [record("< EHLO \x1b[2J"), {"event": "dropped", "count": 7}, record("reloaded", None)]
    stream.interrupted = True
    done = relayctl("trace")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "12:00:00.123 706B04 < EHLO \\x1b[2J",
        "(7 records are missing here: they came faster than this could take them)",
        "12:00:00.123        reloaded",
    ]
    assert stream.closed
    assert stream.asked == [("/v1/trace", {})]


def test_what_is_asked_for(stream: Stream, relayctl: Relayctl) -> None:
    stream.interrupted = True
    options = {
        "--from": "10.0.0.0/8",
        "--connector": "IP_Relay",
        "--sender": "<>",
        "--recipient": "b.example",
        "--user": "u",
        "--session": NUMBER,
    }
    assert relayctl("trace", *(word for pair in options.items() for word in pair)).exit_code == 0
    names = {"--from": "client"}
    assert stream.asked[0][1] == {names.get(option, option[2:]): value for option, value in options.items()}


def test_so_many_as_json(stream: Stream, relayctl: Relayctl) -> None:
    stream.records = [record(str(number)) for number in range(5)]
    done = relayctl("trace", "--json", "--count", "2")
    assert done.exit_code == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == stream.records[:2]
    assert stream.closed


@pytest.mark.parametrize(
    ("last", "status", "words"), [([{"event": "end", "reason": "shutdown"}], 1, "The daemon ends."), ([], 3, "is gone")]
)
def test_the_daemon_ends_or_is_gone(stream: Stream, relayctl: Relayctl, last: list[dict[str, Any]], status: int, words: str) -> None:
    stream.records = [record("1"), *last]
    done = relayctl("trace")
    assert done.exit_code == status
    assert done.stdout == "12:00:00.123 706B04 1\n"
    assert words in done.stderr
