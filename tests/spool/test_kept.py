"""Delivered messages that are kept: what, for how long, and what of them is found."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.spool.world import World, defer, deliver
from twistedrelay.values.address import NULL
from twistedrelay.values.envelope import MailParameters, Message, Origin, RcptParameters, RecipientState
from twistedrelay.values.kept import START, Kept, KeptPage, KeptQuery

LARGE = b"l" * 200_000
TOOK = "mx.example.com [192.0.2.1]:25"


@pytest.fixture
def net(tmp_path: Path) -> Any:
    world = World(str(tmp_path / "spool"))
    world.options["keep_delivered"] = True
    yield world
    world.close()


def delivered(world: World, *arguments: Any, at: float = 100.0, **more: Any) -> Message:
    message = world.store(*arguments, **more)
    world.reactor.rightNow = at
    outcomes = deliver(*message.recipients)
    for recipient in message.recipients:
        recipient.last_remote = TOOK
    world.wait(world.spool.record(message, outcomes))
    return message


def page(world: World, limit: int = 100, position: tuple[float, int] = START, **query: Any) -> KeptPage:
    found: KeptPage = world.wait(world.spool.kept.page(KeptQuery(**query), position, limit))
    return found


def ids(world: World, **query: Any) -> list[int]:
    return [kept.message.id for kept in page(world, **query).found]


@pytest.mark.parametrize("content", [b"Subject: small\r\n\r\nbody\r\n", LARGE])
def test_what_was_delivered_is_kept_whole(net: World, content: bytes) -> None:
    parameters, origin = MailParameters(body="8BITMIME", envid="x"), Origin(connector="IP_Relay", client="192.0.2.7", user="u@x")
    message = net.message(content, recipients=2, parameters=parameters, origin=origin)
    message.recipients[1].parameters = RcptParameters(frozenset({"NEVER"}))
    net.wait(net.spool.store(message))
    net.reactor.advance(50)
    net.wait(net.spool.record(message, deliver(message.recipients[0])))
    assert ids(net) == []
    (loaded,) = net.load(message.id)  # what was delivered before is not in memory any more
    for recipient in loaded.recipients:
        recipient.last_remote = TOOK
    net.wait(net.spool.record(loaded, deliver(*loaded.recipients)))
    assert net.count() == 0
    net.close()
    (kept,) = page(net).found
    assert kept.delivered_at == 50.0
    found = kept.message
    assert (found.id, found.parameters, found.origin, found.sender) == (message.id, parameters, origin, message.sender)
    assert [(each.address, each.parameters, each.state) for each in found.recipients] == [
        (each.address, each.parameters, RecipientState.DELIVERED) for each in message.recipients
    ]
    assert found.recipients[1].last_remote == TOOK
    assert net.content(found) == content


@pytest.mark.parametrize("at", [1_763_820_000.1234565, 1_763_820_000.1234568, 1_763_820_000.9999996])
def test_who_reads_on_behind_a_time_that_was_shown_misses_nothing(net: World, at: float) -> None:
    """What is shown has microseconds; of many that were delivered at the same time none is behind a rounded one."""
    messages = [delivered(net, at=at) for _ in range(3)]
    first = page(net, limit=1).found[0]
    shown = datetime.datetime.fromtimestamp(first.delivered_at, datetime.UTC).isoformat()
    position = datetime.datetime.fromisoformat(shown).timestamp(), first.message.id
    assert [kept.message.id for kept in page(net, position=position).found] == [message.id for message in messages[1:]]


def test_nothing_is_kept_where_it_is_off(world: World) -> None:
    delivered(world, LARGE)
    assert ids(world) == []
    world.close()  # files are removed in their own time
    assert world.bodies() == []


def test_only_what_somebody_got_is_kept_and_only_for_those(net: World) -> None:
    failed, mixed, report = net.store(), net.store(recipients=3), net.store(origin=Origin("DSN"))
    again = net.store(origin=Origin("SAFETYNET"))
    report.sender = NULL
    failed.recipients[0].state = RecipientState.FAILED
    net.wait(net.spool.record(failed, ()))
    mixed.recipients[0].state = RecipientState.FAILED
    mixed.recipients[2].state = RecipientState.REMOVED
    net.wait(net.spool.record(mixed, deliver(mixed.recipients[1])))
    for each in (report, again):
        net.wait(net.spool.record(each, deliver(*each.recipients)))
    (kept,) = page(net).found
    assert kept.message.id == mixed.id
    assert [each.index for each in kept.message.recipients] == [1]


def test_kept_messages_are_found_by_time_recipient_and_next_hop(net: World) -> None:
    early, late = delivered(net, at=100.0), delivered(net, recipients=2, at=200.0)
    assert ids(net) == [early.id, late.id]
    assert ids(net, start=150.0) == [late.id]
    assert ids(net, end=200.0) == [early.id]
    assert ids(net, recipient="R1@Example.com") == [late.id]
    assert ids(net, recipient="example.com") == ids(net, recipient="@example.com") == [early.id, late.id]
    assert ids(net, recipient="nobody@example.com") == []
    for next_hop in ("MX.example.com", "192.0.2.1", TOOK, "example.com"):
        assert ids(net, next_hop=next_hop) == [early.id, late.id]
    assert ids(net, next_hop="192.0.2.2") == []
    (kept,) = page(net, recipient="r1@example.com").found
    assert [each.address.text for each in kept.message.recipients] == ["r1@example.com"]


def test_a_walk_meets_each_message_once(net: World) -> None:
    made = [delivered(net, at=100.0 + number // 3).id for number in range(10)]
    met: list[Kept] = []
    position: tuple[float, int] | None = START
    for _ in itertools.count():
        assert position is not None
        found = page(net, 3, position)
        met += found.found
        position = found.position
        if position is None:
            break
    assert [kept.message.id for kept in met] == made


def test_the_oldest_are_removed_with_all_that_is_theirs(net: World) -> None:
    small, large, young = delivered(net, at=100.0), delivered(net, LARGE, at=101.0), delivered(net, LARGE, at=200.0)
    assert len(net.bodies()) == 2
    assert net.wait(net.spool.kept.purge(150.0, 1)) == 1
    assert ids(net) == [large.id, young.id]
    assert net.wait(net.spool.kept.purge(150.0, 10)) == 1
    assert net.wait(net.spool.kept.purge(150.0, 10)) == 0
    assert ids(net) == [young.id]
    net.close()
    assert ids(net) == [young.id]
    assert len(net.bodies()) == 1
    assert small.id


def test_a_start_leaves_kept_files_alone(net: World) -> None:
    delivered(net, LARGE)
    net.close()
    (kept,) = page(net).found
    assert net.content(kept.message) == LARGE


def test_content_of_a_message_that_waits_is_no_concern_of_the_purge(net: World) -> None:
    waiting = net.store(recipients=2)
    net.wait(net.spool.record(waiting, [*deliver(waiting.recipients[0]), *defer(1e9, waiting.recipients[1])]))
    assert net.wait(net.spool.kept.purge(1e10, 10)) == 0
    assert net.content(net.load(waiting.id)[0])
