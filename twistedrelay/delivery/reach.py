"""Reaching a host that has several addresses: one connection, soon, whichever family works.

Decides in which order the addresses of one host are tried and when the next one begins: at once where one failed, after C{STAGGER} where it
does not answer.  Who answers first wins, the others are given up.  Families take turns, beginning with that of the first address.  Only
addresses of the same host compete: another host may be a less preferred one, which has no business here while this one may answer.

Sources: RFC 8305 sections 4 and 5 (Happy Eyeballs; its delay is at most two seconds), RFC 5321 section 5.1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twistedrelay.delivery.client import Connection
from twistedrelay.values.route import Target

STAGGER = 1.0  #: seconds before the next address is tried, too

_Place = TypeVar("_Place", bound="Target | None")


def same_host(targets: Sequence[_Place]) -> list[_Place]:
    """The addresses of the host in front, those of both families in turn."""
    first = targets[0]
    if first is None:
        return [first]
    group = []
    for target in targets:
        if target is None or (target.host, target.port) != (first.host, first.port):
            break
        group.append(target)
    is_v6 = ":" in first.address
    alike = [target for target in group if target is not None and (":" in target.address) == is_v6]
    others = [target for target in group if target not in alike]
    return [target for target in chain.from_iterable(zip_longest(alike, others)) if target is not None]


class Race:
    """Connecting to some addresses.

    @param attempts: each begins a connection when called.
    @ivar finished: fires with the index of the attempt that won and its connection; fails with the last failure where none did.
    @ivar failures: by the index of the attempt.
    """

    def __init__(self, clock: IReactorTime, attempts: Sequence[Callable[[], Deferred[Connection]]], stagger: float = STAGGER) -> None:
        self.finished: Deferred[tuple[int, Connection]] = Deferred(self._cancelled)
        self.failures: dict[int, Failure] = {}
        self._clock = clock
        self._stagger = stagger
        self._waiting = deque(enumerate(attempts))
        self._running: dict[int, Deferred[Connection]] = {}
        self._timer: IDelayedCall | None = None
        self._over = False
        self._next()

    def _next(self) -> None:
        self._stop_timer()
        index, attempt = self._waiting.popleft()
        connecting = self._running[index] = attempt()
        connecting.addCallbacks(self._won, self._lost, (index,), errbackArgs=(index,))
        if self._waiting and not self._over and self._timer is None:
            self._timer = self._clock.callLater(self._stagger, self._next)

    def _won(self, connection: Connection, index: int) -> None:
        del self._running[index]
        if self._over:  # two of them in the same turn
            connection.abort()
            return
        self._end()
        self.finished.callback((index, connection))

    def _lost(self, failure: Failure, index: int) -> None:
        self._running.pop(index, None)
        if self._over:
            return
        self.failures[index] = failure
        if self._waiting:
            self._next()
        elif not self._running:
            self._over = True
            self.finished.errback(failure)

    def _cancelled(self, _: Deferred[tuple[int, Connection]]) -> None:
        self._end()
        self.finished.errback(CancelledError())

    def _end(self) -> None:
        self._over = True
        self._stop_timer()
        for connecting in list(self._running.values()):
            connecting.cancel()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
