"""Tests for L{twistedrelay.observe.webhooks.hook}: what an answer means, how often an event comes again, and what is dropped."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twistedrelay.observe.webhooks.hook import FIRST_PAUSE, LIFETIME, LIMIT, LONGEST_PAUSE, Answer, Hook

KEY = b"a-secret-of-more-than-24-octets"


class World:
    """A webhook and its server, which answers when it is told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.requests: list[tuple[int, dict[str, str], Deferred[Answer]]] = []
        self.reports: list[tuple[str, str]] = []
        self.hook = Hook("Desk", KEY, self.post, self.clock, lambda level, text: self.reports.append((level, text)), lambda: 0.0)

    def post(self, body: bytes, fields: dict[str, str]) -> Deferred[Answer]:
        answer: Deferred[Answer] = Deferred()
        self.requests.append((json.loads(body)["n"], fields, answer))
        return answer

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.hook.add({"id": f"evt_{number}", "n": number})
        self.clock.advance(0)

    def answer(self, status: int, retry_after: float = 0.0) -> None:
        self.requests[-1][2].callback(Answer(status, retry_after))
        self.clock.advance(0)

    @property
    def sent(self) -> list[int]:
        return [number for number, _, _ in self.requests]


def test_one_at_a_time_and_in_order() -> None:
    world = World()
    world.add(1, 2, 3)
    assert world.sent == [1]
    for _ in range(3):
        world.answer(204)
    assert world.sent == [1, 2, 3]
    assert (world.hook.delivered, world.hook.waiting, world.hook.last_error) == (3, 0, "")
    assert world.clock.getDelayedCalls() == []


def test_nothing_is_sent_by_who_adds() -> None:
    world = World()
    world.hook.add({"id": "evt_1", "n": 1})
    assert world.sent == []


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429])
def test_a_server_that_is_not_well_rests_longer_each_time(status: int) -> None:
    world = World()
    world.add(1, 2)
    for attempt in range(4):
        world.answer(status)
        world.clock.advance(FIRST_PAUSE * 2**attempt - 0.01)
        assert len(world.requests) == attempt + 1
        world.clock.advance(0.01)
        assert len(world.requests) == attempt + 2
    assert [text for _, text in world.reports] == [f"the webhook Desk takes no events: it answers {status}"]
    world.answer(200)
    world.answer(200)
    assert (world.hook.delivered, world.hook.failures) == (2, 4)
    assert world.reports[-1][0] == "info"


def test_no_answer_is_like_it_and_events_keep_their_order() -> None:
    world = World()
    world.add(1, 2)
    world.requests[-1][2].errback(ValueError("no answer within 10 seconds"))
    assert world.hook.last_error == "no answer within 10 seconds"
    world.clock.advance(FIRST_PAUSE)
    world.answer(200)
    assert world.sent == [1, 1, 2]


def test_retry_after_is_kept_within_bounds() -> None:
    world = World()
    world.add(1)
    world.answer(503, 120.0)
    world.clock.advance(119)
    assert world.sent == [1]
    world.clock.advance(1)
    world.answer(503, 10 * LONGEST_PAUSE)
    world.clock.advance(LONGEST_PAUSE)
    assert world.sent == [1, 1, 1]


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404])
def test_an_event_that_is_refused_does_not_hold_up_others(status: int) -> None:
    world = World()
    world.add(1, 2)
    world.answer(status)
    assert world.sent == [1, 2]
    world.answer(200)
    world.clock.advance(FIRST_PAUSE)
    assert world.sent == [1, 2, 1]


def test_refusals_are_told_once_too() -> None:
    world = World()
    world.add(1, 2, 3, 4, 5)
    for _ in range(4):
        world.answer(401)
    assert [text for _, text in world.reports] == ["the webhook Desk takes no events: it answers 401"]
    world.answer(200)
    assert [level for level, _ in world.reports] == ["warn", "info"]


def test_an_event_is_given_up_after_a_day() -> None:
    world = World()
    world.add(1)
    while world.hook.waiting and world.clock.seconds() < 2 * LIFETIME:
        world.answer(400)
        for call in world.clock.getDelayedCalls()[:1]:
            world.clock.advance(call.getTime() - world.clock.seconds())
    assert (world.hook.given_up, world.hook.waiting) == (1, 0)
    assert world.clock.seconds() <= LIFETIME
    assert len(world.requests) < 60


def test_gone_is_the_end() -> None:
    world = World()
    world.add(1, 2)
    world.answer(410)
    world.add(3)
    assert (world.sent, world.hook.gone, world.hook.dropped) == ([1], True, 3)
    assert world.reports[0][0] == "error"


def test_the_oldest_are_dropped_and_told_once() -> None:
    world = World()
    world.add(*range(LIMIT + 10))
    assert (world.hook.dropped, world.hook.waiting) == (10, LIMIT)
    assert len(world.reports) == 1
    world.answer(200)
    assert world.sent == [10, 11]
    assert world.reports[-1] == ("info", "the webhook Desk takes events again; events that were dropped so far: 10")


def test_the_signature_is_made_for_each_request_anew() -> None:
    world = World()
    world.add(1)
    world.answer(500)
    world.clock.advance(FIRST_PAUSE)
    first, second = (fields for _, fields, _ in world.requests)
    assert first["webhook-id"] == second["webhook-id"] == "evt_1"
    assert first["webhook-timestamp"] == "0"
    assert second["webhook-timestamp"] == "1"
    assert first["webhook-signature"] != second["webhook-signature"]


def stopped(world: World, seconds: float = 10.0) -> list[object]:
    done: list[object] = []
    world.hook.stop(seconds).addCallback(done.append)
    world.clock.advance(0)
    return done


def test_at_the_end_what_waits_is_tried_at_once() -> None:
    world = World()
    world.add(1, 2)
    world.answer(503)
    done = stopped(world)
    assert world.sent == [1, 1]
    world.answer(200)
    world.answer(200)
    assert (world.sent, done, world.hook.dropped) == ([1, 1, 2], [None], 0)
    assert world.clock.getDelayedCalls() == []
    world.hook.add({"id": "evt_3", "n": 3})
    assert world.clock.getDelayedCalls() == []


def test_at_the_end_nobody_is_asked_twice() -> None:
    world = World()
    world.add(1, 2)
    done = stopped(world)
    world.answer(503)
    assert (done, world.hook.dropped) == ([None], 2)
    assert "2 events were not taken before the end" in world.reports[-1][1]


def test_the_end_comes_in_time() -> None:
    world = World()
    world.add(1, 2)
    done = stopped(world, 5.0)
    world.clock.advance(5.0)
    assert (done, world.hook.dropped) == ([None], 2)
    assert world.clock.getDelayedCalls() == []


def test_a_request_that_fails_when_the_end_is_over_is_lost_once() -> None:
    world = World()
    post = world.hook._post
    world.hook._post = lambda body, fields: post(body, fields).addErrback(lambda _: Failure(ValueError("no answer within 10 seconds")))
    world.add(1)
    assert stopped(world, 5.0) == []
    world.clock.advance(5.0)
    assert world.hook.dropped == 1
    assert [text for _, text in world.reports] == ["the webhook Desk: 1 events were not taken before the end"]


def test_without_events_the_end_is_there_at_once() -> None:
    assert stopped(World()) == [None]


def test_a_test_goes_beside_the_queue() -> None:
    world = World()
    world.add(1)
    found: list[Answer] = []
    world.hook.test({"id": "evt_t", "n": 99}).addCallback(found.append)
    assert world.sent == [1, 99]
    world.answer(200)
    assert (found[0].status, world.hook.delivered) == (200, 0)
