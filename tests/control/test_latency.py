"""Where a message's time went, from what is tracked, stored and under way."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tests.observe.tracking.world import BUSY, MAILBOX, NOON, TAKEN, UNKNOWN, World
from twistedrelay.control.latency import MOST_STORIES, components
from twistedrelay.schedule.places import Place, RecipientPlace
from twistedrelay.values.envelope import MailParameters, Message, RecipientState
from twistedrelay.values.events import Receive

MX = "mx [198.51.100.9]:25"
WAITS = RecipientPlace("customer.example", next_retry=NOON + 900)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Tracking, at noon."""
    return World(tmp_path / "tracking")


def came(world: World, *recipients: str) -> Message:
    """A message that was stored 0.02 seconds after it had come."""
    message = world.message(*recipients)
    world.clock.advance(0.02)
    world.sink.emit(Receive(message))
    return message


def told(world: World, message: Message, where: RecipientPlace = WAITS, status: str = "Retry", *, whole: bool = True) -> list[str]:
    """The spans, in short."""
    place = Place(status, {recipient.index: where for recipient in message.recipients if recipient.state is RecipientState.READY})
    spans = components(message, place, world.found(number=message.id), world.clock.seconds(), whole=whole)
    told = []
    for span in spans:
        when = f"{span.began.timestamp() - NOON:g}+{span.seconds:g}{'…' if span.pending else ''}"
        told.append(f"{span.component} {when} {span.recipients} {span.detail}".rstrip())
    return told


def attempted(world: World, message: Message, seconds: float, reply: object = BUSY) -> None:
    """An attempt that took so long."""
    began = world.clock.seconds()
    world.clock.advance(seconds)
    world.tried(message, reply, began=began)  # type: ignore[arg-type]
    for recipient in message.recipients:
        recipient.attempts += 1


def test_attempts_and_what_was_between_them(world: World) -> None:
    message = came(world)
    world.clock.advance(0.5)
    attempted(world, message, 30)
    world.clock.advance(300)
    attempted(world, message, 2)
    world.clock.advance(60)
    message.recipients[0].next_attempt = NOON + 800
    assert told(world, message) == [
        "Commit 0+0.02 0 from its last octet until it was on disk",
        "Queue 0.02+0.5 1",
        f"Delivery 0.52+30 1 {MX}: 451 4.2.1 mailbox busy",
        "Retry 30.52+300 1",
        f"Delivery 330.52+2 1 {MX}: 451 4.2.1 mailbox busy",
        "Retry 332.52+60… 1 the next attempt is due at 2026-11-22 12:15:00",
    ]


def test_the_spans_are_all_of_its_age(world: World) -> None:
    message = came(world)
    for seconds in (1.25, 40.5, 7.125):
        world.clock.advance(100)
        attempted(world, message, seconds)
    world.clock.advance(11)
    place = Place("Retry", {0: WAITS})
    spans = components(message, place, world.found(number=message.id), world.clock.seconds(), whole=True)
    assert sum(span.seconds for span in spans) == pytest.approx(world.clock.seconds() - message.received_at, abs=0.01)


def test_one_that_was_never_tried(world: World) -> None:
    message = came(world)
    world.clock.advance(7)
    assert told(world, message, RecipientPlace("customer.example"))[1:] == ["Queue 0.02+7… 1"]


def test_an_attempt_under_way(world: World) -> None:
    message = came(world)
    world.clock.advance(10)
    where = RecipientPlace("customer.example", since=NOON + 4, remote=MX)
    assert told(world, message, where, "Active")[1:] == ["Queue 0.02+3.98 1", f"Delivery 4+6.02… 1 {MX}"]


def test_where_it_is_not_known_how_long_an_attempt_took_it_is_one_span_with_the_wait(world: World) -> None:
    message = came(world, "u@customer.example", "v@akkaya.local")
    world.clock.advance(3)
    one, other = message.recipients
    world.tried(attrs.evolve(message, recipients=[other]), TAKEN, MAILBOX, "")
    other.state = RecipientState.DELIVERED
    attempted(world, attrs.evolve(message, recipients=[one]), 5)
    assert told(world, message)[1:] == [
        "Queue 0.02+3 1",
        f"Delivery 3.02+5 1 {MX}: 451 4.2.1 mailbox busy",
        "Retry 8.02+0… 1 the next attempt is due at 2026-11-22 12:15:00",
        "QueueAndDelivery 0.02+3 1 250 2.0.0 taken",
    ]


def test_one_that_is_held_for_its_sender(world: World) -> None:
    message = came(world)
    message.parameters = MailParameters(hold_until=NOON + 100)
    world.clock.advance(10)
    assert told(world, message)[1:] == ["Held 0.02+10… 1 for its sender"]
    world.clock.advance(200)
    attempted(world, message, 1)
    assert told(world, message)[1:4] == [
        "Held 0.02+99.98 1 for its sender",
        "Queue 100+110.02 1",
        f"Delivery 210.02+1 1 {MX}: 451 4.2.1 mailbox busy",
    ]


def test_given_up_without_an_attempt(world: World) -> None:
    message = came(world)
    world.clock.advance(30)
    world.tried(message, UNKNOWN, remote="")
    message.recipients[0].state = RecipientState.FAILED
    assert told(world, message)[1:] == ["Queue 0.02+30 1 550 5.1.1 User unknown"]


@pytest.mark.parametrize(("status", "why"), [("Suspended", "the message is suspended"), ("Poison", "the message is set aside as poison")])
def test_why_it_waits(world: World, status: str, why: str) -> None:
    assert told(world, came(world), RecipientPlace("q"), status)[1:] == [f"Queue 0.02+0… 1 {why}"]


def test_without_tracking_nothing_is_made_up(world: World) -> None:
    message = world.message()
    message.recipients[0].attempts = 2
    world.clock.advance(50)
    assert told(world, message, RecipientPlace("q")) == ["Queue 0+50… 1 with 2 attempts that nothing is known of"]
    assert told(world, message, RecipientPlace("q"), whole=False) == ["Queue 0+50… 1 not all attempts are known"]


def test_recipients_with_the_same_story_are_one_and_stories_are_bounded(world: World) -> None:
    message = came(world, *(f"u{n}@customer.example" for n in range(40)))
    assert told(world, message, RecipientPlace("q"))[1:] == ["Queue 0.02+0… 40"]
    many = came(world, *(f"u{n}@customer.example" for n in range(MOST_STORIES + 9)))
    place = Place("Ready", {recipient.index: RecipientPlace(f"q{recipient.index}") for recipient in many.recipients})
    assert len(components(many, place, [], world.clock.seconds(), whole=True)) == MOST_STORIES
