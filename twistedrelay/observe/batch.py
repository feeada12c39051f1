"""Entries that are gathered on the reactor and written by a thread, one batch at a time.

It decides when a batch is written (when enough wait, or the first has waited long enough), how many may wait, and what becomes of those
that cannot be written: they are lost and counted, with one report until it works again, or kept for another try where the writer says
that nothing of the batch was written.  It never blocks the reactor, never holds up who adds, and knows nothing of what it writes.
A crash costs what waited: at most the last C{interval} seconds, and what was being written.  The end waits for the thread, but not for
ever: what a disk that hangs has not taken by then is lost, and told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


class BatchWriter(Generic[T]):
    """Writes what is added, in the order in which it was added.

    @ivar lost: how many entries were lost since the start.
    """

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: Callable[..., Deferred[None]],
        write: Callable[[list[T]], None],
        report: Callable[[str], None],
        what: str,
        *,
        interval: float = 0.5,
        batch: int = 1000,
        limit: int = 100_000,
        again: tuple[type[BaseException], ...] = (),
    ) -> None:
        """
        @param in_thread: calls a function in a thread, C{deferToThread}'s way.
        @param write: writes entries; called in a thread, and by one thread at a time.
        @param report: told once when entries cannot be written, and once when they are written again.
        @param what: what is written, for reports, such as C{"the protocol log"}.
        @param interval: seconds that an entry may wait for company.
        @param batch: how many entries go to the thread without waiting.
        @param limit: how many entries are in memory at most; what comes then is lost.
        @param again: what C{write} raises where it wrote nothing of what is left in the list, and may be asked again; what else it raises
            costs the batch.
        """
        self._clock = clock
        self._in_thread = in_thread
        self._write_batch = write
        self._report = report
        self._what = what
        self._interval = interval
        self._batch = batch
        self._limit = limit
        self._again = again
        self.lost = 0
        self._lost_before = 0  # those that were told
        self._failing = False
        self._stopped = False
        self._waiting: list[T] = []
        self._in_hand: list[T] = []  # of the thread
        self._enough = batch  # how many make a write at once; none do while the thread works, or the disk refuses
        self._room = limit  # for those that wait
        self._overdue = False  # the thread was busy when a batch was to be written
        self._timer: IDelayedCall | None = None
        self._flushes: list[Deferred[None]] = []
        self._covered: list[Deferred[None]] = []  # the flushes of what is in hand

    @property
    def failing(self) -> bool:
        """Whether the last batch could not be written."""
        return self._failing

    def add(self, entry: T) -> None:
        """Write an entry soon."""
        waiting = self._waiting
        if len(waiting) >= self._room:
            self._refuse()
            return
        waiting.append(entry)
        if self._timer is None:
            self._timer = self._clock.callLater(self._interval, self._due)
        elif len(waiting) >= self._enough:
            self._write()

    def flush(self) -> Deferred[None]:
        """Write what waits now.  Fires when what was added so far is written, or could not be."""
        if not self._waiting and not self._in_hand:
            return succeed(None)
        fires: Deferred[None] = Deferred()
        (self._flushes if self._waiting else self._covered).append(fires)
        self._write()
        return fires

    def stop(self, close: Callable[[], None], patience: float) -> Deferred[None]:
        """Write what waits, once; nothing may be added any more.  Fires when it is written, or could not be.

        @param close: called in the thread when all of it is written, or could not be.
        @param patience: seconds until it fires in any case.
        """
        self._stopped = True
        self._room = 0
        self._cancel()
        closed: Deferred[None] = self.flush().addCallback(lambda _: self._in_thread(close))
        return closed.addTimeout(patience, self._clock).addErrback(self._not_closed, patience)

    def _not_closed(self, failure: Failure, patience: float) -> None:
        left = len(self._waiting) + len(self._in_hand)
        self._waiting.clear()  # a thread that comes back after all finds nothing more to do
        if not failure.check(TimeoutError):
            self._report(f"{self._what} could not be closed: {failure.getErrorMessage()}")
        elif left:
            self.lost += left
            self._report(f"{self._what} could not be written within {patience:.0f} s, and the last {left} entries are lost")

    def _due(self) -> None:
        self._timer = None
        self._write()

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _write(self) -> None:
        """Give what waits to the thread, or remember to when the thread is done."""
        if self._in_hand:
            self._overdue = True
            return
        self._cancel()
        if not self._waiting:
            return
        self._in_hand, self._waiting = self._waiting, []
        self._covered, self._flushes = self._flushes, []
        self._overdue = False
        self._enough = self._limit + 1
        if not self._stopped:
            self._room = self._limit - len(self._in_hand)
        self._in_thread(self._write_batch, self._in_hand).addCallbacks(self._written, self._failed)

    def _written(self, result: None) -> None:
        if self._failing:
            self._failing = False
            lost = self.lost - self._lost_before
            self._lost_before = self.lost
            self._report(f"{self._what} is written again" + (f"; entries that were lost: {lost}" if lost else ""))
        self._enough = self._batch
        self._free([], self._overdue or len(self._waiting) >= self._batch)

    def _failed(self, failure: Failure) -> None:
        kept: list[T] = []
        reason = failure.getErrorMessage() or type(failure.value).__name__
        if failure.check(*self._again) and not self._stopped:
            kept = self._in_hand
            self._fail(f"{self._what} cannot be written; as many entries are kept as there is room for: {reason}")
        else:
            self._lose(len(self._in_hand), reason)
        self._free(kept, self._stopped or bool(self._flushes))

    def _free(self, kept: list[T], at_once: bool) -> None:
        """The thread has nothing to do: give it the next batch at once, or in time."""
        self._waiting = kept + self._waiting
        self._in_hand = []
        if not self._stopped:
            self._room = self._limit
        covered, self._covered = self._covered, []
        if at_once:
            self._write()
        elif self._waiting and self._timer is None:
            self._timer = self._clock.callLater(self._interval, self._due)
        for fires in covered:
            fires.callback(None)

    def _refuse(self) -> None:
        if self._stopped:
            self.lost += 1
        else:
            self._lose(1, "the disk is too slow")

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        self._fail(f"{self._what} cannot be written, and entries are lost: {reason}")

    def _fail(self, text: str) -> None:
        """Report it unless it was reported; it ends with the next batch that is written."""
        if not self._failing:
            self._failing = True
            self._report(text)
