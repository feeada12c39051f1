"""Several questions at once, with one time for all of them and less of it once there is something to work with.

Decides only how long is waited.  A question that is not answered in time goes on by itself and may still fill a cache.

Source: RFC 8305 section 3 (the same idea for A and AAAA: who answered first does not wait long for the other).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

T = TypeVar("T")


def gathered(
    asked: Sequence[Deferred[T]], useful: Callable[[T], bool], grace: float, longest: float, clock: Any
) -> Deferred[list[T | None]]:
    """The answers in order; None for those that failed or did not come in time.

    @param useful: whether an answer is good enough for the others to get only C{grace} more seconds.
    @param longest: seconds for all.
    """
    results: list[T | None] = [None] * len(asked)
    done: Deferred[list[T | None]] = Deferred()
    timer: IDelayedCall | None = None
    missing = len(asked)
    hurried = False

    def finish() -> None:
        if timer is not None and timer.active():
            timer.cancel()
        if not done.called:
            done.callback(results)

    def came(result: T | Failure, place: int) -> None:
        nonlocal missing, hurried
        missing -= 1
        if done.called:
            return
        if not isinstance(result, Failure):
            results[place] = result
            if not hurried and useful(result):
                hurried = True
                if timer is not None:
                    timer.reset(min(grace, max(timer.getTime() - clock.seconds(), 0.0)))
        if not missing:
            finish()

    for place, question in enumerate(asked):
        question.addBoth(came, place)
    if missing:
        timer = clock.callLater(max(min(grace, longest) if hurried else longest, 0.0), finish)
    elif not asked:
        finish()
    return done
