"""Tests for L{twistedrelay.observe.tracking.files}: which files there are, and what becomes of them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.observe.tracking.world import BUSY, DAY, NOON, World
from twistedrelay.observe.tracking import files as tracking_files
from twistedrelay.observe.tracking.directory import FileName, delete_surplus
from twistedrelay.observe.tracking.schema import VERSION


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "tracking")


def test_a_file_for_each_day_only_for_its_owner(world: World) -> None:
    world.received()
    world.write()
    world.clock.advance(DAY)
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite", "MSGTRK20261123-1.sqlite"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in world.path.iterdir())
    assert not (world.path / "MSGTRK20261122-1.sqlite-wal").exists(), "yesterday's file is complete"
    assert world.names() == ["RECEIVE", "RECEIVE"]


def test_old_files_are_deleted(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_age=2 * DAY)
    for _ in range(6):
        world.received()
        world.write()
        world.clock.advance(DAY)
    assert world.there() == [f"MSGTRK202611{day}-1.sqlite" for day in (25, 26, 27)]


def test_a_clock_that_jumps_far_ahead_deletes_nothing_until_it_is_settled(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_age=2 * DAY)
    settled = [NOON]
    world.files._settled = lambda: settled[0]
    world.received()
    world.write()
    world.clock.advance(3650 * DAY)
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite", "MSGTRK20361119-1.sqlite"]
    world.clock.rightNow = NOON + 4 * DAY
    settled[0] = NOON + 4 * DAY
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261126-1.sqlite", "MSGTRK20361119-1.sqlite"]


def test_files_from_the_future_do_not_outlast_the_others(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_age=9999 * DAY)
    world.received()
    world.write()
    world.clock.advance(3650 * DAY)
    world.received()
    world.write()
    world.clock.rightNow = NOON + DAY
    world.received()
    world.write()
    names = [FileName("20261122", 1), FileName("20261123", 1), FileName("20361119", 1)]
    assert world.there() == [str(name) for name in names]
    world.files.close()
    size = sum(path.stat().st_size for path in world.path.glob("MSGTRK20261122-1.*"))
    delete_surplus(str(world.path), names[1], size, 0.0, NOON + 2 * DAY)
    assert world.there() == [str(name) for name in names[:2]]


def test_a_quiet_relay_deletes_old_files_too(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_age=DAY)
    world.received()
    world.write()
    world.clock.advance(4 * DAY)
    world.begin()
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261126-1.sqlite"]


def test_full_files_are_followed_by_others_and_the_oldest_go(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_size=8 << 20)
    for _ in range(75):
        for number in range(250):
            world.received(subject=f"{number} " + "x" * 900)
        world.write()
    names = world.there()
    assert names[0] != "MSGTRK20261122-1.sqlite"
    assert sum(path.stat().st_size for path in world.path.iterdir()) < 9 << 20
    assert len(world.found(subject="249 x")) > 20
    assert world.reports == []


def test_a_message_is_known_in_the_next_file_of_the_day(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_size=8 << 20)
    early = world.received(subject="early")
    while len(world.there() if world.path.exists() else []) < 2:
        for _ in range(500):
            world.received(subject="x" * 900)
        world.write()
    world.tried(early)
    assert world.names(subject="early") == ["RECEIVE", "SEND"]


def test_a_file_of_a_killed_relay_goes_on(world: World) -> None:
    world.received()
    world.write()
    world.begin()  # the first run never closed its file
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite"]
    assert len(world.found()) == 2


def test_a_file_of_a_relay_that_was_killed_yesterday_is_completed(world: World) -> None:
    world.received()
    world.write()
    assert (world.path / "MSGTRK20261122-1.sqlite-wal").exists()
    world.files.close()
    database = sqlite3.connect(world.path / "MSGTRK20261122-1.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("UPDATE mark SET folded = 0")
    database.commit()
    world.clock.advance(DAY)
    world.begin()
    world.received()
    world.write()
    assert database.execute("SELECT count(*) FROM term").fetchone()[0] >= 4
    database.close()
    assert world.names() == ["RECEIVE", "RECEIVE"]


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside(world: World, content: bytes) -> None:
    world.path.mkdir()
    (world.path / "MSGTRK20261122-1.sqlite").write_bytes(content)
    world.received()
    world.write()
    [told] = world.reports
    assert "MSGTRK20261122-1.sqlite is damaged" in told
    assert world.there() == ["MSGTRK20261122-1.sqlite.damaged", "MSGTRK20261122-2.sqlite"]
    assert world.names() == ["RECEIVE"]


def test_a_file_that_is_damaged_while_it_is_written(world: World) -> None:
    world.received()
    world.write()
    file = world.files._file
    assert file is not None

    def malformed(entries: object) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX
        raise error

    file.write = malformed  # type: ignore[method-assign]
    world.received()
    world.write()
    assert "is damaged (database disk image is malformed)" in world.reports[0]
    assert [event.number for event in world.found()] == [2], "what was to be written is in the next file"


def test_what_is_set_aside_is_not_kept_for_ever(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_age=DAY)
    world.path.mkdir()
    (world.path / "MSGTRK20261101-1.sqlite.damaged").write_text("x")
    os.utime(world.path / "MSGTRK20261101-1.sqlite.damaged", (NOON - 3 * DAY,) * 2)
    (world.path / "notes.txt").write_text("mine")
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite", "notes.txt"]


def test_a_file_of_another_version_is_left_alone(world: World) -> None:
    world.path.mkdir()
    database = sqlite3.connect(world.path / "MSGTRK20261122-1.sqlite")
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    world.received()
    world.write()
    assert "is of version" in world.reports[0]
    assert world.there() == ["MSGTRK20261122-1.sqlite", "MSGTRK20261122-2.sqlite"]
    page = world.page()
    assert len(page.events) == 1
    assert "is of version" in page.problems[0]


def test_a_clock_that_is_set_back_begins_another_file(world: World) -> None:
    world.clock.advance(3600)
    world.received()
    world.write()
    world.clock.rightNow -= 3000
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite", "MSGTRK20261122-2.sqlite"]
    assert len(world.found(start=NOON, end=NOON + 700)) == 1


def test_a_full_disk_keeps_what_came(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.received()
    world.write()
    full = [True]
    insert = tracking_files.TrackingFile._insert

    def refuse(self: object, rows: object) -> None:
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        insert(self, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(tracking_files.TrackingFile, "_insert", refuse)
    for _ in range(3):
        world.received()
        world.write()
    assert len(world.reports) == 1
    full[0] = False
    world.write()
    assert len(world.found()) == 4
    assert world.sink.lost == 0


def test_the_index_is_brought_up_to_date(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_files, "FOLD_EVENTS", 10)
    for _ in range(12):
        world.tried(world.received("a@x.example", "b@x.example"))
        world.write()
    [name] = world.there()
    database = sqlite3.connect(world.path / name)
    [(behind,)] = database.execute("SELECT count(*) FROM event WHERE id > (SELECT folded FROM mark)")
    [(terms,)] = database.execute("SELECT count(*) FROM term")
    database.close()
    assert behind < 10
    assert terms == 10 * 6, "Message-ID, sender, origin, two recipients and way of those that are folded"
    for query in ({"recipient": "b@x.example"}, {"sender": "a@akkaya.local"}, {"connector": "IP_Relay"}, {"user": ""}):
        assert len(world.found(**query)) == 24
    assert len(world.found(connector="Internet")) == 12


def test_a_busy_relay_brings_the_index_up_to_date_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FOLD_EVENTS", 10), ("QUIET", 15), ("MOST_BEHIND", 100)):
        monkeypatch.setattr(tracking_files, name, value)

    def behind(events: int) -> int:
        for _ in range(events):
            world.received()
        world.write()
        file = world.files._file
        assert file is not None
        return file._behind

    assert [behind(20) for _ in range(6)] == [20, 40, 60, 80, 0, 20]
    assert [behind(5) for _ in range(2)] == [0, 5]


def test_events_are_added_once_even_if_no_other_file_can_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "tracking", max_size=8 << 20)
    world.received()
    world.write()

    def refuse(self: object, name: object, when: float) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patch:
        patch.setattr(tracking_files.TrackingFiles, "_full", 1)
        patch.setattr(tracking_files.TrackingFiles, "_open", refuse)
        world.received()
        world.write()
        world.received()
        world.write()
    assert "unable to open" in world.reports[0]
    world.write()
    assert [event.number for event in world.found()] == [1, 2, 3]
    assert world.sink.lost == 0


def test_a_file_that_cannot_be_deleted_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tracking_files, "delete_surplus", refuse)
    world.received()
    world.write()
    world.received()
    world.write()
    assert [event.number for event in world.found()] == [1, 2]
    assert world.reports == ["old tracking files cannot be deleted: [Errno 1] Operation not permitted"]


def test_what_waited_over_midnight_goes_to_its_own_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add = tracking_files.TrackingFiles._add
    full = [True]

    def refuse(self: tracking_files.TrackingFiles, entries: Any, when: float) -> None:
        if full[0] and when >= NOON + DAY:
            raise sqlite3.OperationalError("database or disk is full")
        add(self, entries, when)

    monkeypatch.setattr(tracking_files.TrackingFiles, "_add", refuse)
    world.received(subject="yesterday")
    world.clock.rightNow += DAY
    world.tried(world.received())
    world.write()
    full[0] = False
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite", "MSGTRK20261123-1.sqlite"]
    assert world.names() == ["RECEIVE", "RECEIVE", "SEND"]
    assert world.names(end=NOON + 60) == ["RECEIVE"]


def test_a_message_that_comes_back_from_the_spool_keeps_its_subject(world: World) -> None:
    message = world.received(subject="Rapor")
    world.write()
    message.subject = ""
    for _ in range(2):
        world.clock.advance(DAY)
        world.tried(message, BUSY)
        world.write()
    world.clock.advance(DAY)
    world.begin()
    world.tried(message)
    assert [event.subject for event in world.found()] == ["Rapor"] * 4
    assert world.names(subject="rapor", start=NOON + 2.5 * DAY) == ["SEND"]
    assert world.reports == []


def test_a_subject_that_must_not_be_kept_any_more_is_not(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking")
    message = world.received(subject="Rapor")
    world.write()
    world.clock.advance(DAY)
    world.subjects = False
    world.begin()
    world.tried(message)
    assert [event.subject for event in world.found()] == ["Rapor", ""]


def test_events_that_waited_while_a_file_became_full_know_their_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "tracking")
    message = world.received(subject="Rapor")
    world.write()
    world.tried(message)  # it says nothing of the message, which is in the file
    monkeypatch.setattr(tracking_files.TrackingFile, "size", property(lambda file: 1 << 40 if file._path.endswith("-1.sqlite") else 0))
    world.clock.rightNow += 1
    world.files._look_after()
    world.write()
    assert len(world.there()) == 2
    assert world.names(sender="a@akkaya.local") == ["RECEIVE", "SEND"]
    assert world.found()[1].subject == "Rapor"


def test_what_was_set_aside_counts(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", max_size=16 << 20)
    world.path.mkdir()
    for number in (1, 2):
        (world.path / f"MSGTRK2026112{number}-1.sqlite.damaged").write_bytes(bytes(8 << 20))
    (world.path / "MSGTRK20269999-1.sqlite").write_text("of no day")
    world.received()
    world.write()
    assert world.there() == ["MSGTRK20261122-1.sqlite", "MSGTRK20261122-1.sqlite.damaged", "MSGTRK20269999-1.sqlite"]
    assert world.reports == []


@pytest.mark.parametrize("what", ["directory", "file", "other file"])
def test_what_somebody_deletes_while_it_is_written_begins_anew(world: World, what: str) -> None:
    world.received()
    world.write()
    (file,) = world.path.glob("*.sqlite")
    if what == "directory":
        shutil.rmtree(world.path)
    else:
        file.unlink()
    if what == "other file":
        file.touch()
    message = world.received()
    world.write()
    assert [event.number for event in world.found()] == [message.id]
    assert world.reports == [f"the tracking file {file.name} is gone, and another one begins"]
