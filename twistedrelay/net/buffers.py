"""How much of what peers sent is held in memory, in all sessions together, and what happens when it is too much.

A session tells what it holds whenever that changes.  Above C{max_buffered_size} nobody may begin a message (452), and whoever holds
more than a little is not read from, until three quarters of the limit are reached; who still holds the most then, after some seconds in
which nothing helped, is sent away.  It never looks at what is held.
"""

from __future__ import annotations

from collections.abc import Callable

#: What a session may hold all the same: the commands that a client sends at once.
FEW = 4096

#: Seconds that sessions which hold too much in all have to become less.
PATIENCE = 5.0


class Buffers:
    """See the module.

    @ivar limit: C{server.max_buffered_size}.
    @ivar used: octets held now.
    @ivar full: whether the limit was reached; it stays so until L{low} is.
    @ivar on_change: called when C{full} changed.
    """

    __slots__ = ("full", "limit", "low", "on_change", "since", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.low = limit * 3 // 4
        self.used = 0
        self.full = False
        self.since = 0.0  # when it became full, by the first sweep that saw it
        self.on_change: Callable[[], None] = _nothing

    def change(self, limit: int) -> None:
        """Another limit."""
        self.limit = limit
        self.low = limit * 3 // 4
        self.add(0)

    def add(self, change: int) -> None:
        """A session holds so many octets more (or, where it is negative, less)."""
        used = self.used = self.used + change
        if self.full:
            if used <= self.low:
                self.full = False
                self.since = 0.0
                self.on_change()
        elif used > self.limit:
            self.full = True
            self.on_change()

    def is_stuck(self, now: float) -> bool:
        """Whether waiting did not help.  To be asked again and again while it is full."""
        if not self.since:
            self.since = now
        return now - self.since >= PATIENCE


def _nothing() -> None:
    """Nobody wants to know."""
