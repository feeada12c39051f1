"""What is forgotten."""

from __future__ import annotations

from twisted.internet.task import Clock

from twistedrelay.routing.memory import Bounded, Expiring


def test_what_came_first_goes_first() -> None:
    memory: Bounded[str, int] = Bounded(2)
    assert [memory.keep(name, number) for number, name in enumerate("abc")] == [0, 1, 2]
    assert memory == {"b": 1, "c": 2}


def test_a_known_key_pushes_nothing_out() -> None:
    memory: Bounded[str, int] = Bounded(2)
    for name in "abab":
        memory.keep(name, 1)
    assert set(memory) == {"a", "b"}


def test_an_entry_is_good_until_its_time() -> None:
    clock = Clock()
    memory: Expiring[str, int] = Expiring(clock, 10)
    memory.put("short", 1, 5.0)
    memory.put("long", 2, 50.0)
    memory.put("over", 3, 0.0)
    assert (memory.get("short"), memory.get("long"), memory.get("over")) == (1, 2, None)
    clock.advance(5)
    assert (memory.get("short"), memory.get("long"), len(memory)) == (None, 2, 1)
    memory.forget("long")
    memory.forget("long")
    assert memory.get("long") is None


def test_what_was_used_least_lately_goes_first() -> None:
    memory: Expiring[str, int] = Expiring(Clock(), 3)
    for number, name in enumerate("abc"):
        memory.put(name, number, 10.0)
    memory.get("a")
    memory.put("b", 7, 10.0)
    memory.put("d", 3, 10.0)
    assert [memory.get(name) for name in "abcd"] == [0, 7, None, 3]


def test_a_value_that_is_over_takes_the_old_one_with_it() -> None:
    memory: Expiring[str, int] = Expiring(Clock(), 3)
    memory.put("a", 1, 10.0)
    memory.put("a", 2, 0.0)
    assert memory.get("a") is None
