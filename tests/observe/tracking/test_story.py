"""Tests for L{twistedrelay.observe.tracking.story}."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.observe.tracking.world import BUSY, DAY, UNKNOWN, World
from twistedrelay.observe.tracking import story as telling
from twistedrelay.observe.tracking.schema import KINDS
from twistedrelay.observe.tracking.story import story
from twistedrelay.values import events
from twistedrelay.values.envelope import Origin


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "tracking")


def told(world: World, wanted: str) -> list[tuple[int, str]]:
    world.sink.flush()
    return [(event.number, KINDS[event.kind]) for event in story(str(world.path), wanted).events]


def test_a_message_with_its_report(world: World) -> None:
    world.received()
    message = world.received()
    world.tried(message, BUSY)
    world.write()
    world.clock.advance(DAY)
    world.tried(message, UNKNOWN)
    report = world.message("a@akkaya.local", sender="", origin=Origin(source="DSN"))
    world.sink.emit(events.ReportSent(report, message, "failed"))
    world.clock.advance(1)
    world.tried(report)
    world.received()
    whole = [(2, "RECEIVE"), (2, "DEFER"), (2, "FAIL"), (3, "DSN"), (3, "SEND")]
    assert told(world, "2") == whole
    assert told(world, "3") == whole, "from the report back to what it is about"
    assert told(world, "<2@printer>") == whole
    assert told(world, "2@printer") == whole


def test_what_was_sent_again_and_again(world: World) -> None:
    first = world.received()
    second, third = (world.message(origin=Origin(source="SAFETYNET")) for _ in range(2))
    world.sink.emit(events.Resubmitted(second, first.id))
    world.sink.emit(events.Resubmitted(third, second.id))
    assert told(world, "3") == told(world, "1") == [(1, "RECEIVE"), (2, "RESUBMIT"), (3, "RESUBMIT")]


@pytest.mark.parametrize("wanted", ["99", "<99@printer>", "", "x", "9" * 30, "'"])
def test_nobody_knows(world: World, wanted: str) -> None:
    world.received()
    assert told(world, wanted) == []


def test_a_very_long_story_is_cut_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST_SHOWN", 20)
    message = world.received()
    for _ in range(30):
        world.tried(message, BUSY)
        world.write()
    page = telling.story(str(world.path), "1")
    assert (len(page.events), page.problems) == (10, ["there are more events: the first 10 are shown"])
