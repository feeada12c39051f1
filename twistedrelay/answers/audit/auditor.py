"""The audit of a running relay: at the start, after each change of the configuration, once every C{audit_interval}, and when asked.

It decides when an audit is made and what the log hears of it: a warning for each finding that is High or Critical, once while it stays so.
Smart hosts are only tried on schedule and where it is asked for.  All work is done in a thread, one audit at a time.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistedrelay.answers.audit.document import Report, counted
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.answers.audit.used import UNUSED
from twistedrelay.answers.audit.whole import as_it_runs, audit
from twistedrelay.answers.waiting import to_its_end
from twistedrelay.config.schema import Config
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.usage import Usage

#: Seconds that the record of clients may take.
_PATIENCE = 10.0

#: Audits that may wait for their turn.
MOST_WAITING = 4

_DAY = 86400.0


class Audited(Protocol):
    """What is audited.

    @ivar config: what it runs with now.
    @ivar usage: gives the recorded clients that were seen since a time.
    """

    @property
    def config(self) -> Config: ...
    @property
    def usage(self) -> Callable[[float], Deferred[Sequence[Usage]]]: ...


class Busy(Exception):
    """Too many audits wait."""


class Auditor(Service):
    """See the module.

    @ivar last: the last report.
    """

    log = Logger()

    def __init__(self, reactor: Any, file: str, relay: Callable[[], Audited], emit: Callable[[ServiceEvent], None], ends: set[str]) -> None:
        """
        @param file: the configuration's first file, C{""} where there is none.
        @param relay: gives the relay; first asked when this starts.
        @param ends: holds the C{"address:port"} of each connection of the self-test, while it lasts.
        """
        self.last: Report | None = None
        self._reactor = reactor
        self._file = file
        self._relay = relay
        self._emit = emit
        self._ends = ends
        self._turn = DeferredLock()
        self._told: frozenset[tuple[str, str, str]] = frozenset()
        self._next: IDelayedCall | None = None
        self._asked = False  # one that nobody else asked for waits for its turn

    def startService(self) -> None:
        """Audit now, and go on."""
        super().startService()
        self._begin(resolve=False)

    def stopService(self) -> None:
        """Begin nothing more."""
        super().stopService()
        if self._next is not None and self._next.active():
            self._next.cancel()

    def changed(self) -> None:
        """Another configuration is in use."""
        if self.running:
            self._begin(resolve=False)

    async def audit(self, *, probe: bool = False, resolve: bool = False) -> Report:
        """Audit now.

        @raise Busy: too many wait.
        """
        if len(self._turn.waiting) >= MOST_WAITING:
            raise Busy("too many audits wait for their turn; try again in a moment")
        await self._turn.acquire()
        return await to_its_end(Deferred.fromCoroutine(self._in_turn(probe, resolve)))

    def _begin(self, resolve: bool) -> None:
        """Audit of our own accord, and again after the interval; one that waits already sees what there is when its turn comes."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = self._reactor.callLater(self._relay().config.audit_interval, self._begin, True)
        if not self._asked:
            self._asked = True
            work = Deferred.fromCoroutine(self._of_our_own(resolve))
            work.addCallbacks(self._tell, lambda failure: self.log.failure("the audit failed", failure))

    async def _of_our_own(self, resolve: bool) -> Report:
        await self._turn.acquire()
        self._asked = False
        return await self._in_turn(False, resolve)

    async def _in_turn(self, probe: bool, resolve: bool) -> Report:
        try:
            return await self._audit(probe, resolve)
        finally:
            self._turn.release()

    async def _audit(self, probe: bool, resolve: bool) -> Report:
        now = self._reactor.seconds()
        usage: Sequence[Usage] | None = None
        try:
            usage = await self._relay().usage(now - 2 * UNUSED * _DAY).addTimeout(_PATIENCE, self._reactor)
        except TimeoutError:
            self.log.warn("the record of clients did not answer: the audit goes without it")
        except sqlite3.Error as error:
            self.log.warn("the record of clients cannot be read ({error}): the audit goes without it", error=error)
        work = functools.partial(self._blocking, self._relay().config, usage, now, probe, resolve)
        report: Report = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)
        self.last = report
        return report

    def _blocking(self, config: Config, usage: Sequence[Usage] | None, now: float, probe: bool, resolve: bool) -> Report:
        loaded, differs = as_it_runs(config, self._file)
        return audit(loaded, now, usage=usage, wants_probe=probe, wants_hosts=resolve, live=True, also=differs, ends=self._ends)

    def _tell(self, report: Report) -> None:
        """Say what is new; what is gone may come back and is new then."""
        bad = counted(report, Severity.HIGH)
        for found in bad:
            if (found.code, found.object, found.severity) not in self._told:
                cure = f"; {found.cure}" if found.cure else ""
                text = f"audit: {found.severity} {found.code}: {found.object}: {found.reason}{cure}"
                self._emit(ServiceEvent("warn", text, "audit_finding"))
        self._told = frozenset((found.code, found.object, found.severity) for found in bad)
