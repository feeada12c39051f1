"""The safety net: messages that were delivered are kept for some time, and can be delivered again.

Decides how long they are kept and at which pace they come again.  What is sent again is a new message, with a new id and the source
SAFETYNET, stored like any other before it goes on its way, to those recipients that were asked for; it is not kept itself, since the
first one is.  A request that is under way when the relay stops is not continued.

Source: Exchange Server, "Safety Net" (SafetyNetHoldTime, Add-ResubmitRequest, Get-ResubmitRequest).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, ISpool, SpoolError
from twistedrelay.values.envelope import Message, Origin, Recipient
from twistedrelay.values.events import Resubmitted, ServiceEvent
from twistedrelay.values.kept import START, Kept, KeptQuery
from twistedrelay.values.reply import LOCAL_ERROR

PURGE_INTERVAL = 60.0
PURGE = 500  #: messages removed in one transaction
LOOK = 500  #: messages looked at for one answer of the disk
TOGETHER = 20  #: messages sent again at the same time
PIECE = 256 * 1024
HELD = 2.0  #: seconds between two looks whether it may go on
REMEMBERED = 100  #: requests that are shown


@attrs.define(slots=True, eq=False)
class ResubmitRequest:
    """One request to deliver kept messages again.

    @ivar resubmitted: how many messages are in the queue again.
    @ivar failed: how many could not be stored again, or had gone meanwhile.
    @ivar error: why the request ended early.
    """

    identity: int
    query: KeptQuery
    created_at: float
    state: Literal["Running", "Completed", "Failed", "Cancelled"] = "Running"
    resubmitted: int = 0
    failed: int = 0
    error: str = ""


class SafetyNet:
    """See the module.

    @ivar hold_time: seconds that delivered messages are kept; 0.0 is off, and what is still there goes.
    """

    def __init__(
        self,
        clock: Any,
        spool: ISpool,
        submit: Callable[[Message], None],
        events: IEventSink,
        hold_time: float,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        @param held: whether nothing may be sent again now, since resources run short.
        """
        self.hold_time = hold_time
        self._held = held
        self._clock = clock
        self._spool = spool
        self._submit = submit
        self._events = events
        self._requests: deque[ResubmitRequest] = deque(maxlen=REMEMBERED)
        self._count = 0
        self._stopped = False
        self._purging = LoopingCall(self._purge)
        self._purging.clock = clock

    def start(self) -> None:
        """Remove what is too old, now and then."""
        self._purging.start(PURGE_INTERVAL, now=True).addErrback(self._trouble)

    def stop(self) -> None:
        """Send nothing again any more."""
        self._stopped = True
        if self._purging.running:
            self._purging.stop()

    def _purge(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._remove_old()).addErrback(self._trouble)

    async def _remove_old(self) -> None:
        before = self._clock.seconds() - self.hold_time
        while not self._stopped and self._spool.healthy and await self._spool.kept.purge(before, PURGE) == PURGE:
            await self._pause()

    def _pause(self, seconds: float = 0.01) -> Deferred[None]:
        """Others have their turn."""
        waiting: Deferred[None] = Deferred()
        self._clock.callLater(seconds, waiting.callback, None)
        return waiting

    def _trouble(self, failure: Failure) -> None:
        self._events.emit(ServiceEvent("error", f"the safety net could not be cleaned: {failure.getErrorMessage()}"))

    async def find(self, query: KeptQuery, limit: int, position: tuple[float, int] = START) -> list[Kept]:
        """The first kept messages that are meant, at most C{limit}."""
        found: list[Kept] = []
        following: tuple[float, int] | None = position
        while following is not None and len(found) < limit:
            page = await self._spool.kept.page(query, following, LOOK)
            found += page.found
            following = page.position
        return found[:limit]

    def requests(self) -> list[ResubmitRequest]:
        """Those of this run of the relay, the last ones first."""
        return list(reversed(self._requests))

    def resubmit(self, query: KeptQuery) -> ResubmitRequest:
        """Begin to deliver kept messages again; what is delivered from now on is not meant."""
        self._count += 1
        now = self._clock.seconds()
        request = ResubmitRequest(self._count, attrs.evolve(query, end=min(query.end, now)), now)
        self._requests.append(request)
        Deferred.fromCoroutine(self._work(request)).addErrback(self._broken, request)
        return request

    def cancel(self, identity: int) -> bool:
        """Let a request end; False where there is none under way."""
        for request in self._requests:
            if request.identity == identity and request.state == "Running":
                request.state = "Cancelled"
                return True
        return False

    def _broken(self, failure: Failure, request: ResubmitRequest) -> None:
        request.state = "Failed"
        request.error = failure.getErrorMessage()
        self._events.emit(ServiceEvent("error", f"resubmit request {request.identity} failed: {request.error}"))

    async def _work(self, request: ResubmitRequest) -> None:
        position: tuple[float, int] | None = START
        while position is not None:
            page = await self._spool.kept.page(request.query, position, LOOK)
            for start in range(0, len(page.found), TOGETHER):
                while (self._held() or not self._spool.healthy) and request.state == "Running" and not self._stopped:
                    await self._pause(HELD)
                if request.state != "Running" or self._stopped:
                    return
                again = [Deferred.fromCoroutine(self._again(kept, request)) for kept in page.found[start : start + TOGETHER]]
                await DeferredList(again, fireOnOneErrback=True, consumeErrors=True)
                await self._pause()
            position = page.position
        request.state = "Completed"
        text = f"resubmit request {request.identity} is complete: {request.resubmitted} in the queue again"
        self._events.emit(ServiceEvent("info", f"{text}, {request.failed} could not be" if request.failed else text))

    async def _again(self, kept: Kept, request: ResubmitRequest) -> None:
        try:
            message = await self._copy(kept.message)
            await self._spool.store(message)
        except SpoolError as error:
            request.failed += 1
            request.error = str(error)
            return
        request.resubmitted += 1
        self._events.emit(Resubmitted(message, kept.message.id))
        self._submit(message)

    async def _copy(self, kept: Message) -> Message:
        """A new message; what its sender wished about its time is over."""
        content = self._spool.new_content()
        done = 0
        try:
            while done < kept.size:
                part = await kept.content.read(done, PIECE)
                if not part:
                    raise SpoolError(f"message {kept.id} is no longer kept", LOCAL_ERROR)
                content.write(part)
                done += len(part)
                if content.backlog() > PIECE:
                    await content.drained()
        except SpoolError:
            content.abort()
            raise
        origin = kept.origin
        return Message(
            self._spool.next_id(),
            kept.sender,
            [Recipient(place, each.address, each.parameters) for place, each in enumerate(kept.recipients)],
            kept.message_id,
            self._clock.seconds(),
            content,
            attrs.evolve(kept.parameters, deliver_by=None, hold_for=0, hold_until=0.0),
            Origin("SAFETYNET", origin.connector, origin.client, origin.helo, origin.user, origin.session),
        )
