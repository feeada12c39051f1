"""Waiting for work that cannot be ended: what was begun goes on, whether somebody still waits for it or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")

_log = Logger()


def to_its_end(
    work: Deferred[T], unwanted: Callable[[T], object] = lambda result: None, expected: type[Exception] | None = None
) -> Deferred[T]:
    """The same for who waits for it.  Where nobody does any more, since a client hung up or its time was over, it goes on to its end
    all the same: a change that is cut in two is on the disk and not in force.

    @param unwanted: what becomes of its result then.
    @param expected: what it may fail with then; any other failure is logged, as nobody else would see it.
    """
    gone: list[object] = []
    waiting: Deferred[T] = Deferred(gone.append)

    def ended(result: T | Failure) -> None:
        if not gone:
            waiting.callback(result)
        elif not isinstance(result, Failure):
            unwanted(result)
        elif expected is None or not result.check(expected):
            _log.failure("what nobody waited for any more failed", result)

    work.addBoth(ended)
    return waiting
