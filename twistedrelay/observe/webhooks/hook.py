"""One webhook: what waits for it, and when it is tried.

It decides what an answer means: 2xx is taken; 410 ends the webhook; no answer, 408, 425, 429 and 5xx say that the server is not well, and
nothing is sent for a while, longer each time; any other answer is about this one event, which comes again later while others go on.  An
event is tried for a day at most.  Of more than L{LIMIT} that wait the oldest are dropped and counted.  One request at a time.  Nothing
here ever waits for a webhook, and what waits is lost at the end of the process, apart from a last try.

Source: RFC 9110 (status codes, Retry-After), RFC 6585 (429).
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twistedrelay.observe.webhooks.signing import headers

LIMIT = 1000  #: events that wait for one webhook
LIFETIME = 86400.0  #: seconds that an event is tried
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 3600.0
TOLD_AFTER = 3  #: failures in a row

#: No other answers say that the server is not well.
_NOT_WELL = frozenset((408, 425, 429))
_GONE = 410

Document = dict[str, Any]


@attrs.frozen(slots=True)
class Answer:
    """What a web server said.

    @ivar retry_after: seconds, as it asked for; 0 where it did not.
    @ivar text: the beginning of the body.
    """

    status: int
    retry_after: float = 0.0
    text: str = ""


#: Posts a body with header fields; fails where there is no answer, with a reason for people.
Post = Callable[[bytes, dict[str, str]], Deferred[Answer]]


@attrs.define(slots=True, order=False, eq=False)
class _Item:
    """An event on its way."""

    document: Document
    born: float
    attempts: int = 0


class Hook:
    """See the module.

    @ivar name: for people.
    @ivar delivered: events that were taken; likewise C{dropped} (there were too many), C{given_up} (nobody took them in a day), C{failures}
        (requests that were not answered by 2xx).
    @ivar gone: it answered 410.
    @ivar last_error: why the last request failed, C{""} after one that did not.
    """

    def __init__(
        self,
        name: str,
        key: bytes,
        post: Post,
        clock: IReactorTime,
        report: Callable[[str, str], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param report: told the level and the text of what goes wrong.
        @param chance: from 0 to 1, so that not all come again at the same time.
        """
        self.name = name
        self._key = key
        self._post = post
        self._clock = clock
        self._report = report
        self._chance = chance
        self._waiting: deque[_Item] = deque()
        self._later: list[tuple[float, int, _Item]] = []  # a heap, by when they are due
        self._numbers = itertools.count()
        self._request: Deferred[Any] | None = None
        self._call: IDelayedCall | None = None
        self._rest_until = 0.0
        self._in_a_row = 0  # requests that say that the server is not well
        self._not_taken = 0  # likewise, with those that say that it wants something else
        self._telling = False  # of drops
        self._ended: Deferred[None] | None = None
        self._given_up = False  # the end does not wait any longer
        self.delivered = self.dropped = self.given_up = self.failures = 0
        self.gone = False
        self.last_error = ""

    @property
    def waiting(self) -> int:
        """How many events wait, or are being sent."""
        return len(self._waiting) + len(self._later) + (self._request is not None)

    def add(self, document: Document) -> None:
        """Send an event."""
        if self.gone or self._ended is not None:
            self.dropped += 1
            return
        if len(self._waiting) + len(self._later) >= LIMIT:
            self._drop_oldest()
        self._waiting.append(_Item(document, self._clock.seconds()))
        self._schedule()

    def test(self, document: Document) -> Deferred[Answer]:
        """Send an event at once and once, beside those that wait; fires with what was answered."""
        return self._posted(document)

    def renew(self, key: bytes, post: Post, *, at_once: bool) -> None:
        """Sign with this key and post so from now on.

        @param at_once: what waits since the server was not well waits no longer.
        """
        self._key, self._post = key, post
        if at_once:
            self._in_a_row = 0
            self._hurry()
            self._schedule()

    def stop(self, seconds: float) -> Deferred[None]:
        """Try what waits once more, for so long.  Fires when it is over."""
        self._ended = Deferred()
        self._hurry()
        end = self._clock.callLater(max(seconds, 0.0), self._give_up)
        ended = self._ended
        ended.addCallback(lambda _: end.cancel() if end.active() else None)
        self._schedule()
        return ended

    def _hurry(self) -> None:
        """All that waits is due."""
        self._waiting.extendleft(item for _, _, item in sorted(self._later, reverse=True, key=lambda entry: entry[:2]))
        self._later.clear()
        self._rest_until = 0.0

    # -- when ------------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Send what is due, or wait until something is."""
        if self._request is not None:
            return
        if self._call is not None:
            self._call.cancel()
            self._call = None
        now = self._clock.seconds()
        if self._waiting:
            due = now
        elif self._later:
            due = self._later[0][0]
        else:
            if self._ended is not None and not self._ended.called:
                self._ended.callback(None)
            return
        # Never at once: who adds an event is busy with mail.
        self._call = self._clock.callLater(max(due, self._rest_until, now) - now, self._send)

    def _send(self) -> None:
        self._call = None
        overdue = self._later and (not self._waiting or self._later[0][0] <= self._clock.seconds())
        item = heapq.heappop(self._later)[2] if overdue else self._waiting.popleft()
        item.attempts += 1
        self._request = self._posted(item.document)
        self._request.addCallbacks(self._answered, self._not_answered, callbackArgs=(item,), errbackArgs=(item,))

    def _posted(self, document: Document) -> Deferred[Answer]:
        body = json.dumps(document, separators=(",", ":")).encode("ascii")
        signed = headers(self._key, document["id"], int(self._clock.seconds()), body)
        return self._post(body, {**signed, "content-type": "application/json"})

    # -- answers ---------------------------------------------------------------------------------------------------------

    def _answered(self, answer: Answer, item: _Item) -> None:
        self._request = None
        status = answer.status
        if 200 <= status < 300:
            self.delivered += 1
            self._well()
        elif status == _GONE:
            self._end()
        elif status >= 500 or status in _NOT_WELL or status < 200:
            self._not_well(item, f"it answers {status}", answer.retry_after)
        else:
            self._failed(f"it answers {status}")
            self._again(item, self._pause(item.attempts))
            self._in_a_row = 0
        self._schedule()

    def _not_answered(self, failure: Failure, item: _Item) -> None:
        self._request = None
        if not self._given_up:
            self._not_well(item, failure.getErrorMessage() or type(failure.value).__name__, 0.0)
        self._schedule()

    def _well(self) -> None:
        if self._not_taken >= TOLD_AFTER or self._telling:
            self._report("info", f"the webhook {self.name} takes events again; events that were dropped so far: {self.dropped}")
        self._in_a_row, self._not_taken, self._telling, self.last_error = 0, 0, False, ""

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self._not_taken += 1
        self.last_error = reason
        if self._not_taken == TOLD_AFTER:
            self._report("warn", f"the webhook {self.name} takes no events: {reason}")

    def _not_well(self, item: _Item, reason: str, retry_after: float) -> None:
        self._failed(reason)
        self._in_a_row += 1
        if self._ended is not None:
            self._waiting.append(item)
            self._give_up()
            return
        pause = max(self._pause(self._in_a_row), min(retry_after, LONGEST_PAUSE))
        self._rest_until = self._clock.seconds() + pause
        self._again(item, pause)

    def _again(self, item: _Item, pause: float) -> None:
        due = self._clock.seconds() + pause
        if due - item.born > LIFETIME or self._ended is not None:
            self.given_up += 1
            return
        heapq.heappush(self._later, (due, next(self._numbers), item))

    def _pause(self, attempts: int) -> float:
        """Twice as long each time, and by chance up to half as much more."""
        pause: float = min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE)
        return pause * (1.0 + self._chance() / 2.0)

    # -- ends ------------------------------------------------------------------------------------------------------------

    def _drop_oldest(self) -> None:
        self.dropped += 1
        if self._later:
            heapq.heappop(self._later)
        else:
            self._waiting.popleft()
        if not self._telling:
            self._telling = True
            self._report("warn", f"the webhook {self.name} is too slow: the oldest of {LIMIT} events are dropped")

    def _end(self) -> None:
        """It answered 410."""
        self.gone = True
        self.dropped += len(self._waiting) + len(self._later) + 1
        self._waiting.clear()
        self._later.clear()
        self._report("error", f"the webhook {self.name} answers 410 (gone): nothing is sent there any more")

    def _give_up(self) -> None:
        """The time to stop is over, or nobody answers."""
        self._given_up = True
        lost = self.waiting
        self._waiting.clear()
        self._later.clear()
        if lost:
            self.dropped += lost
            self._report("warn", f"the webhook {self.name}: {lost} events were not taken before the end")
        if self._request is not None:
            self._request.cancel()
        self._schedule()
