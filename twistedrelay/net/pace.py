"""Whether a message arrives fast enough: C{min_data_rate}, averaged over all of it that has come so far, and looked at each minute.

Who was fast may pause: a scanner sends its pages as they are fed, and to hold a connection costs an attacker the same number of octets
whenever they come.  It measures and says so; who is too slow is sent away by the session.  The time that we take ourselves does not
count: then a new minute begins.

Source: the slow-reading and slow-writing attacks on servers with a session per connection ("slow loris").
"""

from __future__ import annotations

#: Seconds between two looks.
WINDOW = 60.0


class Pace:
    """The pace of one message.

    @ivar until: when L{is_kept} wants to be asked.
    """

    __slots__ = ("_ahead", "_rate", "_received", "_since", "until")

    def __init__(self, rate: int, received: int, now: float) -> None:
        """
        @param rate: octets a second.
        @param received: octets of the session so far.
        """
        self._rate = rate
        self._ahead = 0.0  # octets that came before they had to
        self._begin(received, now)

    def restart(self, received: int, now: float) -> None:
        """A minute begins, and nobody asks how long the last one was."""
        self._ahead = max(self._ahead, self._balance(received, now))
        self._begin(received, now)

    def is_kept(self, received: int, now: float) -> bool:
        """The minute is over: whether enough has arrived.  Then the next begins."""
        self._ahead = self._balance(received, now)
        self._begin(received, now)
        return self._ahead >= 0

    def wait_on(self, seconds: float) -> None:
        """The clock was set."""
        self._since += seconds
        self.until += seconds

    def _balance(self, received: int, now: float) -> float:
        return self._ahead + received - self._received - self._rate * (now - self._since)

    def _begin(self, received: int, now: float) -> None:
        self._received = received
        self._since = now
        self.until = now + WINDOW
