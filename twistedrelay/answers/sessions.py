"""One session as one record, from the protocol logs.

It decides where its lines are looked for: in the newest files first, until the file with its first line was read.  All functions block: in
a daemon they run in a thread.
"""

from __future__ import annotations

import csv
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twistedrelay.config.schema import Config

#: Lines of a session that are shown at most.
MAX_LINES = 50_000

_NAME = re.compile(r"(RECV|SEND)(\d{10})-(\d+)\.LOG")
_FIELDS = ("date_time", "connector_id", "session_id", "sequence_number", "local_endpoint", "remote_endpoint", "event", "data", "context")

#: What a session's number looks like.
NUMBER = re.compile(r"[0-9A-Fa-f]{16}")
NO_NUMBER = "A session's number is 16 hex digits, as `relayctl session list` shows it."


def dialogue(config: Config, number: str) -> dict[str, Any]:
    """The lines of a session, with what could not be read (C{problems})."""
    transport = config.transport
    problems: list[str] = []
    lines: list[dict[str, Any]] = []
    for directory in dict.fromkeys((transport.receive_protocol_log_path, transport.send_protocol_log_path)):
        for path in _files(directory, problems):
            found = _in_file(path, number.upper(), problems)
            lines = found + lines
            if (found and found[0]["sequence_number"] == 0) or len(lines) > MAX_LINES:
                break
    return {"lines": sorted(lines, key=lambda line: int(line["sequence_number"]))[:MAX_LINES], "problems": problems}


def _files(directory: str, problems: list[str]) -> list[str]:
    """The newest first."""
    try:
        named = [match for name in os.listdir(directory) if (match := _NAME.fullmatch(name))]
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{directory} cannot be read: {error.strerror}")
        return []
    named.sort(key=lambda match: (match[2], int(match[3])), reverse=True)
    return [os.path.join(directory, match[0]) for match in named]


def _in_file(path: str, number: str, problems: list[str]) -> list[dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            octets = file.read()
    except FileNotFoundError:  # it was deleted meanwhile
        return []
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return []
    mark = f",{number},".encode("ascii")
    if mark not in octets:
        return []
    texts = [line.decode("utf-8", "replace") for line in octets.split(b"\n") if mark in line]
    # Each by itself: one that a crash cut off inside its quotes must not swallow the others.
    rows = [row for text in texts for row in csv.reader([text]) if len(row) == len(_FIELDS) and row[2] == number and row[3].isdecimal()]
    return [{**dict(zip(_FIELDS, row, strict=True)), "sequence_number": int(row[3])} for row in rows]
