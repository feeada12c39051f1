"""Who may be connected to the control socket, or to the listener for monitoring, when many are.

It decides who makes room: of those who wait for nothing but their client (for a request, for the rest of one, or for it to read the answer)
the one that has done so for the longest time.  At the control socket root and the relay's own user have places that nobody else takes, so
that an administrator always gets in.  How long a connection may wait where there is room is not decided here.
"""

from __future__ import annotations

from typing import Protocol

#: Connections at a time, and those of root and the relay's own user besides: more than there can be streams.
MOST = 64
RESERVED = 32


class Guest(Protocol):
    """A connection."""

    def waiting_since(self) -> float | None:
        """Since when it waits for its client; None while the daemon works for it."""

    def evict(self) -> None:
        """End it, at once."""


class Places:
    """See the module."""

    def __init__(self, most: int = MOST, reserved: int = RESERVED) -> None:
        self._most = {False: most, True: reserved}
        self._taken: dict[bool, set[Guest]] = {False: set(), True: set()}

    def __len__(self) -> int:
        return sum(map(len, self._taken.values()))

    def enter(self, guest: Guest, privileged: bool) -> bool:
        """Take a place, where there is one or one can be made."""
        taken = self._taken[privileged]
        if len(taken) >= self._most[privileged]:
            waiting = [(since, other) for other in taken if (since := other.waiting_since()) is not None]
            if not waiting:
                return False
            _, last = min(waiting, key=lambda found: found[0])
            taken.discard(last)
            last.evict()
        taken.add(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """Give it back."""
        for taken in self._taken.values():
            taken.discard(guest)
