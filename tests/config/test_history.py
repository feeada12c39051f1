"""The history: what is remembered, for how long, and what can be undone."""

from __future__ import annotations

import datetime
import json
import os
import stat
from pathlib import Path

import pytest

from twistedrelay.config import history as module
from twistedrelay.config.edit import EditError, Plan
from twistedrelay.config.edit_change import Change, settle, undoing, write
from twistedrelay.config.history import History, diff, undo_plan, undone_ids

NOW = datetime.datetime(2026, 11, 22, 15, 0, tzinfo=datetime.UTC)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(str(tmp_path / "state"))


@pytest.fixture
def main(tmp_path: Path) -> Path:
    file = tmp_path / "relay.yaml"
    file.write_text("".join(f"line {number}\n" for number in range(10)))
    return file


def replaced(main: Path, old: str, new: str) -> Change:
    """A change of the main file."""
    before = main.read_bytes()
    return Change(f"{old} to {new}", Plan({str(main): before}, {str(main): before.replace(old.encode(), new.encode())}))


def make(history: History, main: Path, change: Change, now: datetime.datetime = NOW) -> int:
    return write(change, str(main), history, "cengiz (root)", now).id


def test_a_change_is_remembered(history: History, main: Path) -> None:
    assert make(history, main, replaced(main, "line 3", "LINE 3")) == 1
    [entry] = history.entries()
    assert (entry.id, entry.time, entry.who, entry.what) == (1, "2026-11-22T15:00:00Z", "cengiz (root)", "line 3 to LINE 3")
    assert "-line 3\n+LINE 3\n" in entry.diff()
    assert history.entry(1) == entry
    [file] = os.listdir(history.directory)
    assert stat.S_IMODE(os.stat(os.path.join(history.directory, file)).st_mode) == (0o600 if os.geteuid() else 0o640)
    assert stat.S_IMODE(os.stat(history.directory).st_mode) == 0o700


def test_undo_takes_the_newest_back_and_then_the_one_before(history: History, main: Path) -> None:
    first = main.read_text()
    make(history, main, replaced(main, "line 3", "LINE 3"))
    second = main.read_text()
    make(history, main, replaced(main, "line 4", "LINE 4"))
    make(history, main, undoing(history, None))
    assert main.read_text() == second
    make(history, main, undoing(history, None))
    assert main.read_text() == first
    with pytest.raises(EditError, match="nothing to undo"):
        undoing(history, None)
    assert undone_ids(history.entries()) == {1, 2}
    make(history, main, undoing(history, 4))  # the undo of the first
    assert main.read_text() == second
    assert undone_ids(history.entries()) == {2, 4}


def test_undo_keeps_what_was_changed_elsewhere_since(history: History, main: Path) -> None:
    make(history, main, replaced(main, "line 3", "LINE 3"))
    main.write_text(main.read_text().replace("line 7\n", "by hand\n") + "more\n")
    make(history, main, undoing(history, 1))
    assert main.read_text() == "".join(f"line {number}\n" for number in range(10)).replace("line 7\n", "by hand\n") + "more\n"


@pytest.mark.parametrize("line", ["LINE 3", "line 4", "line 2"])
def test_undo_refuses_what_was_changed_in_the_same_place(history: History, main: Path, line: str) -> None:
    make(history, main, replaced(main, "line 3", "LINE 3"))
    main.write_text(main.read_text().replace(line, "by hand"))
    with pytest.raises(EditError, match="changed since, in the same place"):
        undoing(history, 1)


def test_files_that_were_made_and_removed(history: History, main: Path) -> None:
    other = main.parent / "other.yaml"
    make(history, main, Change("make", Plan({str(other): None}, {str(other): b"a\n"})))
    make(history, main, Change("remove", Plan({str(other): b"a\n"}, {str(other): None})))
    assert not other.exists()
    with pytest.raises(EditError, match="nothing left to undo"):
        undoing(history, 1)
    make(history, main, undoing(history, 2))
    assert other.read_bytes() == b"a\n"
    other.write_bytes(b"b\n")
    with pytest.raises(EditError, match="changed or made since"):
        undo_plan(history.entry(1))


def test_old_changes_are_forgotten(history: History, main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    for number in range(5):
        make(history, main, replaced(main, f"line {number}", "gone"))
    assert [entry.id for entry in history.entries()] == [3, 4, 5]
    with pytest.raises(EditError, match="no change 1"):
        history.entry(1)
    for name in os.listdir(history.directory):
        os.utime(os.path.join(history.directory, name), (0, 0))
    assert make(history, main, replaced(main, "line 8", "gone"), datetime.datetime.now(datetime.UTC)) == 6
    assert [entry.id for entry in history.entries()] == [6]


def test_large_changes_are_forgotten_earlier(history: History, main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OCTETS", 1000)
    for number in range(5):
        make(history, main, replaced(main, f"line {number}", "x" * 300))
    assert [entry.id for entry in history.entries()] == [5], "the newest is always kept"


def test_what_is_broken_is_left_out(history: History, main: Path) -> None:
    make(history, main, replaced(main, "line 3", "LINE 3"))
    Path(history.directory, "00000002.json").write_text("{")
    assert [entry.id for entry in history.entries()] == [1]
    assert make(history, main, replaced(main, "line 4", "LINE 4")) == 3


NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others")


@AS_ROOT
def test_what_root_records_is_roots_and_the_relays_group_reads_it(history: History, main: Path) -> None:
    os.makedirs(history.directory, 0o700)
    os.chown(history.directory, NOBODY, NOBODY)
    make(history, main, replaced(main, "line 3", "LINE 3"))
    facts = os.stat(os.path.join(history.directory, "00000001.json"))
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (0, NOBODY, 0o640)
    os.chown(main, NOBODY, NOBODY)
    make(history, main, replaced(main, "line 4", "LINE 4"))
    assert os.stat(os.path.join(history.directory, "00000002.json")).st_uid == NOBODY, "the files are the relay's, and so is this"
    make(history, main, undoing(history, None))
    assert "line 4" in main.read_text()


@AS_ROOT
@pytest.mark.parametrize("kind", ["json", "begun"])
def test_root_takes_nothing_back_that_the_relay_has_made_up(history: History, main: Path, tmp_path: Path, kind: str) -> None:
    """Whoever got hold of the relay may write into its history; he must not let root write what he likes."""
    make(history, main, replaced(main, "line 3", "LINE 3"))
    content, written = json.loads(Path(history.directory, "00000001.json").read_text()), main.read_text()
    victim = tmp_path / "victim"
    victim.write_text("ours\n")
    files = [{"path": str(victim), "before": "theirs\n", "after": "ours\n"}, {"path": str(tmp_path / "new"), "before": "x", "after": None}]
    forged = Path(history.directory, f"00000002.{kind}")
    forged.write_text(json.dumps({**content, "id": 2, "files": files}))
    os.chown(forged, NOBODY, NOBODY)
    if kind == "begun":
        files[0]["after"] = "other"  # half of it is done
        forged.write_text(json.dumps({**content, "id": 2, "files": files}))
        assert not settle(str(main), history)
    else:
        for id in (None, 2):
            with pytest.raises(EditError, match="recorded by another user than root"):
                undoing(history, id)
    assert (victim.read_text(), main.read_text()) == ("ours\n", written)
    assert not (tmp_path / "new").exists()


def test_what_is_no_file_of_ours_is_passed_over(history: History, main: Path, tmp_path: Path) -> None:
    """A change under another number, a link, a pipe that nobody writes to."""
    make(history, main, replaced(main, "line 3", "LINE 3"))
    first = Path(history.directory, "00000001.json")
    Path(history.directory, "00000009.json").write_text(first.read_text())
    Path(history.directory, "00000002.json").symlink_to(first)
    os.mkfifo(os.path.join(history.directory, "00000003.begun"))
    assert [entry.id for entry in history.entries()] == [1]
    assert history.begun() == []


def test_logins_are_not_shown() -> None:
    text = b'credential_checkers: ["memory:admin:geheim", "file:/etc/devices"]\n'
    shown = diff({"/r": text}, {"/r": text + b"users: x\n"})
    assert "geheim" not in shown
    assert "memory:***" in shown
    assert "file:/etc/devices" in shown


def test_a_diff_names_files_that_come_and_go() -> None:
    assert diff({"/a": None, "/b": b"x"}, {"/a": b"y\n", "/b": None}) == (
        "--- /dev/null\n+++ /a\n@@ -0,0 +1 @@\n+y\n--- /b\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n"
    )
