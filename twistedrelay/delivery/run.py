"""One run over SMTP or LMTP: a lane, its connection, its jobs.

Decides when a run goes on with a new connection (the kept one had died while idle, the old one had carried as many messages as it
may) and when it ends: no jobs, no connection to be had, or the connection lost on the way; then the schedule decides what comes next.
What a server said to a message, that it asks for less among it, is in the outcome of that message, from which the lane learns; once the
lane holds back, it has no more jobs for this run.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twistedrelay.delivery.client import Connection
from twistedrelay.delivery.connector import Connector
from twistedrelay.delivery.parts import Parts
from twistedrelay.delivery.pool import Pool, is_same_way
from twistedrelay.delivery.session import NoConnection, own_reply, waiting
from twistedrelay.interfaces import ILane
from twistedrelay.values.envelope import Job, Outcome, Recipient
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.wire.client_values import Broken

STOPPING = Reply(421, "4.3.2", "Service is shutting down")


class Run:
    """The worker of one connection at a time.

    @ivar finished: fires as C{IAttempt.run} does.
    """

    def __init__(self, lane: ILane, pool: Pool, connector: Connector, adopted: Callable[[Connection], None]) -> None:
        self.finished: Deferred[Reply | None] = Deferred()
        self._lane = lane
        self._pool = pool
        self._connector = connector
        self._adopted = adopted
        self._stopping = False
        self._held: Job | None = None  # taken to see whether a new connection is worth making
        self._connecting: Deferred[None] | None = None
        self._kept = False
        self._worked = False  # a job has ended
        self._route = lane.route  # that the connection was made for
        self._parts = Parts(lane)

    def start(self) -> None:
        """Begin, on a kept connection where there is one."""
        self._route = self._lane.route
        connection = self._pool.take(self._route)
        if connection is None:
            self._connect()
        else:
            self._work(connection, True)

    def stop(self) -> None:
        """No new transactions."""
        self._stopping = True
        if self._connecting is not None:
            self._connecting.cancel()

    def _work(self, connection: Connection, kept: bool) -> None:
        self._kept = kept
        connection.work(self, kept)

    def _connect(self) -> None:
        connecting = self._connecting = Deferred.fromCoroutine(self._connected())
        connecting.addErrback(self._not_connected)

    async def _connected(self) -> None:
        self._route = self._lane.route
        connection = await self._connector.connect(self._route)
        self._connecting = None
        self._adopted(connection)
        self._work(connection, False)

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        error = failure.value
        if self._stopping or isinstance(error, CancelledError):
            self._end(STOPPING)
        elif isinstance(error, NoConnection):
            self._end(error.reply)
        else:
            self._end(own_reply(LOCAL_ERROR.code, LOCAL_ERROR.enhanced, f"Delivery failed: {failure.getErrorMessage()}"))

    def _end(self, reply: Reply | None) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.untried(held)
        self._parts.close()
        self.finished.callback(reply)

    # What the connection asks and tells.

    def take(self) -> Job | None:
        """The next job; none for a connection that was made as the lane's would not be made now."""
        if self._stopping or (self._lane.route is not self._route and not self._is_current()):
            return None
        if self._held is not None:
            held, self._held = self._held, None
            return held
        return (self._parts.next() if self._parts.whole else None) or self._lane.take()

    def _is_current(self) -> bool:
        """Whether the connection would be made alike for the lane's route as it is now."""
        current = is_same_way(self._lane.route, self._route)
        if current:
            self._route = self._lane.route
        return current

    def done(self, job: Job, outcomes: list[Outcome]) -> None:
        """What became of a job."""
        self._worked = True
        if not (self._parts.whole and self._parts.done(job, outcomes)):
            self._lane.done(job, outcomes)

    def untried(self, job: Job) -> None:
        """A job that could not begin."""
        if not self._parts.put_back(job):
            self._lane.give_back(job)

    def divide(self, job: Job, now: list[Recipient], later: list[Recipient], reason: Reply) -> Job:
        """A job takes more than one transaction."""
        return self._parts.divide(job, now, later, reason)

    def rested(self, connection: Connection) -> None:
        """No more jobs, or the connection has carried enough."""
        if not connection.exhausted and not self._stopping:
            self._pool.put(connection, self._route)
            self._end(None)
            return
        connection.quit()
        self._held = self.take()
        if self._held is None:
            self._end(None)
        else:
            self._connect()

    def lost(self, connection: Connection, broken: Broken) -> None:
        """The session ended under way."""
        if self._worked or self._stopping:
            self._end(None)
        elif self._kept:  # it had died while it was idle
            self._connect()
        else:  # as good as no connection: the schedule must not come back at once
            self._end(waiting(broken.reply))
