"""Delivery, as the schedule sees it: runs over lanes.

Decides which kind of run a route gets, and how delivery stops: connections that are being made are given up and idle ones closed at
once, transactions may end until the time is over, then what has not got as far as its final dot goes back to its lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from twistedrelay.delivery.client import Connection
from twistedrelay.delivery.connector import ClientCreator, Connector
from twistedrelay.delivery.fit import Fitter
from twistedrelay.delivery.logins import Logins
from twistedrelay.delivery.maildir import MaildirRun, MaildirWriter
from twistedrelay.delivery.pool import MAX_IDLE, Pool
from twistedrelay.delivery.run import STOPPING, Run
from twistedrelay.delivery.session import LIMITS, Dialogues
from twistedrelay.interfaces import IAttempt, IEventSink, ILane, ILogins, IResolver
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_values import Stage


@implementer(IAttempt)
class DeliveryAgent:
    """Makes delivery runs.

    @param reactor: TCP, UNIX sockets, time and threads.
    @param client_creator: makes the TLS side of a connection from a policy and a host name.
    @param limits: seconds each stage of a session may last.
    @param dialogues: asked for each connection who wants to know what is said in it.
    @param logins: where secrets come from; without, passwords are read and there are no tokens.
    @ivar measures: how long delivery takes.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: IResolver,
        client_creator: ClientCreator,
        events: IEventSink,
        *,
        connect_timeout: float = 30.0,
        limits: Mapping[Stage, float] = LIMITS,
        max_idle: int = MAX_IDLE,
        logins: ILogins | None = None,
        at_work: Callable[[int], AbstractContextManager[Any]] = nullcontext,
        dialogues: Dialogues = lambda session, connector, remote: None,
    ) -> None:
        self._reactor = reactor
        self._pool = Pool(max_idle)
        self._connections: set[Connection] = set()
        self._runs: set[Run | MaildirRun] = set()
        self._stopped: Deferred[None] | None = None
        fitter = Fitter(reactor, at_work)
        logins = logins or Logins(reactor)
        self._connector = Connector(
            reactor, resolver, client_creator, events, limits, connect_timeout, fitter, self._gone, logins, dialogues
        )
        self._maildir = MaildirWriter(reactor, fitter)
        self.measures = self._connector.measures

    def run(self, lane: ILane) -> Deferred[Reply | None]:
        """Work on a lane; see L{IAttempt.run}."""
        if self._stopped is not None:
            return succeed(STOPPING)
        run: Run | MaildirRun
        if lane.route.kind == "maildir":
            run = MaildirRun(lane, self._maildir)
        else:
            run = Run(lane, self._pool, self._connector, self._connections.add)
        self._runs.add(run)

        def ended(reply: Reply | None) -> Reply | None:
            self._runs.discard(run)
            self._look()
            return reply

        run.finished.addCallback(ended)
        run.start()
        return run.finished

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back: no next hop is late for that."""
        self._connector.deadlines.wait_on(seconds)

    @property
    def connections(self) -> int:
        """Sessions with next hops that are set up."""
        return len(self._connections)

    def stop(self, seconds: float) -> Deferred[None]:
        """No new transactions; see L{IAttempt.stop}."""
        if self._stopped is not None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        self._pool.close()
        for run in list(self._runs):
            run.stop()
        timer = self._reactor.callLater(seconds, self._drop)

        def over(result: None) -> None:
            if timer.active():
                timer.cancel()

        stopped.addCallback(over)
        self._look()
        return stopped

    def _drop(self) -> None:
        """Time is over."""
        for connection in list(self._connections):
            connection.abort(STOPPING, give_back=True)
        if self._stopped is not None and not self._stopped.called:
            self._stopped.callback(None)

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._pool.discard(connection)
        self._look()

    def _look(self) -> None:
        """Whether all has come to an end."""
        stopped = self._stopped
        if stopped is not None and not stopped.called and not self._runs and not self._connections:
            stopped.callback(None)
