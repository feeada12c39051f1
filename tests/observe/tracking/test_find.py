"""Tests for L{twistedrelay.observe.tracking.find} and L{twistedrelay.observe.tracking.query}: what is found, and how."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.tracking.world import BUSY, DAY, MAILBOX, NOON, UNKNOWN, World
from twistedrelay.observe.tracking import find as finding
from twistedrelay.observe.tracking.directory import FileName, opened
from twistedrelay.observe.tracking.find import Plan, find
from twistedrelay.observe.tracking.query import TrackingQuery, decoded, subject_holds
from twistedrelay.observe.tracking.schema import DEFER, RECEIVE, SEND
from twistedrelay.observe.tracking.story import story
from twistedrelay.values import events
from twistedrelay.values.envelope import Origin
from twistedrelay.values.netrange import IPRange


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "tracking")


@pytest.fixture
def mail(world: World) -> World:
    """Three messages of different people."""
    world.tried(world.received("u@customer.example", "v@customer.example", subject="=?utf-8?Q?=C3=87ay_saati?="))
    world.clock.advance(60)
    fax = Origin(connector="Default Frontend", client="2001:db8::7", helo="fax", user="fax@akkaya.local")
    world.tried(world.received("box@akkaya.local", sender="Fax@AKKAYA.local", origin=fax, subject="Seite 1"), route=MAILBOX, remote="/mail")
    world.clock.advance(60)
    message = world.received("Other@Sub.Customer.example", sender="news@list.example", subject="")
    world.tried(message, BUSY)
    world.tried(message, UNKNOWN)
    return world


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [1, 1, 2, 2, 3, 3, 3]),
        ({"number": 2}, [2, 2]),
        ({"message_id": "2@printer"}, [2, 2]),
        ({"message_id": "<2@printer>"}, [2, 2]),
        ({"message_id": "<2@PRINTER>"}, []),
        ({"sender": "fax@akkaya.local"}, [2, 2]),
        ({"sender": "akkaya.local"}, [1, 1, 2, 2]),
        ({"sender": "@akkaya.local"}, [1, 1, 2, 2]),
        ({"sender": "*@akkaya.local"}, [1, 1, 2, 2]),
        ({"sender": "akkaya"}, []),
        ({"recipient": "V@customer.EXAMPLE"}, [1, 1]),
        ({"recipient": "customer.example"}, [1, 1]),
        ({"recipient": "sub.customer.example"}, [3, 3, 3]),
        ({"subject": "çay SAATI"}, [1, 1]),
        ({"subject": "seite"}, [2, 2]),
        ({"connector": "ip_relay"}, [1, 1, 3, 3, 3]),
        ({"connector": r"EXCSERVER\IP_Relay"}, [1, 1, 3, 3, 3]),
        ({"connector": "Internet"}, [1, 3, 3]),
        ({"connector": "Default Frontend"}, [2, 2]),
        ({"client": IPRange.parse("192.0.2.0/26")}, [1, 1, 3, 3, 3]),
        ({"client": IPRange.parse("192.0.2.1-192.0.2.54")}, []),
        ({"client": IPRange.parse("2001:db8::/32")}, [2, 2]),
        ({"user": "FAX@akkaya.local"}, [2, 2]),
        ({"kinds": frozenset({RECEIVE})}, [1, 2, 3]),
        ({"kinds": frozenset({SEND, DEFER})}, [1, 3]),
        ({"reply": "BUSY"}, [3]),
        ({"reply": "5.1.1 user"}, [3]),
        ({"start": NOON + 60}, [2, 2, 3, 3, 3]),
        ({"end": NOON + 60}, [1, 1]),
        ({"start": NOON + 30, "end": NOON + 90}, [2, 2]),
        ({"start": NOON + 90, "end": NOON + 30}, []),
        ({"sender": "akkaya.local", "recipient": "box@akkaya.local"}, [2, 2]),
        ({"sender": "akkaya.local", "recipient": "nobody@akkaya.local"}, []),
        ({"recipient": "' OR 1=1 --"}, []),
        ({"subject": "%"}, []),
    ],
)
@pytest.mark.parametrize("folded", [False, True])
def test_filters(mail: World, query: dict[str, Any], numbers: list[int], folded: bool) -> None:
    if folded:
        assert mail.sink.stop(2.0).called
        file = mail.files
        name = FileName("20261122", 1)
        complete = file._open(name, mail.clock.seconds())
        complete.finish()
    assert [event.number for event in mail.found(**query)] == numbers
    assert [event.number for event in mail.page(newest_first=True, **query).events] == numbers[::-1]


def test_the_null_sender(world: World) -> None:
    world.received(sender="")
    world.received()
    assert [event.number for event in world.found(sender="<>")] == [1]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_are_the_whole(world: World, newest_first: bool, limit: int) -> None:
    for _ in range(3):
        for _ in range(5):
            world.tried(world.received())
        world.write()
        world.clock.advance(DAY)
    whole = [event.at for event in world.page(newest_first=newest_first).events]
    assert len(whole) == 30
    assert whole == sorted(whole, reverse=newest_first)
    found: list[int] = []
    cursor = "first"
    while cursor:
        page = world.page(limit, "" if cursor == "first" else cursor, newest_first)
        assert len(page.events) <= limit
        found += [event.at for event in page.events]
        cursor = page.cursor
    assert found == whole


def test_work_for_a_page_is_bounded(world: World) -> None:
    for _ in range(3):
        world.received()
        world.write()
        world.clock.advance(DAY)
    ticks: Iterator[float] = iter(range(0, 10_000, 10))
    found, cursor, pages = 0, "", 0
    while pages == 0 or cursor:
        page = find(str(world.path), TrackingQuery(), 100, cursor, monotonic=lambda: next(ticks))
        found, cursor, pages = found + len(page.events), page.cursor, pages + 1
    assert (found, pages) == (3, 4), "a file a page, and one more to see the end"


def test_a_page_of_many_recipients_is_short(world: World) -> None:
    for _ in range(150):
        world.received(*(f"r{number}@x.example" for number in range(300)))
    page = world.page()
    assert len(page.events) == 67, "the first that makes 20,000"
    rest = world.page(1000, page.cursor)
    assert [event.number for event in page.events + rest.events] == list(range(1, 135))
    assert len(world.page(1000, rest.cursor).events) == 16


@pytest.mark.parametrize("newest_first", [False, True])
def test_work_in_one_file_is_bounded(world: World, newest_first: bool) -> None:
    for _ in range(40):
        world.received()
        world.clock.advance(600)
    ticks: Iterator[float] = iter(range(100_000))
    found: list[int] = []
    cursor, pages = "first", 0
    while cursor:
        after = "" if cursor == "first" else cursor
        page = find(str(world.path), TrackingQuery(subject="hello"), 100, after, newest_first=newest_first, monotonic=lambda: next(ticks))
        found, cursor, pages = found + [event.number for event in page.events], page.cursor, pages + 1
    assert found == sorted(range(1, 41), reverse=newest_first)
    assert pages > 10


@pytest.mark.parametrize(
    "cursor", ["x", "20261122-1", "20261122-1:x", "2026-1:5", "20261122-1:-5", "\u0664" * 8 + "-1:5", "20261122-1:" + 30 * "9"]
)
def test_a_cursor_that_is_none(world: World, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        world.page(cursor=cursor)


def test_a_client_without_an_address_is_in_no_range(world: World) -> None:
    world.received(origin=Origin(source="PICKUP", connector="Pickup"))
    assert world.found(client=IPRange.parse("0.0.0.0/0")) == []


def test_a_directory_that_cannot_be_listed_is_told(world: World) -> None:
    world.path.write_text("no directory")
    assert find(str(world.path), TrackingQuery(), 10).problems == [f"{world.path} cannot be read: Not a directory"]
    assert story(str(world.path), "1").problems == [f"{world.path} cannot be read: Not a directory"]


def test_nothing_was_tracked_yet(world: World) -> None:
    assert world.page() == finding.Page([], "", [])


def test_a_file_that_cannot_be_read_is_told(mail: World) -> None:
    mail.write()
    (mail.path / "MSGTRK20261121-1.sqlite").write_bytes(b"x" * 10_000)
    page = mail.page()
    assert len(page.events) == 7
    [problem] = page.problems
    assert "MSGTRK20261121-1.sqlite cannot be read" in problem


def test_reading_changes_nothing(mail: World) -> None:
    assert mail.sink.stop(2.0).called
    before = sorted((path.name, path.read_bytes()) for path in mail.path.iterdir())
    assert len(find(str(mail.path), TrackingQuery(), 100).events) == 7
    assert sorted((path.name, path.read_bytes()) for path in mail.path.iterdir()) == before


def test_an_event_whose_message_is_unknown_is_found(world: World) -> None:
    message = world.message()
    world.files.horizon = 0.0
    world.sink._midnight = NOON - NOON % DAY
    message.received_at = NOON
    world.tried(message)
    [event] = world.found()
    assert (event.number, event.sender, event.message_id, event.received_at) == (1, "", "", 0)


def test_very_many_recipients(world: World) -> None:
    world.received(*[f"r{number}@x.example" for number in range(1500)])
    [event] = world.found()
    assert (len(event.recipients), event.recipient_count) == (finding.MOST_RECIPIENTS, 1500)
    assert len(world.found(recipient="r1499@x.example")) == 1


@pytest.mark.parametrize("part", ["istanbul", "İSTANBUL ŞUBESİ", "İstanbul", "ıstanbul", "ÖDEME"])
def test_turkish_letters_have_no_case_in_a_search(part: str) -> None:
    assert subject_holds("=?utf-8?q?=C3=96deme_Fi=C5=9Fi_=E2=80=93_=C4=B0stanbul_=C5=9Fubesi?=", part)
    assert not subject_holds("=?utf-8?q?=C3=96deme_Fi=C5=9Fi?=", "istanbul")


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("plain", "plain"),
        ("=?utf-8?B?w4dheQ==?= =?utf-8?Q?saati?=", "Çaysaati"),
        ("=?no-such-charset?Q?x?=", "=?no-such-charset?Q?x?="),
        ("=?utf-8?B?w4dheQ", "=?utf-8?B?w4dheQ"),
        ("=?utf-8?B?a?=", "=?utf-8?B?a?="),
        ("=?utf-7?Q?+2AA-?=", "?"),
        ("a\t  b", "a b"),
        ("x" * 400, "x" * 255),
    ],
)
def test_subjects_are_read_as_people_do(subject: str, shown: str) -> None:
    assert decoded(subject) == shown


@given(st.one_of(st.text(max_size=60), st.text(alphabet="=?utf8-BbQq_ aZ", max_size=60)))
def test_every_subject_can_be_read(subject: str) -> None:
    assert len(decoded(subject)) <= 255
    assert subject_holds(subject, "")


class Large:
    """A file with a hundred thousand messages."""

    count = 100_000

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        world = World(directory)
        world.sink.emit(events.Connected("0123456789ABCDEF", "IP_Relay", "192.0.2.55:4711", "192.0.2.1:25"))
        for number in range(self.count):
            origin = Origin(connector="IP_Relay" if number % 1000 else "Rare", client=f"10.0.{number % 40}.1", session="0123456789ABCDEF")
            world.tried(world.received(f"r{number % 7000}@x.example", sender=f"s{number % 900}@y.example", origin=origin))
        assert world.sink.stop(2.0).called
        world.files._open(FileName("20261122", 1), NOON).finish()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return Large(tmp_path_factory.mktemp("large"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "count", "indexed"),
    [
        (TrackingQuery(), 200, False),
        (TrackingQuery(number=777), 2, True),
        (TrackingQuery(message_id="<777@printer>"), 2, True),
        (TrackingQuery(sender="s5@y.example"), 200, True),
        (TrackingQuery(sender="y.example"), 200, False),
        (TrackingQuery(recipient="r5@x.example"), 30, True),
        (TrackingQuery(connector="Rare"), 200, True),
        (TrackingQuery(connector="IP_Relay"), 200, False),
        (TrackingQuery(client=IPRange.parse("10.0.7.0/24"), recipient="r7@x.example"), 30, True),
        (TrackingQuery(client=IPRange.parse("192.0.2.0/24")), 0, True),
    ],
)
def test_few_are_found_by_the_index_and_many_in_order(large: Large, query: TrackingQuery, count: int, indexed: bool) -> None:
    """How, by the plan and by the steps that SQLite takes; a clock would measure the machine."""
    steps = [0]

    def step() -> None:
        steps[0] += 1

    with opened(str(large.directory), FileName("20261122", 1)) as database:
        text, values = Plan.of(database, query).statement(query.begins, query.ends, 200, True)
        plan = " / ".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {text}", values))
        assert ("INDEX event_message" in plan) is indexed, plan
        assert "SEARCH event USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan or query.number, plan
        assert "SCAN event" not in plan
        assert "SCAN term" not in plan
        database.set_progress_handler(step, 1000)
        found = database.execute(text, values).fetchall()
        database.set_progress_handler(None, 0)
    assert len(found) == count
    assert steps[0] < 120, "thousand instructions"
    assert len(find(str(large.directory), query, 200).events) == count


def test_a_reader_beside_the_writer(world: World) -> None:
    world.received()
    world.write()
    with opened(str(world.path), FileName("20261122", 1)) as database:
        world.received()
        world.write()
        assert database.execute("SELECT count(*) FROM event").fetchone() == (1,), "what was there when it began"
    assert len(world.found()) == 2
    assert world.reports == []


def test_nobody_can_write_through_a_reader(world: World) -> None:
    world.received()
    world.write()
    with opened(str(world.path), FileName("20261122", 1)) as database, pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("DELETE FROM event")
