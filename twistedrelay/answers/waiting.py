"""Waiting for work that cannot be ended: what a thread has begun goes on, whether somebody still waits for it or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def to_its_end(work: Deferred[T], unwanted: Callable[[T], object] = lambda result: None) -> Deferred[T]:
    """The same for who waits for it.  Where nobody does any more, since a client hung up, it goes on to its end all the same.

    @param unwanted: what becomes of its result then.
    """
    gone: list[object] = []
    waiting: Deferred[T] = Deferred(gone.append)

    def ended(result: T | Failure) -> None:
        if not gone:
            waiting.callback(result)
        elif not isinstance(result, Failure):
            unwanted(result)

    work.addBoth(ended)
    return waiting
