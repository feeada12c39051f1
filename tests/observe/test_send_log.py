"""The send protocol log and the connectivity log."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from twistedrelay.observe import connectivity_log, send_log
from twistedrelay.observe.connectivity_log import ConnectivityLog
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.send_log import SendLog
from twistedrelay.values.events import Connectivity, ServiceEvent

NOON = 1_795_348_800.0


def rows(path: Path, prefix: str) -> tuple[str, list[list[str]]]:
    """The heading's type and the rows of the only file."""
    (file,) = path.glob(f"{prefix}*.LOG")
    lines = file.read_text().splitlines()
    return lines[2], list(csv.reader(line for line in lines if not line.startswith("#")))


def test_only_connectors_that_want_it(tmp_path: Path) -> None:
    files = LogDirectory(str(tmp_path), "SEND", send_log.heading, now=lambda: NOON)
    log = SendLog(Clock(), files, ["Internet", ""], "EXCSERVER", maybeDeferred, [].append, lambda: NOON)  # type: ignore[arg-type]
    assert log.begin("AA", "Other", "mx [192.0.2.1]:25") is None
    tell = log.begin("AB", "Internet", "mx [192.0.2.1]:25")
    inner = log.begin("AC", "", "[10.0.0.1]:25")
    assert tell is not None and inner is not None
    for line in ("+ 10.0.0.9:4711", "< 220 hello, you", "> EHLO us", "* TLS protocol TLSv1.3", "- QUIT"):
        tell(line[0], line[2:])
    log.stop(2.0)
    kind, found = rows(tmp_path, "SEND")
    assert kind == "#Log-type: SMTP Send Protocol Log"
    ours = [row[2:] for row in found if row[2] == "AB"]
    assert [row[1] for row in ours] == ["0", "1", "2", "3", "4", "5"]
    assert [(row[2], *row[4:]) for row in ours] == [
        ("", "*", "", "attempting to connect"),
        ("10.0.0.9:4711", "+", "", ""),
        ("10.0.0.9:4711", "<", "220 hello, you", ""),
        ("10.0.0.9:4711", ">", "EHLO us", ""),
        ("10.0.0.9:4711", "*", "", "TLS protocol TLSv1.3"),
        ("10.0.0.9:4711", "-", "", "QUIT"),
    ]
    assert found[0][1] == "EXCSERVER\\Internet"
    assert next(row for row in found if row[2] == "AC")[1] == "EXCSERVER\\Intra-Organization SMTP Send Connector"


def test_connectivity(tmp_path: Path) -> None:
    files = LogDirectory(str(tmp_path), "CONNECTLOG", connectivity_log.heading, now=lambda: NOON)
    reports: list[Any] = []
    log = ConnectivityLog(Clock(), files, maybeDeferred, reports.append, lambda: NOON)
    log.emit(ServiceEvent("info", "x"))
    for event in (
        Connectivity("x.example", "mx [192.0.2.1]:25", "connected", "TLSv1.3 X", "Internet", "AB"),
        Connectivity("x.example", "mx [192.0.2.1]:25", "closed", "3 messages, QUIT", "Internet", "AB"),
        Connectivity("y.example", "", "failed", "451 4.4.4 no address"),
    ):
        log.emit(event)
    log.stop(2.0)
    kind, found = rows(tmp_path, "CONNECTLOG")
    assert kind == "#Log-type: Transport Connectivity Log"
    assert [row[1:] for row in found] == [
        ["AB", "SMTP", "x.example", "+", "Established connection to mx [192.0.2.1]:25; TLSv1.3 X; connector Internet"],
        ["AB", "SMTP", "x.example", "-", "Closed connection to mx [192.0.2.1]:25; 3 messages, QUIT; connector Internet"],
        ["", "SMTP", "y.example", ">", "Failed connection to y.example; 451 4.4.4 no address"],
    ]
    assert reports == []
