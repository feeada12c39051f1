"""Long work in pieces, each in a turn of the reactor of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

from twistedrelay.schedule.alarm import Alarm

PIECE = 100  #: things that are done in one turn, where each may begin something

T = TypeVar("T")


class Moment:
    """A moment that somebody waits for.

    @ivar done: fires when it has come.
    """

    def __init__(self, alarm: Alarm, when: float) -> None:
        self.done: Deferred[None] = Deferred()
        alarm.at(when, self)

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        self.done.callback(None)


class Turns(Generic[T]):
    """Runs a generator to its end; the first piece at once.

    @ivar done: fires with what it returns.
    """

    def __init__(self, work: Generator[None, None, T], alarm: Alarm, seconds: Callable[[], float]) -> None:
        self.done: Deferred[T] = Deferred()
        self._work = work
        self._alarm = alarm
        self._seconds = seconds
        self.wake(seconds())

    def wake(self, now: float) -> None:
        """See L{twistedrelay.schedule.alarm.Sleeper}."""
        try:
            next(self._work)
        except StopIteration as end:
            self.done.callback(end.value)
        except Exception:
            self.done.errback()
        else:
            self._alarm.at(self._seconds(), self)


def each(things: Iterable[T], do: Callable[[T], object]) -> Generator[None, None, None]:
    """Do something to each of the things that are there now, a piece at a time."""
    for number, thing in enumerate(list(things), 1):
        do(thing)
        if number % PIECE == 0:
            yield
