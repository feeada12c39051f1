"""A log file that is renamed, as log rotation does it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from twistedrelay.observe.logs import ReopenedFile


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """The signal's handler afterwards is the one before."""
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def write(file: ReopenedFile, text: str) -> None:
    """A line that can be read at once."""
    file.write(text + "\n")
    file.flush()


def test_a_new_file_after_the_signal(tmp_path: Path) -> None:
    log, old = tmp_path / "relay.log", tmp_path / "relay.log.1"
    file = ReopenedFile(str(log))
    write(file, "one")
    log.rename(old)
    write(file, "two")
    assert not log.exists()
    os.kill(os.getpid(), signal.SIGUSR1)
    write(file, "three")
    assert old.read_text() == "one\ntwo\n"
    assert log.read_text() == "three\n"


def test_the_old_file_goes_on_where_a_new_one_cannot_be_made(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    file = ReopenedFile(str(directory / "relay.log"))
    moved = tmp_path / "moved"
    directory.rename(moved)
    os.kill(os.getpid(), signal.SIGUSR1)
    write(file, "one")
    note, line = (moved / "relay.log").read_text().splitlines()
    assert note.endswith(f"[relay] error: {directory}/relay.log cannot be opened anew: No such file or directory")
    assert line == "one"
