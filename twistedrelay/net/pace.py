"""Whether a message arrives fast enough: C{min_data_rate}, averaged over a minute.

It measures and says so; who is too slow is sent away by the session.  The time that we take ourselves does not count: then the
minute begins anew.

Source: the slow-reading and slow-writing attacks on servers with a session per connection ("slow loris").
"""

from __future__ import annotations

#: Seconds over which the rate is averaged.
WINDOW = 60.0


class Pace:
    """The pace of one message.

    @ivar until: when L{is_kept} wants to be asked.
    """

    __slots__ = ("_least", "_start", "until")

    def __init__(self, rate: int, received: int, now: float) -> None:
        """
        @param rate: octets a second.
        @param received: octets of the session so far.
        """
        self._least = int(rate * WINDOW)
        self.restart(received, now)

    def restart(self, received: int, now: float) -> None:
        """A minute begins."""
        self._start = received
        self.until = now + WINDOW

    def is_kept(self, received: int, now: float) -> bool:
        """The minute is over: whether enough arrived in it.  Then the next begins."""
        kept = received - self._start >= self._least
        self.restart(received, now)
        return kept
