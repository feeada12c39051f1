"""Tests for L{twistedrelay.observe.ledger.store} and C{file}: what is kept, for how long, and how it is found."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.ledger.world import NOON, World
from twistedrelay.observe import database
from twistedrelay.observe.ledger.file import LedgerFile, LedgerQuery
from twistedrelay.observe.ledger.row import OTHERS, Row
from twistedrelay.observe.ledger.store import LEARNING, LedgerStore
from twistedrelay.values.netrange import IPRange

DAY = 86400.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "ledger.sqlite")


def row(client: str = "192.0.2.1", helo: str = "h", messages: int = 1, at: float = NOON, connector: str = "A", domain: str = "d") -> Row:
    made = Row((connector, client, helo, "", domain, "", ""), "192.0.2.254:25", at)
    made.messages, made.sessions = messages, 1
    return made


def found(world: World, **query: object) -> list[str]:
    return sorted(usage.client for usage in LedgerFile(world.path).rows(LedgerQuery(**query)))  # type: ignore[arg-type]


def test_nothing_is_in_a_file_that_is_not_there(world: World) -> None:
    file = LedgerFile(world.path)
    assert (file.rows(), file.page(LedgerQuery(), 10).rows, file.extent().began) == ([], [], None)
    assert not os.path.exists(world.path)


def test_only_its_owner_may_read_it(world: World) -> None:
    world.store.write([row()])
    assert os.stat(world.path).st_mode & 0o777 == 0o600


def test_filters(world: World) -> None:
    world.store.write([row("192.0.2.1"), row("192.0.2.200", at=NOON - DAY), row("2001:db8::1", connector="B"), row("10.0.0.1", domain="e")])
    assert found(world, client=IPRange.parse("192.0.2.0/25")) == ["192.0.2.1"]
    assert found(world, client=IPRange.parse("192.0.2.1-192.0.2.200")) == ["192.0.2.1", "192.0.2.200"]
    assert found(world, client=IPRange.parse("2001:db8::/32")) == ["2001:db8::1"]
    assert found(world, connector="b") == ["2001:db8::1"]
    assert found(world, sender_domain="E") == ["10.0.0.1"]
    assert found(world, unused_since=NOON) == ["192.0.2.200"]
    assert found(world, since=NOON, client=IPRange.parse("0.0.0.0/0")) == ["10.0.0.1", "192.0.2.1"]
    assert found(world, tls="TLSv1.3") == []


def test_pages(world: World) -> None:
    world.store.write([row(f"192.0.2.{number}") for number in range(1, 8)])
    file, seen, after = LedgerFile(world.path), [], 0
    while True:
        page = file.page(LedgerQuery(), 3, after)
        seen += [usage.client for usage in page.rows]
        after = page.next
        if not after:
            break
    assert sorted(seen) == sorted(f"192.0.2.{number}" for number in range(1, 8))


def test_a_row_with_messages_takes_the_place_of_one_without(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger.sqlite", most_of_client=3)
    world.store.write([row(helo=f"scan-{number}", messages=0, at=NOON + number) for number in range(5)])
    world.store.write([row(helo="printer", at=NOON + 9)])
    names = {usage.helo: usage.sessions for usage in LedgerFile(world.path).rows()}
    assert names == {"scan-1": 1, "scan-2": 1, OTHERS: 3, "printer": 1}
    assert LedgerFile(world.path).extent().folded == 3
    world.store.write([row(helo=f"mail-{number}", at=NOON + 10) for number in range(5)])
    rows = LedgerFile(world.path).rows()
    assert sum(usage.messages for usage in rows) == 6
    assert len(rows) == 4


def test_the_whole_is_bounded_and_those_with_messages_stay(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger.sqlite", most_rows=100)
    world.store.write([row("192.0.2.1", at=NOON - 5)])
    for start in range(0, 300, 50):
        world.store.write([row(f"10.0.{(start + number) // 200}.{(start + number) % 200}", messages=0) for number in range(50)])
    extent = LedgerFile(world.path).extent()
    assert len(LedgerFile(world.path).rows()) <= 100
    assert "192.0.2.1" in found(world)
    assert extent.dropped >= 200
    assert [event.code for event in world.told] == ["logs_lost"]


def test_strangers_do_not_drive_out_those_who_are_known(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger.sqlite", most_rows=100)
    world.store.write([row(connector="IP_Relay", at=NOON - DAY), row("192.0.2.2", connector="IP_Relay", at=NOON - DAY, messages=0)])
    world.store.write([row(f"2001:db8::{number:x}") for number in range(1, 300)])
    assert "192.0.2.1" in found(world)
    assert "192.0.2.2" not in found(world)


def test_old_rows_go(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger.sqlite", max_age=10 * DAY)
    world.store.write([row("192.0.2.1", at=NOON)])
    world.clock.advance(9 * DAY)
    world.store.write([row("192.0.2.2", at=NOON + 9 * DAY)])
    world.clock.advance(2 * DAY)
    world.store.write([row("192.0.2.3", at=world.clock.seconds())])
    assert found(world) == ["192.0.2.2", "192.0.2.3"]


def test_a_clock_that_jumps_far_ahead_deletes_nothing_until_it_is_settled(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger.sqlite", max_age=10 * DAY)
    settled = [NOON]
    store = LedgerStore(world.path, 10 * DAY, world.told.append, now=world.clock.seconds, settled=lambda: settled[0])
    store.write([row("192.0.2.1", at=NOON)])
    world.clock.advance(3650 * DAY)
    store.write([row("192.0.2.2", at=world.clock.seconds())])
    assert found(world) == ["192.0.2.1", "192.0.2.2"]
    assert max(each.last_seen for each in LedgerFile(world.path).rows()) == NOON, "nobody is seen in the future"
    world.clock.rightNow = NOON + 11 * DAY  # it is right again: the next look is not ten years away
    settled[0] = NOON + 11 * DAY
    store.write([row("192.0.2.3", at=NOON + 11 * DAY)])
    assert found(world) == ["192.0.2.3"]


def test_nothing_is_too_old_before_anything_is_settled(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger.sqlite")
    store = LedgerStore(world.path, 10 * DAY, world.told.append, now=world.clock.seconds, settled=lambda: 0.0)
    store.write([row("192.0.2.1", at=NOON - 11 * DAY)])
    assert found(world) == ["192.0.2.1"]
    assert LedgerFile(world.path).rows()[0].last_seen == NOON - 11 * DAY


def test_new_clients_are_told_after_a_day_of_learning(world: World) -> None:
    world.store.write([row(connector="IP_Relay")])
    assert world.told == []
    world.clock.advance(LEARNING)
    world.store.write([row("192.0.2.2", connector="IP_Relay"), row("192.0.2.3", connector="Default Frontend")])
    world.store.write([row("192.0.2.2", connector="IP_Relay", helo="other"), row("192.0.2.4", messages=0, connector="IP_Relay")])
    assert [event.code for event in world.told] == ["new_client"]
    assert "192.0.2.2 (h) uses IP_Relay for the first time with mail from d" in world.told[0].text
    for _ in range(2):
        world.store.write([row("192.0.2.4", connector="IP_Relay")])
    assert "192.0.2.4 (h) uses" in world.told[1].text, "it had been seen, but never with a message"
    world.store.write([row(f"10.0.0.{number}", connector="IP_Relay") for number in range(1, 31)])
    assert len(world.told) == 13
    assert "and 20 more" in world.told[-1].text


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 4000], ids=["no database", "damaged"])
def test_a_damaged_file_is_set_aside(world: World, content: bytes) -> None:
    Path(world.path).write_bytes(content)
    world.store.write([row()])
    assert found(world) == ["192.0.2.1"]
    assert Path(f"{world.path}.damaged").read_bytes() == content
    assert "begins anew" in world.told[0].text


def test_a_file_of_another_version_is_set_aside(world: World) -> None:
    with sqlite3.connect(world.path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError):
        LedgerFile(world.path).rows()
    world.store.write([row()])
    assert found(world) == ["192.0.2.1"]


def test_a_file_that_was_taken_away_begins_anew(world: World) -> None:
    world.store.write([row("192.0.2.1")])
    for end in ("", "-wal", "-shm"):
        Path(world.path + end).unlink(missing_ok=True)
    world.store.write([row("192.0.2.2")])
    assert found(world) == ["192.0.2.2"]


@given(st.lists(st.text(max_size=400), min_size=4, max_size=4))
def test_any_text_can_be_kept(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    world = World(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    helo, user, domain, cipher = texts
    world.store.write([Row(("A", "192.0.2.1", helo, user, domain, "", cipher), "", NOON)])
    world.store.close()
    assert len(LedgerFile(world.path).rows()) == 1


def test_lone_surrogates_can_be_kept(world: World) -> None:
    world.store.write([row(helo="\udce4")])
    assert [usage.helo for usage in LedgerFile(world.path).rows()] == ["\\udce4"]


def test_what_could_not_be_written_counts_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store.write([row()])
    world.store.close()
    later = [row(), row(), row()]
    monkeypatch.setattr(database, "BUSY", 0.0)
    with contextlib.closing(sqlite3.connect(world.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError):
                world.store.write(later)
    world.store.write(later)
    assert [usage.messages for usage in LedgerFile(world.path).rows()] == [4]
