"""The time of day for all that waits, expires or is deleted for its age: it does not jump because the machine's clock does.

A clock jumps when it is set by hand, when a time server goes wrong, when a machine goes on from a snapshot.  Twisted's timers are times of
day: an hour back, and all of them were an hour late; ten years ahead, and every message would have waited for too long and every record
would be too old.  So time passes here as on a clock that is never set (CLOCK_BOOTTIME, which goes on while the machine sleeps), and it is
decided what of the machine's clock is believed:

  - a second more or less, at once;
  - a jump, when it has lasted for L{LASTING}.  Both times are told in the log.  Whatever waits on the reactor then waits on for as long as
    it would have, and so does who asked to be told (L{SteadyClock.when_set}); what else has a time of day follows the clock;
  - for what is deleted because of its age (L{SteadyClock.settled}), a jump when it has lasted for L{SETTLED}: who sees it in the log has
    so long to set the clock right before anything is lost.

It cannot tell that a clock is wrong from the start.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

#: Seconds by which the machine's clock may differ without more ado.
SMALL = 1.0

#: Seconds after which a jump is believed.
LASTING = 60.0

#: Seconds after which it is believed by what deletes for age, and from a start until anything is deleted for its age.
SETTLED = 86400.0
FIRST = 900.0


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_never_set = _boottime if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


class SteadyClock:
    """See the module."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = _never_set) -> None:
        """
        @param wall: the machine's clock.
        @param monotonic: one that is never set.
        """
        self._wall = wall
        self._monotonic = monotonic
        passed = monotonic()
        self._offset = wall() - passed
        self._ahead = 0.0  # the jump that is not believed yet, and when it was first seen
        self._since: float | None = None
        self._old_offset: float | None = None  # before a jump that is not settled; None: nothing is settled yet
        self._settled_at = passed + FIRST
        self._waiting: list[Callable[[float], None]] = []
        self._held = False

    def when_set(self, waits_on: Callable[[float], None]) -> None:
        """
        @param waits_on: called with the seconds of a jump that is believed: each time until which something waits is so much later.
        """
        self._waiting.append(waits_on)

    def install(self, reactor: Any) -> None:
        """Let a reactor go by this clock."""
        reactor.seconds = self.seconds

    def remove(self, reactor: Any) -> None:
        """Let it go by its own again, unless another relay's clock came after this one; what still waits there waits on for as long."""
        if vars(reactor).get("seconds") == self.seconds:
            before = reactor.seconds()
            del reactor.seconds
            _move(reactor, reactor.seconds() - before)

    def hold(self) -> None:
        """Believe no jump any more: an end within so many seconds takes as many."""
        self._held = True

    def seconds(self) -> float:
        """The time, seconds since the epoch."""
        return self._offset + self._monotonic()

    def settled(self) -> float:
        """The time for what deletes because of age; 0.0 where nothing is to be deleted yet.  From any thread."""
        offset, passed = self._offset, self._monotonic()  # first of all: what is believed from here on is not settled
        if passed >= self._settled_at:
            return offset + passed
        return 0.0 if self._old_offset is None else self._old_offset + passed

    def look(self, reactor: Any) -> Iterator[tuple[str, str]]:
        """Compare with the machine's clock, every second; what is to be told of it, each with its level.

        @param reactor: what waits there goes on waiting as long as it would have.  It takes a new time between two turns: within one it
            would call what is due by the old.
        """
        passed = self._monotonic()
        ahead = self._wall() - self._offset - passed
        if self._held:
            return
        if abs(ahead) < SMALL:
            self._offset += ahead
            if self._since is not None:
                self._since = None
                yield "info", "the clock of this machine is right again"
            return
        if self._since is None:
            yield "warn", f"{_jumped(ahead)}; it is believed if that lasts for {LASTING:.0f} seconds"
        if self._since is None or abs(ahead - self._ahead) >= SMALL:
            self._ahead, self._since = ahead, passed
        elif passed - self._since >= LASTING:
            self._since = None
            reactor.callFromThread(self._believe, passed, ahead, reactor)
            wrong = f"nothing is deleted for its age by the new time for {SETTLED / 3600:.0f} hours: set the clock right if it is wrong"
            yield "error", f"{_jumped(ahead)}, and it is believed now; {wrong}"

    def _believe(self, passed: float, ahead: float, reactor: Any) -> None:
        if self._held:
            return
        if passed >= self._settled_at:
            self._old_offset = self._offset
        self._settled_at = passed + SETTLED  # before the new time, which threads must not take for a settled one
        self._offset += ahead
        _move(reactor, ahead)
        for waits_on in self._waiting:
            waits_on(ahead)


def _move(reactor: Any, seconds: float) -> None:
    for call in reactor.getDelayedCalls():
        call.delay(seconds)


def _jumped(ahead: float) -> str:
    span = datetime.timedelta(seconds=round(abs(ahead)))
    return f"the clock of this machine has jumped {'ahead' if ahead > 0 else 'back'} by {span}"
