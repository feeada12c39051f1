"""Whether a relay is fit for work: what /readyz, the watchdog and C{relayctl health} go by.

It decides which checks there are and what each needs to pass; it never changes anything but a time in the spool, which proves that the
disk takes it.  A check that nobody can answer in time has failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.threads import deferToThreadPool

from twistedrelay.interfaces import SpoolError

#: Seconds that the spool's thread may be at one step, and that the schedule may be late.
STALL = 15.0
#: Seconds for which a commit proves that the disk works.
FRESH = 30.0
#: Seconds that the disk has to take a proof.
PROBE_TIMEOUT = 5.0

#: Listeners with their state: C{("127.0.0.1:25", True)}.
Listeners = Callable[[], Sequence[tuple[str, bool]]]


@attrs.frozen(slots=True)
class Check:
    """What one check found.

    @ivar reason: why it failed, or what there is to know.
    """

    name: str
    ok: bool
    reason: str = ""


class SpoolState(Protocol):
    """What is asked of the spool."""

    healthy: bool

    @property
    def gauge(self) -> Any: ...


class ScheduleState(Protocol):
    """What is asked of the schedule."""

    @property
    def may_run(self) -> bool: ...
    @property
    def alarm(self) -> Any: ...


class Pressure(Protocol):
    """What is asked of back pressure."""

    @property
    def level(self) -> int: ...
    @property
    def reason(self) -> str: ...


#: The level of back pressure at which nothing is taken.
_HIGH = 2


class Health:
    """See the module.

    @ivar started: everything is bound and open.
    @ivar stopping: the relay shuts down.
    """

    def __init__(
        self,
        reactor: Any,
        spool: SpoolState,
        schedule: ScheduleState,
        pressure: Pressure,
        listeners: Listeners,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param now: a clock that is never set.
        """
        self.started = self.stopping = False
        self._clock = reactor
        self._spool = spool
        self._schedule = schedule
        self._pressure = pressure
        self._listeners = listeners
        self._now = now
        self._asked_at: float | None = None  # when a thread was asked to do nothing, and has not done it yet

    def stuck(self, patience: float = STALL) -> str:
        """Why the relay works no more and a restart is all that may help, or C{""}: its own threads and timers, not the world's state."""
        stalled = self._spool.gauge.measures.stalled()
        if stalled > patience:
            return _stalled(stalled)
        late = self._schedule.alarm.late()
        return f"the schedule is {late:.0f} s late" if late > patience else ""

    async def check(self) -> list[Check]:
        """All checks."""
        answered = self._ask_thread()
        spool = await self._check_writing()
        if spool.ok:
            spool = await self._check_reading(spool)
        threads = await self._check_threads(answered)
        return [spool, threads, self._check_listeners(), self._check_schedule(), self._check_pressure(), self._check_phase()]

    def _ask_thread(self) -> Deferred[None]:
        """Let a thread do nothing, unless one was asked to; fires when it has, or fails when that takes too long."""
        waiting: Deferred[None] = Deferred()
        if self._asked_at is not None:
            waiting.callback(None)
            return waiting
        self._asked_at = self._now()

        def answered(result: object) -> None:
            self._asked_at = None
            if not waiting.called:
                waiting.callback(None)

        deferToThreadPool(self._clock, self._clock.getThreadPool(), int).addBoth(answered)
        return waiting.addTimeout(PROBE_TIMEOUT, self._clock)

    async def _check_threads(self, answered: Deferred[None]) -> Check:
        """Logins, certificates and deliveries wait for threads."""
        try:
            await answered
        except TimeoutError:
            pass
        else:
            if self._asked_at is None or self._now() - self._asked_at < PROBE_TIMEOUT:
                return Check("threads", True)
        return Check("threads", False, f"no thread was free for {PROBE_TIMEOUT:.0f} s")

    async def _check_reading(self, written: Check) -> Check:
        """What waits on disk only is never sent where it cannot be read."""
        asked: Deferred[int] = self._spool.gauge.used_database()
        try:
            await asked.addTimeout(PROBE_TIMEOUT, self._clock)
        except TimeoutError:
            return Check(written.name, False, f"the spool could not be read within {PROBE_TIMEOUT:.0f} s")
        except SpoolError as error:
            return Check(written.name, False, str(error))
        return written

    async def _check_writing(self) -> Check:
        spool, name = self._spool, "spool"
        if not spool.healthy:
            return Check(name, False, "the spool cannot be written to")
        measures = spool.gauge.measures
        stalled = measures.stalled()
        if stalled > PROBE_TIMEOUT:
            return Check(name, False, _stalled(stalled))
        age = self._now() - measures.committed_at
        if age <= FRESH:
            return Check(name, True, f"the last commit was {age:.0f} s ago")
        try:
            proof: Deferred[None] = spool.gauge.probe(self._clock.seconds())
            await proof.addTimeout(PROBE_TIMEOUT, self._clock)
        except TimeoutError:
            return Check(name, False, f"the disk did not take a probe within {PROBE_TIMEOUT:.0f} s")
        except SpoolError as error:
            return Check(name, False, str(error))
        return Check(name, True, "a probe was written")

    def _check_listeners(self) -> Check:
        bound = self._listeners()
        missing = [place for place, connected in bound if not connected]
        if missing:
            return Check("listeners", False, f"not listening on {', '.join(missing)}")
        return Check("listeners", True, f"{len(bound)} bound") if bound else Check("listeners", self.stopping, "none is bound")

    def _check_schedule(self) -> Check:
        late = self._schedule.alarm.late()
        if late > STALL:
            return Check("schedule", False, f"it is {late:.0f} s late")
        return Check("schedule", True) if self._schedule.may_run else Check("schedule", False, "delivery is paused")

    def _check_pressure(self) -> Check:
        return Check("back_pressure", self._pressure.level < _HIGH, self._pressure.reason)

    def _check_phase(self) -> Check:
        if self.stopping:
            return Check("phase", False, "shutting down")
        return Check("phase", True, "running") if self.started else Check("phase", False, "starting")


def _stalled(seconds: float) -> str:
    return "the spool's thread has ended" if seconds == float("inf") else f"the spool's thread has been stuck for {seconds:.0f} s"
