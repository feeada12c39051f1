"""Tests for L{twistedrelay.observe.log_directory}."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from twistedrelay.observe.log_directory import LogDirectory

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
HEADING = "#Fields: x\n"


class Time:
    now = NOON


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def make(tmp_path: Path, clock: Time) -> Any:
    def make(**bounds: Any) -> LogDirectory:
        return LogDirectory(str(tmp_path / "logs"), "RECV", lambda now: HEADING, now=lambda: clock.now, **bounds)

    return make


def contents(tmp_path: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((tmp_path / "logs").iterdir())}


def test_a_file_for_each_hour(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make()
    log.append("a\n")
    log.append("b\n")
    clock.now += 3600
    log.append("c\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "a\nb\n", "RECV2026112213-1.LOG": HEADING + "c\n"}


def test_a_full_file_is_followed_by_another(make: Any, tmp_path: Path) -> None:
    log = make(max_file_size=len(HEADING) + 4)
    for text in ("aa\n", "b\n", "cc\n"):
        log.append(text)
    log.close()
    assert contents(tmp_path) == {f"RECV2026112212-{n}.LOG": HEADING + text for n, text in ((1, "aa\n"), (2, "b\n"), (3, "cc\n"))}


def test_after_a_restart_the_last_file_goes_on(make: Any, tmp_path: Path) -> None:
    for text in ("a\n", "b\n"):
        log = make()
        log.append(text)
        log.close()
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "a\nb\n"}
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "logs" / "RECV2026112212-1.LOG").stat().st_mode & 0o137 == 0


def test_a_deleted_file_is_made_anew(make: Any, tmp_path: Path) -> None:
    log = make()
    log.append("a\n")
    (tmp_path / "logs" / "RECV2026112212-1.LOG").unlink()
    log.append("b\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "b\n"}


def test_the_directory_stays_within_its_size(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make(max_file_size=100, max_directory_size=450)
    for number in range(40):
        clock.now += 600
        log.append(f"{number:03}" + "x" * 46 + "\n")
        assert sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) <= 450
    kept = "".join(contents(tmp_path).values())
    assert "039x" in kept, "the newest stay"
    assert "000x" not in kept


def test_old_files_go(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make(max_age=86400.0)
    log.append("a\n")
    old = tmp_path / "logs" / "RECV2026112212-1.LOG"
    os.utime(old, (clock.now, clock.now))
    (tmp_path / "logs" / "somebody's.LOG").write_text("x")
    os.utime(tmp_path / "logs" / "somebody's.LOG", (0, 0))
    clock.now += 2 * 86400
    log.append("b\n")
    assert list(contents(tmp_path)) == ["RECV2026112412-1.LOG", "somebody's.LOG"]


def test_files_are_too_old_by_the_settled_time(clock: Time, tmp_path: Path) -> None:
    settled = [clock.now]
    log = LogDirectory(str(tmp_path / "logs"), "RECV", lambda now: "", max_age=86400.0, now=lambda: clock.now, settled=lambda: settled[0])
    log.append("a\n")
    os.utime(tmp_path / "logs" / "RECV2026112212-1.LOG", (clock.now, clock.now))
    clock.now += 2 * 86400
    log.prune()
    assert list(contents(tmp_path)) == ["RECV2026112212-1.LOG"]
    settled[0] = clock.now
    log.prune()
    assert list(contents(tmp_path)) == []


def test_files_from_the_future_do_not_outlast_the_others(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make(max_file_size=1000, max_directory_size=2500)
    now = clock.now
    for hours in (0, 10 * 365 * 24, 1, 2):
        clock.now = now + hours * 3600
        log.append("x" * 900 + "\n")
    assert list(contents(tmp_path)) == ["RECV2026112213-1.LOG", "RECV2026112214-1.LOG"]


def test_no_link_is_followed(make: Any, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "logs" / "RECV2026112212-1.LOG").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        make().append("a\n")
    assert (tmp_path / "elsewhere").read_text() == ""


def test_a_disk_that_refuses_raises_and_works_again(make: Any, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    log = make()
    with pytest.raises(OSError, match="logs"):
        log.append("a\n")
    (tmp_path / "logs").unlink()
    log.append("b\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "b\n"}


def test_a_text_that_is_larger_than_a_file_goes_into_several(make: Any, tmp_path: Path) -> None:
    log = make(max_file_size=len(HEADING) + 10)
    log.append("".join(f"{number:03}\n" for number in range(5)) + "a long line\n" + "x\n")
    log.close()
    texts = [text.removeprefix(HEADING) for text in contents(tmp_path).values()]
    assert texts == ["000\n001\n", "002\n003\n", "004\n", "a long line\n", "x\n"]


def test_a_file_is_not_larger_than_its_directory_may_be(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make(max_file_size=1000, max_directory_size=100)
    for _ in range(20):
        log.append("x" * 19 + "\n")
        assert sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) <= 100


def test_a_disk_that_is_full_in_the_middle_of_a_line(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make()
    log.append("a\n")
    write, room = os.write, 5

    def full(file: int, octets: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        written = write(file, octets[:room])
        room -= written
        return written

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        log.append("lost\nlost too\n")
    monkeypatch.undo()
    log.append("b\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "a\nb\n"}


def test_a_heading_that_did_not_fit_is_written_again(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make()

    def full(file: int, octets: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        log.append("lost\n")
    monkeypatch.undo()
    log.append("b\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "b\n"}


def test_a_line_that_a_crash_cut_off_does_not_take_the_next_with_it(make: Any, tmp_path: Path) -> None:
    make().append("a\n")
    with (tmp_path / "logs" / "RECV2026112212-1.LOG").open("a") as file:
        file.write('2026,"cut')
    make().append("b\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + 'a\n2026,"cut\nb\n'}


def test_the_directory_is_removed_while_it_is_written(make: Any, tmp_path: Path) -> None:
    log = make()
    log.append("a\n")
    shutil.rmtree(tmp_path / "logs")
    log.append("b\n")
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "b\n"}


def test_a_clock_that_goes_backwards(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make()
    for hours, text in ((0, "a\n"), (1, "b\n"), (-1, "c\n"), (1, "d\n")):
        clock.now += hours * 3600
        log.append(text)
    assert contents(tmp_path) == {"RECV2026112212-1.LOG": HEADING + "a\nc\n", "RECV2026112213-1.LOG": HEADING + "b\nd\n"}


def test_old_files_go_where_nothing_is_written_any_more(make: Any, clock: Time, tmp_path: Path) -> None:
    log = make(max_age=86400.0)
    log.prune()
    log.append("a\n")
    log.prune()
    os.utime(tmp_path / "logs" / "RECV2026112212-1.LOG", (clock.now, clock.now))
    clock.now += 86000
    log.prune()
    assert len(contents(tmp_path)) == 1
    clock.now += 1000
    log.prune()
    assert contents(tmp_path) == {}
    log.append("b\n")
    assert list(contents(tmp_path)) == ["RECV2026112312-1.LOG"]


def test_what_cannot_be_deleted_keeps_nothing_from_being_written(make: Any, clock: Time, tmp_path: Path) -> None:
    (tmp_path / "logs" / "RECV2020010100-1.LOG").mkdir(parents=True)
    os.utime(tmp_path / "logs" / "RECV2020010100-1.LOG", (0, 0))
    log = make()
    log.append("a\n")
    with pytest.raises(OSError, match="directory"):
        log.prune()
    log.append("b\n")
    assert (tmp_path / "logs" / "RECV2026112212-1.LOG").read_text() == HEADING + "a\nb\n"
