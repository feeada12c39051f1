"""What is in force of what administrators say at the same time, of which not all can be kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.orders import Orders
from twistedrelay.values.reply import LOCAL_ERROR

WHAT = st.sampled_from(("a", "b", None))


@given(WHAT, st.lists(st.tuples(WHAT, st.booleans()), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_latest_that_was_not_refused_is_in_force(first: str | None, said: list[tuple[str | None, bool]], chance: object) -> None:
    """In whichever order they are answered."""
    now: dict[str, str | None] = {}
    keeping: list[Deferred[None]] = []
    orders: Orders[str, str] = Orders(now.__setitem__, lambda queue, what: keeping.append(Deferred()) or keeping[-1])  # type: ignore[func-returns-value]
    orders.put("q", first)
    failures: list[object] = []
    for what, _ in said:
        orders.give("q", what).addErrback(lambda failure: failures.append(failure.value))
        assert now == {"q": what}
    answered = list(range(len(said)))
    chance.shuffle(answered)  # type: ignore[attr-defined]
    for number in answered:
        if said[number][1]:
            keeping[number].callback(None)
        else:
            keeping[number].errback(SpoolError("disk full", LOCAL_ERROR))
    assert now == {"q": next((what for what, kept in reversed(said) if kept), first)}
    assert len(failures) == sum(not kept for _, kept in said)
    assert all(isinstance(each, SpoolError) for each in failures)


def test_queues_are_apart_and_nothing_is_in_force_at_first() -> None:
    now: dict[str, str | None] = {}
    waiting: Deferred[None] = Deferred()
    orders: Orders[str, str] = Orders(now.__setitem__, lambda queue, what: waiting)
    orders.put("other", "x")
    orders.give("q", "a").addErrback(lambda failure: failure.trap(SpoolError))
    waiting.errback(SpoolError("disk full", LOCAL_ERROR))
    assert now == {"other": "x", "q": None}


def test_what_is_dropped_meanwhile_comes_back_by_no_refusal() -> None:
    now: dict[str, str | None] = {}
    waiting: Deferred[None] = Deferred()
    orders: Orders[str, str] = Orders(now.__setitem__, lambda queue, what: waiting)
    orders.put("a", "one")
    orders.give("a", "two").addErrback(lambda failure: failure.trap(SpoolError))
    orders.drop("a")
    now.clear()
    waiting.errback(SpoolError("the disk is gone", LOCAL_ERROR))
    assert now == {}
