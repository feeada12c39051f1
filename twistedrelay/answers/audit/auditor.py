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
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistedrelay.answers.audit.document import Report, counted
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.answers.audit.used import UNUSED
from twistedrelay.answers.audit.whole import as_it_runs, audit
from twistedrelay.config.schema import Config
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.usage import Usage

#: Seconds between two looks at whether there is something to do.
INTERVAL = 5.0

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

    def __init__(self, reactor: Any, file: str, relay: Callable[[], Audited], emit: Callable[[ServiceEvent], None]) -> None:
        """
        @param file: the configuration's first file, C{""} where there is none.
        @param relay: gives the relay; first asked when this starts.
        """
        self.last: Report | None = None
        self._reactor = reactor
        self._file = file
        self._relay = relay
        self._emit = emit
        self._turn = DeferredLock()
        self._told: frozenset[tuple[str, str, str]] = frozenset()
        self._seen: Config | None = None
        self._due = 0.0
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Audit now, and look on."""
        super().startService()
        self._loop.start(INTERVAL).addErrback(lambda failure: self.log.failure("the audit ended", failure))

    def stopService(self) -> None:
        """Begin nothing more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    async def audit(self, *, probe: bool = False, resolve: bool = False) -> Report:
        """Audit now.

        @raise Busy: too many wait.
        """
        if len(self._turn.waiting) >= MOST_WAITING:
            raise Busy("too many audits wait for their turn; try again in a moment")
        await self._turn.acquire()
        try:
            return await self._audit(probe, resolve)
        finally:
            self._turn.release()

    def _look(self) -> None:
        config, now = self._relay().config, self._reactor.seconds()
        on_schedule = now >= self._due
        if self._turn.locked or (config is self._seen and not on_schedule):
            return
        first = self._seen is None
        self._seen, self._due = config, now + config.audit_interval
        work = Deferred.fromCoroutine(self.audit(resolve=on_schedule and not first))
        work.addCallbacks(self._tell, lambda failure: self.log.failure("the audit failed", failure))

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
        return audit(loaded, now, usage=usage, wants_probe=probe, wants_hosts=resolve, live=True, also=differs)

    def _tell(self, report: Report) -> None:
        """Say what is new; what is gone may come back and is new then."""
        bad = counted(report, Severity.HIGH)
        for found in bad:
            if (found.code, found.object, found.severity) not in self._told:
                cure = f"; {found.cure}" if found.cure else ""
                text = f"audit: {found.severity} {found.code}: {found.object}: {found.reason}{cure}"
                self._emit(ServiceEvent("warn", text, "audit_finding"))
        self._told = frozenset((found.code, found.object, found.severity) for found in bad)
