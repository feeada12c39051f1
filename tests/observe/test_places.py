"""Places at the control socket."""

from __future__ import annotations

from twistedrelay.observe.places import Places


class Guest:
    """A connection that waits for its client since then."""

    def __init__(self, since: float | None) -> None:
        self.since = since
        self.evicted = False

    def waiting_since(self) -> float | None:
        return self.since

    def evict(self) -> None:
        self.evicted = True


def test_who_has_waited_longest_makes_room() -> None:
    places, guests = Places(2, 1), [Guest(3.0), Guest(1.0), Guest(2.0), Guest(None), Guest(None), Guest(5.0)]
    assert places.enter(guests[0], False) and places.enter(guests[1], False)
    assert places.enter(guests[2], False)
    assert [guest.evicted for guest in guests] == [False, True, False, False, False, False]
    assert places.enter(guests[3], False) and places.enter(guests[4], False)
    assert [guest.evicted for guest in guests] == [True, True, True, False, False, False]
    assert not places.enter(guests[5], False)  # the daemon works for all of them
    assert places.enter(guests[5], True)
    places.leave(guests[4])
    assert len(places) == 2
    assert places.enter(Guest(9.0), False)
