"""One session as one record, from files of protocol logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twistedrelay.answers import sessions
from twistedrelay.answers.sessions import dialogue

NUMBER = "0660E08F74706B04"
OTHER = "0660E08F74706B05"


class Logs:
    """A directory of each kind, and the configuration that names them."""

    def __init__(self, place: Path) -> None:
        self.receive, self.send = place / "receive", place / "send"
        self.transport = self
        self.receive_protocol_log_path, self.send_protocol_log_path = str(self.receive), str(self.send)

    def write(self, directory: Path, name: str, *lines: str) -> Path:
        directory.mkdir(exist_ok=True)
        file = directory / name
        file.write_text("#Fields: date-time\n" + "".join(line + "\n" for line in lines), encoding="utf-8")
        return file

    def dialogue(self, number: str = NUMBER) -> dict[str, Any]:
        config: Any = self
        return dialogue(config, number)


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def line(sequence: object, data: str = "NOOP", number: str = NUMBER) -> str:
    return f"2026-11-22T12:00:00.000Z,EXCSERVER\\IP_Relay,{number},{sequence},192.0.2.25:25,192.0.2.1:50000,<,{data},"


def numbers(found: dict[str, Any]) -> list[int]:
    return [each["sequence_number"] for each in found["lines"]]


def test_no_directory_is_no_problem(logs: Logs) -> None:
    assert logs.dialogue() == {"lines": [], "problems": []}


def test_the_lines_of_one_session(logs: Logs) -> None:
    logs.write(
        logs.receive, "RECV2026112212-1.LOG", line(0, number=OTHER), line(0, '"MAIL FROM:<a,b@x.example>"'), line(1), line(1, number=OTHER)
    )
    found = logs.dialogue(NUMBER.lower())
    assert numbers(found) == [0, 1]
    assert found["lines"][0] == {
        "date_time": "2026-11-22T12:00:00.000Z",
        "connector_id": "EXCSERVER\\IP_Relay",
        "session_id": NUMBER,
        "sequence_number": 0,
        "local_endpoint": "192.0.2.25:25",
        "remote_endpoint": "192.0.2.1:50000",
        "event": "<",
        "data": "MAIL FROM:<a,b@x.example>",
        "context": "",
    }
    assert found["problems"] == []


def test_a_session_over_several_files(logs: Logs) -> None:
    for name, first in (("RECV2026112211-2.LOG", 0), ("RECV2026112212-9.LOG", 2), ("RECV2026112212-10.LOG", 4)):
        logs.write(logs.receive, name, line(first), line(first + 1))
    assert numbers(logs.dialogue()) == [0, 1, 2, 3, 4, 5]


def test_older_files_than_that_of_the_first_line_are_not_read(logs: Logs) -> None:
    logs.write(logs.receive, "RECV2026112210-1.LOG", line(7))
    logs.write(logs.receive, "RECV2026112211-1.LOG", line(0))
    assert numbers(logs.dialogue()) == [0]


def test_sessions_of_the_send_log(logs: Logs) -> None:
    logs.write(logs.receive, "RECV2026112212-1.LOG", line(0, number=OTHER))
    logs.write(logs.send, "SEND2026112212-1.LOG", line(0), line(1))
    assert numbers(logs.dialogue()) == [0, 1]


def test_what_is_no_line_is_passed_over(logs: Logs) -> None:
    mentioned = line(1, f"x {NUMBER} y", OTHER)
    logs.write(logs.receive, "RECV2026112212-1.LOG", mentioned, line(0), line("x"), f"a,{NUMBER},b", line(1, f'",{NUMBER},"', OTHER))
    logs.write(logs.receive, "RECV2026112212.LOG", line(1))
    logs.write(logs.receive, "CONNECTLOG2026112212-1.LOG", line(1))
    assert numbers(logs.dialogue()) == [0]


def test_a_line_that_was_cut_off_does_not_hide_others(logs: Logs) -> None:
    logs.write(logs.receive, "RECV2026112212-1.LOG", line(0), line(1, '"MAIL FROM:<a,b')[:-1], line(2), line(3, '"EHLO ""x"""'))
    assert numbers(logs.dialogue()) == [0, 2, 3]


def test_octets_that_are_no_utf8(logs: Logs) -> None:
    file = logs.write(logs.receive, "RECV2026112212-1.LOG")
    file.write_bytes(line(0, "caf\xe9").encode("latin-1") + b"\n")
    assert logs.dialogue()["lines"][0]["data"] == "caf\N{REPLACEMENT CHARACTER}"


def test_what_cannot_be_read_is_said(logs: Logs) -> None:
    logs.receive.mkdir()
    (logs.receive / "RECV2026112212-2.LOG").mkdir()
    logs.write(logs.receive, "RECV2026112212-1.LOG", line(0))
    logs.send.write_text("no directory")
    found = logs.dialogue()
    assert numbers(found) == [0]
    assert [problem.rpartition("/")[2] for problem in found["problems"]] == [
        "RECV2026112212-2.LOG cannot be read: Is a directory",
        "send cannot be read: Not a directory",
    ]


def test_a_session_without_end_is_shown_from_its_first_lines(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_LINES", 3)
    logs.write(logs.receive, "RECV2026112212-1.LOG", *(line(number) for number in range(9)))
    assert numbers(logs.dialogue()) == [0, 1, 2]
