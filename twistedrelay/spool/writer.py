"""The group-commit thread.

It takes all waiting changes, applies them in one transaction, and answers the reactor once for all of them.  While it commits, the
next batch gathers: the busier the relay, the larger the batches, and no timer decides anything.

When the disk fails, the changes of the batch that need not be kept (new messages) fail, and so does each that comes; those to be kept
(what remote hosts answered) wait.  The database is reopened, again and again with growing pauses; then the messages that were refused
are removed should they have got in, together with the kept changes in one transaction; then all goes on.  Where nobody knows whether a
commit took effect, what an administrator wanted is kept, too: done twice it is the same, and so nobody has to be told that nobody knows.

Should the thread itself fail, which is a defect or for want of memory, every change is refused from then on, and only a new process helps.
Knows no Twisted and no SQL.
"""

from __future__ import annotations

import sqlite3
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.answering import Answers, some
from twistedrelay.spool.change import Change
from twistedrelay.spool.database import Database
from twistedrelay.spool.disk import disk_is_full, spool_error
from twistedrelay.spool.measures import Measures
from twistedrelay.values import reply

MAX_CHANGES = 1000
MAX_OCTETS = 8 * 1024 * 1024

#: Seconds that the result of a delivery, for which nobody waits, may wait for new messages to share their commit.
COMPANY = 0.005

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

#: errors of the statement, not of the disk: the batch is taken apart to find the change that carries it
_ODD = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError, sqlite3.NotSupportedError)


def _is_sick(error: Exception) -> bool:
    return isinstance(error, (OSError, sqlite3.Error, MemoryError)) and not isinstance(error, _ODD)


class Writer:
    """The thread and what waits for it.

    @ivar sick: why nothing can be written at the moment, or None.
    @ivar was_sick: the same, or why it could not the last time: the reactor hears of a recovery later than it is over.
    @ivar measures: what it costs.
    """

    def __init__(
        self,
        database: Database,
        call: Callable[..., Any],
        on_health: Callable[[bool, str], None],
        on_event: Callable[[str, str], None],
        on_failure: Callable[[], None],
    ) -> None:
        """@param call: C{reactor.callFromThread}.
        @param on_health: called on the reactor thread with False and a reason, or True.
        @param on_event: called on the reactor thread with a level and a text for people.
        @param on_failure: called on the reactor thread when the thread has failed: nothing is written any more.
        """
        self._database = database
        self._call = call
        self._on_health = on_health
        self._answers = Answers(call, on_event)
        self._on_failure = on_failure
        self._waiting: deque[Change] = deque()
        self._condition = threading.Condition()
        self._trouble: BaseException | None = None
        self._closing: Callable[[], None] | None = None
        self._ended = False
        self._urgent = False  # somebody waits for the answer to a change
        self._at_hand: list[Change] = []  # the batch that is being written, answered or not
        self._kept: list[Change] = []
        self._doubtful: list[int] = []
        self._unsure: list[Change] = []
        self.measures = Measures()
        self._since = self._taken_since = 0.0  # when the first of those that wait came, and of those at hand
        self.sick: SpoolError | None = None
        self.was_sick: SpoolError | None = None

    def start(self) -> None:
        """Start the thread; the database is open."""
        # Not made any earlier: twistd forks before this, and takes a thread object that is older than that for one of its parent's.
        thread = threading.Thread(target=self._run, name="twistedrelay-spool", daemon=True)
        thread.start()
        self.measures.watch(thread)

    @property
    def waiting(self) -> int:
        """How many changes wait."""
        return len(self._waiting)

    def submit(self, change: Change) -> None:
        """Write a change.  Any thread."""
        with self._condition:
            sick = self.sick
            if sick is None or (change.keep and not self._ended):
                waiting = self._waiting
                waiting.append(change)
                if len(waiting) == 1:
                    self._since = self.measures.now()
                    self._condition.notify()
                elif not change.keep:
                    self._condition.notify()
                if not change.keep:
                    self._urgent = True
                return
        self._call(change.answer, sick)

    def trouble(self, error: BaseException) -> None:
        """The disk failed elsewhere: stop, look, and start again.  Any thread."""
        with self._condition:
            if self.sick is None:
                self._trouble = error
                self._condition.notify()

    def close(self, finish: Callable[[], None]) -> None:
        """Write what waits (one more try where the disk is sick), close the database, and have the reactor call C{finish}."""
        with self._condition:
            self._closing = finish
            self._condition.notify()
            failed = self._ended
        if failed:
            self._call(finish)

    # what follows runs in the thread

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._break_off(error)
        else:
            self._end()

    def _work(self) -> None:
        while True:
            self.measures.idle()
            with self._condition:
                while not self._urgent and self._trouble is None and self._closing is None:
                    if self._waiting:
                        self._condition.wait(COMPANY)
                        break
                    self._condition.wait()
                trouble, self._trouble = self._trouble, None
                batch = [] if trouble is not None else self._take()
            self.measures.busy()
            if trouble is not None:
                self._recover(trouble)
            elif batch:
                self._commit(batch)
            elif self._closing is not None:
                break
            if self.sick is not None:  # the last try failed: nothing of what follows may get in without what came before it
                break
            self._at_hand = []

    def _take(self) -> list[Change]:
        waiting = self._waiting
        batch: list[Change] = []
        octets = 0
        self._taken_since, self._since = self._since, self.measures.now()
        while waiting and len(batch) < MAX_CHANGES and octets < MAX_OCTETS:
            change = waiting.popleft()
            octets += change.size
            batch.append(change)
        self._urgent = bool(waiting)
        self._at_hand = batch
        return batch

    def _commit(self, batch: list[Change]) -> None:
        since = self._taken_since
        try:
            self._database.apply(batch)
        except Exception as error:
            if not _is_sick(error):
                self._take_apart(batch, error)
                return
            self._fail(batch, error)
        else:
            self.measures.committed(len(batch), since, self._database.commit_seconds)
            self._answers.give(batch, None)

    def _take_apart(self, batch: list[Change], error: Exception) -> None:
        """One of these changes is impossible: write the others without it."""
        try:
            self._database.rollback()
        except sqlite3.Error as worse:
            self._fail(batch, worse)
            return
        if len(batch) == 1:
            self._answers.tell("error", f"the spool refuses a change: {type(error).__name__}: {error}")
            self._answers.give(batch, spool_error("the spool refuses the change", error))
            return
        for number, change in enumerate(batch):
            if self.sick is not None:  # the disk failed meanwhile and nothing helped
                self._sort_out(batch[number:], self.sick)
                return
            self._commit([change])

    def _fail(self, batch: list[Change], error: Exception) -> None:
        refused = [row[0] for change in batch if not change.keep for row in change.messages]
        if self._database.committing and refused:
            self._answers.tell("warn", f"uncertain: the commit of {len(refused)} refused messages failed ({error}): {some(refused)}")
        # Without room the commit itself was not written; and what was refused for want of room must make room again.
        unsure = self._database.committing and not disk_is_full(error)
        self._sort_out(batch, self._sicken(error), unsure)
        self._recover(error)

    def _sort_out(self, batch: Iterable[Change], error: SpoolError, unsure: bool = False) -> None:
        """Keep what has to be kept, refuse the rest; C{unsure}: all new messages of both may be in the store or not."""
        refused = []
        for change in batch:
            self._doubtful.extend(row[0] for row in change.messages)
            if unsure and not (change.keep or change.messages):  # nobody takes it back
                change.keep = change.unsure = True
            if change.keep:
                self._kept.append(change)
            else:
                change.unsure = unsure
                refused.append(change)
        if unsure:
            self._unsure.extend(change for change in refused if change.files)
        self._answers.give(refused, error)

    def _sicken(self, error: BaseException) -> SpoolError:
        """From now on no change is taken but those to be kept; whoever asked for intake and delivery to pause hears of it first."""
        reason = spool_error("the spool cannot write", error)
        with self._condition:
            before, self.sick = self.sick, reason
            self.was_sick = reason
            refused = [change for change in self._waiting if not change.keep]
            self._waiting = deque(change for change in self._waiting if change.keep)
        if before is None or str(before) != str(reason):
            self._call(self._on_health, False, str(reason))
            self._answers.tell("error", f"{reason}; intake and delivery pause until it can")
        self._answers.give(refused, reason)
        return reason

    def _recover(self, error: BaseException) -> None:
        pause = _FIRST_PAUSE
        while True:
            self.measures.busy()
            self.measures.failures += 1
            self._sicken(error)
            last = self._closing is not None
            try:
                self._database.reopen()
                self._settle()
                break
            except Exception as again:
                error = again
                if last:
                    return
            self.measures.idle()
            with self._condition:
                self._condition.wait_for(lambda: self._closing is not None, 0 if self._closing else pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        with self._condition:
            self.sick = None
        self._answers.tell("info", "the spool can write again")
        self._call(self._on_health, True, "")

    def _settle(self) -> None:
        """Bring the store to what was answered: refused messages out, kept changes in."""
        found = self._database.count(self._doubtful)
        if found:
            self._answers.tell("warn", f"{found} messages of failed transactions were in the store and are taken out")
        kept = self._kept
        before = [(change.found, change.purged) for change in kept]
        try:
            self._database.apply(kept, self._doubtful)
        except Exception as error:
            if _is_sick(error):
                raise
            self._database.rollback()
            self._database.apply((), self._doubtful)
            self._settled()
            with self._condition:
                self._waiting.extendleft(reversed(kept))
            return
        finally:
            for change, (found, purged) in zip(kept, before, strict=True):  # what it found the first time may be done since then
                change.found = max(change.found, found)
                change.purged = list(dict.fromkeys((*purged, *change.purged)))
        self._settled()
        self._answers.give(kept, None)

    def _settled(self) -> None:
        for change in self._unsure:
            self._call(change.taken_out)
        self._kept, self._doubtful, self._unsure = [], [], []

    def _end(self) -> None:
        with self._condition:
            self._ended = True
            self.sick = self.sick or SpoolError("the spool is closed", reply.LOCAL_ERROR)
            lost = [*self._kept, *self._waiting]
        self._answers.lose(lost, self._doubtful, self.sick)
        try:
            self._database.close()
        except (OSError, sqlite3.Error) as error:
            self._answers.tell("error", f"the spool could not be closed well: {error}")
        assert self._closing is not None
        self._call(self._closing)

    def _break_off(self, error: BaseException) -> None:
        """A defect, or no memory: nobody knows how far this thread came with what it had at hand."""
        text = f"the spool's writer has failed: {type(error).__name__}: {error}"
        with self._condition:
            self._ended = True
            self.sick = self.was_sick = reason = SpoolError(text, reply.LOCAL_ERROR)
            waiting, closing = list(self._waiting), self._closing
        try:
            self._call(self._on_health, False, text)
            self._answers.tell("error", "".join(traceback.format_exception(error)).rstrip())
            for change in self._at_hand:
                change.unsure = True
                self._doubtful.extend(row[0] for row in change.messages)
            self._answers.lose([*self._kept, *self._at_hand, *waiting], self._doubtful, reason)
            self._database.disconnect()
        finally:
            self._call(self._on_failure if closing is None else closing)
