"""What the next hop's answers say about how much it can bear.

A window of runs grows by 1/N with each delivery and shrinks by 1/N with each sign of overload, N being its size: a window's worth of good
news for one more, and the other way round.  The two are kept apart, and what counts on one side is forgotten when the other moves the
window, so that it does not swing; the first bad sign behind growth acts at once.  Nothing here knows a clock or a connection.

The idea of 1/N feedback with hysteresis is Postfix's (SCHEDULER_README).  Sources of the replies: RFC 3463 section 3.8 (4.7.x), Exchange
Online ("432 4.3.2 Concurrent connections limit exceeded"), RFC 5321 section 4.2.1 (421).
"""

from __future__ import annotations

from twistedrelay.values.reply import Reply

INITIAL = 5  #: runs that a next hop gets before anything is known of it


def slows_down(reply: Reply) -> bool:
    """Whether a reply asks for less, rather than being about a message."""
    if reply.code == 432:
        return True
    return reply.code in (421, 450, 451) and (reply.enhanced == "4.3.2" or reply.enhanced.startswith("4.7."))


def is_firm(reply: Reply) -> bool:
    """Whether a reply that asks for less is never about one message alone (greylisting says 450 or 451 with 4.7.x)."""
    return reply.code != 450 and (reply.code != 451 or reply.enhanced == "4.3.2")


class Window:
    """How many runs there may be.

    @ivar limit: the most.
    @ivar size: now.
    """

    __slots__ = ("_gain", "_patience", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = min(INITIAL, limit)
        self._gain = 0.0
        self._patience = 0.0

    @property
    def for_many(self) -> int:
        """How many of them mail to many recipients may have, so that other mail finds a free one."""
        return self.size - max(1, self.size // 8) if self.size > 3 else self.size

    def success(self) -> None:
        """A message was delivered."""
        self._gain += 1.0 / self.size
        if self._gain >= 0.9999 and self.size < self.limit:  # a sum of N times 1/N
            self.size += 1
            self._gain = self._patience = 0.0

    def failure(self) -> None:
        """The next hop asks for less."""
        self._patience -= 1.0 / self.size
        if self._patience < 0.0:
            self.size = max(1, self.size - 1)
            self._patience += 1.0
            self._gain = 0.0

    def cap(self, runs: int) -> None:
        """Only so many connections could be had."""
        self.size = max(1, min(self.size, runs))
        self._gain = self._patience = 0.0

    def reopen(self) -> None:
        """A next hop that was dead is back."""
        self.size = max(self.size, min(INITIAL, self.limit))

    def change(self, limit: int) -> None:
        """The configuration allows so many now."""
        self.limit = limit
        self.size = min(self.size, limit)
