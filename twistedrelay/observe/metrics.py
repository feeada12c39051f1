"""All metrics of a relay, made when somebody asks.

Decides what is asked of the parts and in which thread: numbers are read on the reactor, where they change, some at a time; the text is made
of them in a thread.  Who asks while an answer is being made gets the same one.  Where the spool does not answer, its figures are missing
and the rest is there: metrics are wanted most when something is wrong.

Source: the Prometheus exposition format, OpenMetrics 1.0.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from twistedrelay.interfaces import SpoolError
from twistedrelay.observe.metrics_inbound import back_pressure, inbound
from twistedrelay.observe.metrics_inside import certificates, inside, spool
from twistedrelay.observe.metrics_outbound import outbound, queues
from twistedrelay.observe.metrics_sources import Sources
from twistedrelay.observe.readers import Readers

#: Seconds that the spool has to tell its figures.
PATIENCE = 3.0


class _Snapshot(Collector):
    """Families that were made before."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """See L{Collector}."""
        return iter(self._families)


class Metrics:
    """See the module."""

    def __init__(self, reactor: Any, sources: Sources, in_thread: Callable[..., Deferred[Any]] | None = None) -> None:
        """
        @param in_thread: calls a function in a thread other than those that mail needs; None: in one of the reactor's.
        """
        self._reactor = reactor
        self._in_thread = in_thread or functools.partial(deferToThreadPool, reactor, reactor.getThreadPool())
        self._rooms = Readers(1)  # where a disk hangs, one thread does
        self._sources = sources
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._waiting: list[Deferred[list[Metric]]] = []

    def exposition(self, accept: str) -> Deferred[tuple[str, bytes]]:
        """The content type and the text, as a client's Accept header has it."""
        encode, content_type = choose_encoder(accept)
        return self.families().addCallback(self._encoded, encode, content_type)

    def families(self) -> Deferred[list[Metric]]:
        """All metrics as they are now."""
        waiting: Deferred[list[Metric]] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._gather()).addBoth(self._gathered)
        return waiting

    def _gathered(self, result: list[Metric] | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)

    async def _gather(self) -> list[Metric]:
        sources = self._sources
        gauge = sources.spool.gauge
        asked = [
            self._asked(gauge.figures()),
            self._asked(sources.spool.statuses()),
            self._asked(self._rooms.ask(lambda: self._in_thread(_room, gauge.directory))),
            sources.scheduler.queues.lengths(),
            Deferred.fromCoroutine(sources.health.check()),
        ]
        figures, statuses, room, lanes, checks = await gatherResults(asked, consumeErrors=True)
        families: list[Metric] = []
        for part in (
            lambda: inbound(sources),
            lambda: back_pressure(sources),
            lambda: outbound(sources),
            lambda: queues(sources, lanes, statuses),
            lambda: spool(sources, figures, room),
            lambda: certificates(sources),
            lambda: inside(sources, checks),
        ):
            families += part()
        return families

    def _asked(self, asked: Deferred[Any]) -> Deferred[Any]:
        """What the spool or its disk tells, None where it does not in time."""
        return asked.addTimeout(PATIENCE, self._reactor).addErrback(_untold)

    def _encoded(self, families: list[Metric], encode: Callable[[Any], bytes], content_type: str) -> Deferred[tuple[str, bytes]]:
        def work() -> tuple[str, bytes]:
            return content_type, encode(_Snapshot([*families, *self._process.collect()]))

        return self._in_thread(work)


def _untold(failure: Failure) -> None:
    """It is missing, and the rest is told."""
    failure.trap(SpoolError, TimeoutError)


def _room(directory: str) -> tuple[float, float] | None:
    """In a thread: octets of a directory's file system, and those that are free."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return float(found.f_blocks * found.f_frsize), float(found.f_bavail * found.f_frsize)
