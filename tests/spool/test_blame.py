"""Marks of what our own code works on, and what a process leaves that dies of itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network import PATIENCE
from twistedrelay.spool.blame import SLOTS, Blame, notices

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from twistedrelay.spool.blame import Blame
blame = Blame(sys.argv[1])
blame.open(watch=True)
with blame.at_work(41):
    pass
with blame.at_work(42), blame.at_work(43):
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def dies(directory: Path, number: signal.Signals) -> Blame:
    """A process dies at work; what the next one finds."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), str(int(number))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=PATIENCE,
    )
    assert ended.returncode == -number
    blame = Blame(str(directory))
    blame.open()
    return blame


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_process_that_dies_of_itself_blames_what_it_was_at_work_on(tmp_path: Path, number: signal.Signals) -> None:
    blame = dies(tmp_path, number)
    assert blame.suspects == [42, 43]
    assert blame.words.startswith("Fatal Python error")
    told = [text for level, text in notices(blame) if level == "error"]
    assert "Fatal Python error" in told[0]
    assert told[1].endswith("processed 42, 43")
    assert "test" not in (tmp_path / "last-words").read_text()
    assert "Fatal" in (tmp_path / "last-words.old").read_text()
    blame.close()
    after = Blame(str(tmp_path))
    after.open()
    assert after.suspects == []
    assert list(notices(after)) == []
    after.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_blames_nobody(tmp_path: Path, number: signal.Signals) -> None:
    blame = dies(tmp_path, number)
    assert blame.suspects == []
    assert blame.words == ""
    blame.close()


def test_marks_are_bounded_and_taken_back(tmp_path: Path) -> None:
    blame = Blame(str(tmp_path))
    with blame.at_work(1):  # before it is open
        pass
    blame.open()
    for _ in range(3):
        with contextlib.ExitStack() as works:
            for number in range(SLOTS + 5):
                works.enter_context(blame.at_work(number + 1))
            assert sorted(blame.marks) == list(range(1, SLOTS + 1))
        assert not any(blame.marks)
    assert blame.alive()
    assert os.stat(tmp_path / "at-work").st_mode & 0o777 == 0o600
    blame.close()
    blame.close()
    with blame.at_work(1):
        pass


def test_work_that_raises_takes_its_mark_back(tmp_path: Path) -> None:
    blame = Blame(str(tmp_path))
    blame.open()
    with pytest.raises(ZeroDivisionError), blame.at_work(7):
        _ = 1 // 0
    assert (tmp_path / "at-work").read_bytes() == bytes(SLOTS * 8)
    blame.close()


def test_a_process_that_stands_still_leaves_its_last_words(tmp_path: Path) -> None:
    program = """
import os, signal, sys, time
from twistedrelay.spool import blame as module
blame = module.Blame(sys.argv[1])
blame.open(watch=True)
assert blame.alive()
stall, module.STALL = module.STALL, 0.1
blame.alive()
with blame.at_work(42):
    while not os.path.getsize(os.path.join(sys.argv[1], "last-words")):
        time.sleep(0.01)
if sys.argv[2] == "again":
    module.STALL = stall
    assert not blame.alive()
    assert blame.alive()
else:
    blame.at_work(43).__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""
    for last, suspects in (("again", []), ("dead", [43])):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program, str(tmp_path), last], cwd=ROOT, env=environment, check=False, timeout=PATIENCE)
        blame = Blame(str(tmp_path))
        blame.open()
        assert blame.suspects == suspects
        blame.close()
