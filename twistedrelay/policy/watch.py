"""Samples the resources again and again, and tells back pressure.

Decides when a sample is taken and where each number comes from; what follows from them is L{twistedrelay.policy.pressure}'s.  A sample
that cannot be taken changes nothing; while a disk hangs, none is taken at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink, SpoolError
from twistedrelay.policy.pressure import BackPressure, Change, Level, Reading
from twistedrelay.policy.resources import MEGABYTE, FileSystem, disk_reading, file_system, is_plenty, memory_readings
from twistedrelay.values.events import ServiceEvent


class SpoolGauge(Protocol):
    """What is asked of the spool.

    @ivar directory: where it is.
    """

    directory: str

    def used_database(self) -> Deferred[int]:
        """Octets that the database holds."""

    def due(self, before: float, most: int) -> Deferred[int]:
        """How many messages are due that wait for no lane; not more than C{most} are counted."""

    def spare_memory(self) -> None:
        """Forget what can be read again."""


class Schedule(Protocol):
    """What is asked of the schedule."""

    def room(self) -> int:
        """How many messages more may be in memory."""

    @property
    def queues(self) -> Any:
        """With C{in_memory}."""


#: Room in the schedule's memory below which messages may wait on disk for no other reason.
NO_ROOM = 500


class PressureWatch(Service):
    """See the module.

    @param logs: directories besides the spool's whose file systems count.
    @param count: how many messages are in the spool.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        pressure: BackPressure,
        gauge: SpoolGauge,
        schedule: Schedule,
        count: Callable[[], Deferred[int]],
        events: IEventSink,
        logs: Sequence[str] = (),
    ) -> None:
        self._reactor = reactor
        self._pressure = pressure
        self._gauge = gauge
        self._schedule = schedule
        self._count = count
        self._events = events
        self._paths = (gauge.directory, *logs)
        self._trouble = ""
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Take the first sample, and go on."""
        super().startService()
        self._loop.start(self._pressure.settings.resource_monitoring_interval, now=True).addErrback(self._failed)

    def stopService(self) -> None:
        """Take no more samples."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def look(self) -> Deferred[None]:
        """Take a sample."""
        settings = self._pressure.settings
        if not settings.enable_resource_monitoring:
            return succeed(None)
        self._loop.interval = settings.resource_monitoring_interval
        return Deferred.fromCoroutine(self._sample()).addErrback(self._failed)

    async def _sample(self) -> None:
        pool = self._reactor.getThreadPool()
        readings, room = await deferToThreadPool(self._reactor, pool, self._of_machine)
        with suppress(SpoolError):  # it says so itself
            readings.update(await self._of_spool(room))
        for change in self._pressure.sample(readings):
            self._tell(change)
        if self._is_short("system_memory") or self._is_short("private_bytes"):
            self._gauge.spare_memory()

    def _of_machine(self) -> tuple[dict[str, Reading], FileSystem | None]:
        """In the thread: disk and memory, and the spool's file system."""
        found = memory_readings()
        disk = disk_reading(self._paths, self._sufficient("used_disk_space"))
        if disk is not None:
            found["used_disk_space"] = disk
        try:
            return found, file_system(self._gauge.directory)
        except OSError:
            return found, None

    async def _of_spool(self, room: FileSystem | None) -> dict[str, Reading]:
        """What the spool and the schedule hold."""
        settings, schedule, found = self._pressure.settings, self._schedule, {}
        if settings.database_used_space is not None and room is not None:
            used = await self._gauge.used_database()
            plenty = is_plenty(room, self._sufficient("database_used_space"))
            share = 0.0 if plenty else 100.0 * used / max(used + room.free, 1)
            found["database_used_space"] = Reading(share, f"{used // MEGABYTE} MB in the database, {room.free // MEGABYTE} MB free")
        limits = settings.submission_queue_length
        if limits is not None:
            waiting = 0
            if schedule.room() < NO_ROOM or self._is_short("submission_queue_length"):  # its room comes and goes while it reads
                in_memory = schedule.queues.in_memory
                due = await self._gauge.due(self._reactor.seconds(), in_memory + limits.medium_to_high + 1)
                waiting = max(0, due - in_memory)
            found["submission_queue_length"] = Reading(waiting)
        if settings.queue_length is not None:
            found["queue_length"] = Reading(await self._count())
        return found

    def _is_short(self, resource: str) -> bool:
        return self._pressure.resources[resource].level > Level.LOW

    def _sufficient(self, resource: str) -> int:
        """The octets with which percentages do not matter; a tenth more where it was short, so that this does not flutter either."""
        enough = self._pressure.settings.sufficient_free_disk_space
        return enough + enough // 10 if self._is_short(resource) else enough

    def _tell(self, change: Change) -> None:
        level = "info" if not change.rises else "error" if change.after is Level.HIGH else "warn"
        self._events.emit(ServiceEvent(level, str(change), "back_pressure"))

    def _failed(self, failure: Failure) -> None:
        """Each trouble is told once."""
        text = failure.getErrorMessage()
        if text != self._trouble:
            self._trouble = text
            self.log.failure("the resources could not be measured", failure)
