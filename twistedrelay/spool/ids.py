"""InternalIds: never used twice, also not after a crash.

Ids are taken from a reserve that was made durable before: the store's sequence says up to where ids may have been given out, and a
restart goes on from there.  The reserve is renewed with an ordinary commit when half of it is used; every commit makes durable
that the ids of its messages are taken, so that a sick disk, with the reserve used up, never puts one id on two stored messages.
"""

from __future__ import annotations

RESERVE = 10_000


class Sequence:
    """The ids of one spool.  L{take} is called on the reactor thread, the rest by the writer.

    @ivar next: the next id to give out.
    @ivar durable: ids below this are known as used after a restart.
    """

    def __init__(self, first: int) -> None:
        self.next = first
        self.durable = first

    def take(self) -> int:
        """A new id."""
        number = self.next
        self.next = number + 1
        return number

    def runs_low(self) -> bool:
        """Whether half of the reserve is used."""
        return self.next + RESERVE // 2 > self.durable

    def wanted(self) -> int | None:
        """What the next commit should make durable, or None where there is enough."""
        return self.next + RESERVE if self.runs_low() else None
