"""Pages of messages: bookmarks, terms, bounds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.spool.world import World
from twistedrelay.spool import browsing
from twistedrelay.values.browsing import EVERYTHING, MessageQuery, Term
from twistedrelay.values.envelope import MessageStatus


def ids(world: World, query: MessageQuery = EVERYTHING, limit: int = 2) -> list[int]:
    """All of them, by pages."""
    found: list[int] = []
    after: int | None = None
    while True:
        page = world.wait(world.spool.browse(limit, after, query))
        found += [message.id for message in page.messages]
        if page.position is None:
            return found
        after = page.position


def test_pages_go_on_behind_their_bookmarks_in_both_directions(world: World) -> None:
    stored = [world.store(b"content %d" % number).id for number in range(7)]
    assert ids(world) == stored
    assert ids(world, MessageQuery(backwards=True)) == stored[::-1]
    page = world.wait(world.spool.browse(3))
    world.store(b"later")
    rest = world.wait(world.spool.browse(100, page.position))
    assert len(page.messages) + len(rest.messages) == 8
    assert rest.position is None


@pytest.mark.parametrize("scan", [1, 2, 3, 100])
def test_a_page_looks_at_so_many_messages_only_and_may_be_empty(world: World, scan: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "SCAN", scan)
    stored = [world.store(b"x" * (number + 1)).id for number in range(6)]
    big = MessageQuery((Term("size", "gt", 4),))
    assert ids(world, big, 10) == [number for number, size in zip(stored, range(1, 7), strict=True) if size > 4]
    first = world.wait(world.spool.browse(10, None, big))
    assert (first.messages == [] and first.position == stored[scan - 1]) if scan < 4 else first.position is None
    assert ids(world, MessageQuery((Term("size", "gt", 4),), backwards=True), 10) == stored[:3:-1]


def test_a_page_ends_where_its_messages_have_many_recipients(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "RECIPIENTS", 1)
    stored = [world.store(b"content").id for _ in range(3)]
    assert len(world.wait(world.spool.browse(100)).messages) == 1
    assert ids(world, limit=100) == stored


def test_terms(world: World) -> None:
    stored = [world.store(b"content").id for _ in range(3)]
    world.wait(world.spool.set_status(stored[:1], MessageStatus.SUSPENDED))
    assert ids(world, MessageQuery((Term("status", "eq", 1),))) == stored[:1]
    for backwards in (False, True):
        for operator, found in (("eq", stored[1:2]), ("ge", stored[1:]), ("gt", stored[2:]), ("le", stored[:2]), ("lt", stored[:1])):
            query = MessageQuery((Term("id", operator, stored[1]),), backwards)  # type: ignore[arg-type]
            assert sorted(ids(world, query)) == found
    sender = world.wait(world.spool.browse(1)).messages[0].sender.text
    for value, operator in ((sender.upper(), "eq"), ("*" + sender[2:].upper(), "like"), (sender[:-1] + "?", "like")):
        assert ids(world, MessageQuery((Term("sender", operator, value),))) == stored  # type: ignore[arg-type]
    assert ids(world, MessageQuery((Term("sender", "like", "%"),))) == []
    assert ids(world, MessageQuery((Term("sender", "eq", "nobody@x"),))) == []
    with pytest.raises(ValueError, match="no column"):
        browsing._condition(Term("1=1; --", "eq", 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("scan", [1, 2, 3, 100])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_recipient_is_looked_for_in_bounded_pages(world: World, scan: int, backwards: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "SCAN_RECIPIENTS", scan)
    to_two = [world.store(b"content", 2).id for _ in range(3)]
    everybody = sorted([*to_two, world.store(b"content").id], reverse=backwards)
    for operator, value, found in (
        ("eq", "R0@example.com", everybody),
        ("like", "*0@EXAMPLE.*", everybody),
        ("eq", "r1@example.com", sorted(to_two, reverse=backwards)),
        ("like", "nobody*", []),
    ):
        assert ids(world, MessageQuery((Term("recipient", operator, value),), backwards), 10) == found  # type: ignore[arg-type]
    assert (world.wait(world.spool.browse(10, None, MessageQuery((Term("recipient", "eq", "x"),)))).position is None) is (scan == 100)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_value(world: World, text: str) -> None:
    text = text.encode("utf-8", "replace").decode().replace("\0", "")
    for operator in ("eq", "like", "gt"):
        world.wait(world.spool.browse(1, None, MessageQuery((Term("message_id", operator, text),))))  # type: ignore[arg-type]


def test_a_redirect_is_kept_with_the_message_and_makes_it_due(world: World) -> None:
    one, poison = world.store(b"one"), world.store(b"two")
    world.wait(world.spool.set_status([poison.id], MessageStatus.POISON))
    assert world.wait(world.spool.redirect([one.id, poison.id, 999], "[10.0.0.9]:2525")) == 1
    world.close()
    (loaded,) = world.load(one.id)
    assert loaded.redirect == "[10.0.0.9]:2525"
    assert world.wait(world.spool.due(0.0, 10)) == [(0.0, one.id)]
    assert world.wait(world.spool.redirect([one.id], "")) == 1
    assert world.load(one.id)[0].redirect == ""


def test_a_status_is_set_of_those_of_a_status_only(world: World) -> None:
    stored = [world.store(b"content").id for _ in range(3)]
    world.wait(world.spool.set_status(stored[:1], MessageStatus.POISON))
    assert world.wait(world.spool.set_status(stored, MessageStatus.SUSPENDED, None, MessageStatus.NORMAL)) == 2
    found = world.wait(world.spool.browse(10)).messages
    assert [message.status for message in found] == [MessageStatus.POISON, MessageStatus.SUSPENDED, MessageStatus.SUSPENDED]
    assert world.wait(world.spool.set_status(stored, MessageStatus.NORMAL, 0, MessageStatus.SUSPENDED)) == 2
    assert world.wait(world.spool.due(0.0, 10)) == [(0.0, number) for number in stored[1:]]
