"""The condition of a next hop, as far as its answers tell: how much it can bear, whether it lives, when it is tried again.

What counts as a sign of life is a word about a message, good or bad.  A session that ends (421, a hang-up) is none; so a next hop that
takes connections and drops each of them is as dead as one that takes none.  An answer that asks for less is about the lane: the message
stays in it, behind the others, and only where it gets such an answer again it waits by itself, since it may be about the message after
all.  Answers that greylisting gives, too (450, 451 with 4.7.x), are taken for the message's own until some come in a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

from twistedrelay.schedule.feedback import Window, is_firm, slows_down
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind
from twistedrelay.values.reply import Reply

FRUITLESS_RUNS = 3  #: connections in a row that ended without a word about a message, before the lane backs off
DOUBTS = 3  #: messages in a row that were answered as by greylisting, before it is taken for the next hop's word about itself
ERRORS = 5  #: kept, for those who look
MOST_KEPT = 1000  #: messages remembered that stayed in spite of such an answer

DROPPED = Reply(421, "4.4.2", "Connection dropped by the next hop before a message could be sent")


class Heard(Enum):
    """What an answer means for its job."""

    ABOUT_MESSAGE = 0  #: it goes on to whoever decides about recipients
    STAYS = 1  #: it stays in the lane
    ABOUT_BOTH = 2  #: the first, and the lane goes slower


class Condition:
    """See the module.

    @ivar window: how many runs it can bear.
    @ivar held: a connection failed while others work: none more until one of them shows life.
    @ivar next_retry: when it is tried again, 0.0 unless it is left alone.
    @ivar first_retry: since when it has been failing, or 0.0.
    @ivar last_retry: when it failed last, or 0.0.
    @ivar last_error: why it is left alone, or None.
    @ivar errors: when and why it was left alone, the last times.
    @ivar failures: how many times in a row that happened.
    @ivar delivered: how many jobs ended with a delivery.
    @ivar answered: how many ended with another word about them.
    """

    __slots__ = (
        "_fruitless",
        "_kept",
        "_slow",
        "_trouble",
        "answered",
        "delivered",
        "errors",
        "failures",
        "first_retry",
        "held",
        "last_error",
        "last_retry",
        "next_retry",
        "window",
    )

    def __init__(self, max_connections: int) -> None:
        self.window = Window(max_connections)
        self.held = False
        self.next_retry = self.first_retry = self.last_retry = 0.0
        self.last_error: Reply | None = None
        self.errors: deque[tuple[float, Reply]] = deque(maxlen=ERRORS)
        self.failures = self.delivered = self.answered = 0
        self._fruitless = 0
        self._trouble = DROPPED
        self._slow = 0  # answers in a row that ask for less
        self._kept: set[int] = set()  # messages that stayed in spite of such an answer

    @property
    def words(self) -> int:
        """How many jobs ended with a word about them."""
        return self.delivered + self.answered

    def success(self) -> bool:
        """A message was delivered; True: the next hop had been failing before."""
        self.delivered += 1
        self.held = False
        self._fruitless = self._slow = 0
        window = self.window
        if window.size < window.limit:
            window.success()
        return self.failures > 0 and self._alive()

    def heard(self, job: Job, outcomes: Sequence[Outcome]) -> Heard:
        """A job did not end with a delivery to its first recipient."""
        if outcomes and all(_asks_for_less(outcome) for outcome in outcomes):
            return self._slowed(job.message.id, outcomes[0].reply)
        for outcome in outcomes:
            if _is_word(outcome):
                self.answered += 1
                self._alive()
                break
            self._trouble = outcome.reply
        return Heard.ABOUT_MESSAGE

    def must_pause(self, runs: int) -> bool:
        """After an answer that asks for less: whether going on with fewer connections is not enough."""
        return not self.next_retry and (self._slow > 1 or runs <= 1)

    def fruitless(self) -> Reply | None:
        """A run ended without a word about any message; the reply is why the next hop counts as dead now, if it does."""
        self._fruitless += 1
        if self._fruitless < FRUITLESS_RUNS:
            return None
        trouble, self._trouble = self._trouble, DROPPED
        return trouble

    def fail(self, reply: Reply) -> None:
        """It cannot be reached, or wants to be left alone: one run at most from now on."""
        self.failures += 1
        self.last_error = reply
        self._fruitless = self._slow = 0
        self.window.cap(1)

    def wait(self, now: float, seconds: float) -> None:
        """It is left alone for so long."""
        if self.last_error is not None:
            self.errors.append((now, self.last_error))
        self.last_retry = now
        self.first_retry = self.first_retry or now
        self.next_retry = now + seconds

    def sooner(self, seconds: float) -> bool:
        """It is left alone for so long only, from when that began; False: it would not be for less."""
        when = self.last_retry + seconds
        if not self.next_retry or when >= self.next_retry:
            return False
        self.next_retry = when
        return True

    def _alive(self) -> bool:
        self.held = False
        self._fruitless = 0
        if not self.failures:
            return False
        if self.last_error is None or not slows_down(self.last_error):
            self.window.reopen()
        self.failures = 0
        self.first_retry = self.last_retry = 0.0
        self.last_error = None
        return True

    def _slowed(self, number: int, reply: Reply) -> Heard:
        self.window.failure()
        self._slow += 1
        if not is_firm(reply) and self._slow < DOUBTS:
            self.answered += 1
            self._alive()
            return Heard.ABOUT_MESSAGE
        self.held = True
        if number in self._kept:
            self._kept.discard(number)
            return Heard.ABOUT_BOTH
        if len(self._kept) >= MOST_KEPT:  # most of them were delivered since
            self._kept.clear()
        self._kept.add(number)
        return Heard.STAYS


def _asks_for_less(outcome: Outcome) -> bool:
    return outcome.kind is OutcomeKind.DEFERRED and bool(outcome.remote) and not outcome.uncertain and slows_down(outcome.reply)


def _is_word(outcome: Outcome) -> bool:
    """Whether an outcome shows that the next hop talks about messages: it said so, or we could not have failed otherwise."""
    reply = outcome.reply
    return reply.code != 421 and (bool(outcome.remote) or not reply.enhanced.startswith(("4.4.", "4.5.")))
