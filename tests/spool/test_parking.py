"""Messages that wait on disk for a lane, that are set aside, and small texts that are kept."""

from __future__ import annotations

import math

import pytest

from tests.spool.world import World, defer, deliver
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.envelope import MailParameters, Message, MessageStatus, Origin


def _sent_by(world: World, user: str, count: int, priority: int | None = None) -> list[int]:
    origin, parameters = Origin(user=user, connector="Client Frontend"), MailParameters(priority=priority)
    return [world.store(origin=origin, parameters=parameters).id for _ in range(count)]


def _due(world: World, before: float = math.inf) -> list[tuple[float, int]]:
    found: list[tuple[float, int]] = world.wait(world.spool.due(before, 1000))
    return found


def _parked(world: World, lane: str = "hop", limit: int = 100) -> list[int]:
    found: dict[str, list[int]] = world.wait(world.spool.parked({lane: limit}))
    return found[lane]


def test_parked_messages_are_due_at_their_time_and_found_by_their_lane(world: World) -> None:
    first, second, third = (world.store().id for _ in range(3))
    world.wait(world.spool.park([first, third], "hop", 500.0))
    assert _due(world) == [(0.0, second), (500.0, first), (500.0, third)]
    assert _parked(world) == [first, third]
    assert _parked(world, limit=1) == [first]
    assert _parked(world, "another") == []
    assert world.wait(world.spool.parked_lanes()) == [("hop", 2)]
    world.close()
    assert _parked(world) == [first, third]


def test_many_lanes_are_read_at_once(world: World) -> None:
    ids = [world.store().id for _ in range(6)]
    world.wait(world.spool.park(ids[:3], "hop", 500.0))
    world.wait(world.spool.park(ids[3:5], "other", 500.0))
    found = world.wait(world.spool.parked({"other": 5, "hop": 2, "none": 3}))
    assert found == {"other": ids[3:5], "hop": ids[:2], "none": []}


def test_what_happens_to_a_message_ends_its_being_parked(world: World) -> None:
    first, second, third = (world.store() for _ in range(3))
    world.wait(world.spool.park([first.id, second.id, third.id], "hop", 500.0))
    world.wait(world.spool.record(first, defer(70.0, *first.recipients)))
    world.wait(world.spool.record(second, deliver(*second.recipients)))
    world.wait(world.spool.park([third.id], "", 0.0))
    assert _parked(world) == []
    assert world.wait(world.spool.parked_lanes()) == []
    assert _due(world) == [(0.0, third.id), (70.0, first.id)]


@pytest.mark.parametrize("parked_last", [True, False])
def test_in_one_transaction_the_last_word_counts(world: World, parked_last: bool) -> None:
    message = world.store()
    outcomes = defer(70.0, *message.recipients)
    steps = [lambda: world.spool.record(message, outcomes), lambda: world.spool.park([message.id], "hop", 500.0)]
    waiting = [step() for step in (steps if parked_last else reversed(steps))]
    for each in waiting:
        world.wait(each)
    assert _parked(world) == ([message.id] if parked_last else [])
    assert _due(world) == [(500.0 if parked_last else 70.0, message.id)]


def test_senders_have_their_turn_and_urgent_messages_come_first(world: World) -> None:
    flood = _sent_by(world, "flood@x", 30)
    quiet = _sent_by(world, "quiet@x", 2)
    urgent = _sent_by(world, "flood@x", 1, priority=5)
    slow = _sent_by(world, "quiet@x", 1, priority=-3)
    world.wait(world.spool.park(flood + quiet + urgent + slow, "hop", 500.0))
    found = _parked(world, limit=10)
    assert found[0] == urgent[0]
    assert set(quiet) < set(found)
    assert [number for number in found if number in flood] == flood[:7]
    assert _parked(world) == [*urgent, *sorted(flood[:30] + quiet, key=_parked(world).index), *slow]
    assert len(_parked(world)) == 34


def test_more_senders_than_asked_for_have_their_turn_one_after_the_other(world: World) -> None:
    sent = {user: _sent_by(world, user, 2) for user in "abcde"}
    world.wait(world.spool.park([number for numbers in sent.values() for number in numbers], "hop", 500.0))
    served: list[int] = []
    while found := _parked(world, limit=2):
        served += found
        world.wait(world.spool.park(found, "", 0.0))
    of = {number: user for user, numbers in sent.items() for number in numbers}
    assert "".join(of[number] for number in served) == "abcdeabcde"


def test_clients_without_login_are_told_apart_by_their_address(world: World) -> None:
    def from_client(client: str, count: int) -> list[int]:
        return [world.store(origin=Origin(connector="IP_Relay", client=client)).id for _ in range(count)]

    flood, quiet = from_client("192.0.2.1", 5), from_client("192.0.2.2", 1)
    world.wait(world.spool.park(flood + quiet, "hop", 500.0))
    assert set(_parked(world, limit=2)) == {flood[0], quiet[0]}


def test_messages_set_aside_are_never_due(world: World) -> None:
    suspended, poison, parked, normal = (world.store().id for _ in range(4))
    world.wait(world.spool.park([parked], "hop", 500.0))
    assert world.wait(world.spool.set_status([suspended, parked, 999], MessageStatus.SUSPENDED)) == 2
    assert world.wait(world.spool.set_status([poison], MessageStatus.POISON, 2)) == 1
    assert _due(world) == [(0.0, normal)]
    assert _parked(world) == []
    world.close()
    assert _due(world) == [(0.0, normal)]
    states = [(each.status, each.failures) for each in world.load(suspended, poison, parked, normal)]
    assert states == [
        (MessageStatus.SUSPENDED, 0),
        (MessageStatus.POISON, 2),
        (MessageStatus.SUSPENDED, 0),
        (MessageStatus.NORMAL, 0),
    ]
    assert [each.status for each in world.wait(world.spool.browse(10)).messages][1] is MessageStatus.POISON


def test_what_takes_part_again_is_due_at_once(world: World) -> None:
    message = world.store(recipients=2)
    world.wait(world.spool.record(message, [*defer(900.0, message.recipients[0]), *deliver(message.recipients[1])]))
    held = world.store(parameters=MailParameters(hold_until=5000.0))
    both = [message.id, held.id]
    world.wait(world.spool.set_status(both, MessageStatus.SUSPENDED, 1))
    assert world.wait(world.spool.set_status(both, MessageStatus.NORMAL, 0)) == 2
    assert _due(world) == [(0.0, message.id), (5000.0, held.id)]
    loaded, other = world.load(*both)
    assert [(each.index, each.next_attempt) for each in loaded.recipients] == [(0, 0.0)]
    assert (loaded.status, loaded.failures) == (MessageStatus.NORMAL, 0)
    assert other.recipients[0].next_attempt == 5000.0


def test_a_record_does_not_bring_back_what_was_set_aside(world: World) -> None:
    message = world.store()
    world.wait(world.spool.set_status([message.id], MessageStatus.SUSPENDED))
    world.wait(world.spool.record(message, defer(70.0, *message.recipients)))
    world.wait(world.spool.park([message.id], "hop", 500.0))
    assert _due(world) == []
    assert _parked(world) == []


def test_content_set_aside_is_kept_over_a_restart(world: World) -> None:
    large: Message = world.store(b"l" * 200_000)
    world.wait(world.spool.set_status([large.id], MessageStatus.SUSPENDED))
    world.close()
    assert _due(world) == []
    assert len(world.bodies()) == 1
    world.wait(world.spool.set_status([large.id], MessageStatus.NORMAL))
    assert world.content(world.load(large.id)[0]) == b"l" * 200_000


def test_texts_are_kept_until_they_are_forgotten(world: World) -> None:
    for text in ("until noon", "until night"):
        world.wait(world.spool.remember("queue:hop", text))
    world.wait(world.spool.remember("queue:other", "for ever"))
    world.close()
    assert world.wait(world.spool.remembered()) == {"queue:hop": "until night", "queue:other": "for ever"}
    world.wait(world.spool.remember("queue:other", None))
    assert world.wait(world.spool.remembered()) == {"queue:hop": "until night"}


def test_nothing_is_said_to_be_done_to_what_ends_in_the_same_transaction(world: World) -> None:
    one, two, three = (world.store() for _ in range(3))
    spool = world.spool
    writer = spool._writer
    with writer._condition:  # so that all of it is one batch
        before = spool.set_status([one.id, two.id], MessageStatus.SUSPENDED)
        spool.record(one, deliver(*one.recipients))
        behind = spool.set_status([one.id, three.id], MessageStatus.SUSPENDED)
        redirected = spool.redirect([one.id, three.id], "other.example")
    assert [world.wait(each) for each in (before, behind, redirected)] == [2, 1, 1]


def test_nothing_is_changed_behind_the_end(world: World) -> None:
    message = world.store()
    spool = world.spool
    world.close()
    for refused in (
        spool.park([message.id], "hop", 1.0),
        spool.set_status([message.id], MessageStatus.SUSPENDED),
        spool.remember("a", "b"),
        spool.parked({"hop": 1}),
    ):
        with pytest.raises(SpoolError):
            world.wait(refused)


def test_failures_are_recorded_with_the_result_and_poison_is_never_due(world: World) -> None:
    message = world.store()
    message.failures = 1
    message.status = MessageStatus.SUSPENDED  # as it stands in memory only
    world.wait(world.spool.record(message, defer(70.0, *message.recipients)))
    (loaded,) = world.load(message.id)
    assert (loaded.status, loaded.failures) == (MessageStatus.NORMAL, 1)
    message.failures, message.status = 2, MessageStatus.POISON
    world.wait(world.spool.record(message, defer(80.0, *message.recipients)))
    (loaded,) = world.load(message.id)
    assert (loaded.status, loaded.failures) == (MessageStatus.POISON, 2)
    assert _due(world) == []
    assert world.wait(world.spool.statuses()) == {MessageStatus.POISON: 1}


def test_all_that_waits_is_read_page_by_page(world: World) -> None:
    ids = [world.store().id for _ in range(7)]
    world.wait(world.spool.park(ids[::2], "hop", 500.0))
    position, found = (-math.inf, 0), []
    while page := world.wait(world.spool.waiting(position, 2)):
        position = page[-1][:2]
        found += page
    assert found == [*((0.0, number, "") for number in ids[1::2]), *((500.0, number, "hop") for number in ids[::2])]


def test_a_change_of_nothing_comes_behind_all_that_was_said_before(world: World) -> None:
    message = world.store()
    parking = world.spool.park([message.id], "hop", 500.0)
    world.wait(world.spool.park((), "", 0.0))
    assert parking.called
    assert _parked(world) == [message.id]
