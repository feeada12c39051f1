"""The watching part of a relay, put together: metrics, health and the service manager, with all that they read from.

It decides nothing: it hands the parts to each other.  L{twistedrelay.service} starts and stops it.
"""

from __future__ import annotations

import functools
from typing import Any

from twistedrelay import __version__
from twistedrelay.config.schema import Config
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.health import Health
from twistedrelay.observe.metrics import Metrics
from twistedrelay.observe.metrics_sources import Sources
from twistedrelay.observe.monitoring import Monitoring
from twistedrelay.observe.threads import RecordThreads
from twistedrelay.receiving import Receiving
from twistedrelay.sending import Sending
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.histogram import Histogram


def make_monitoring(
    config: Config,
    reactor: Any,
    sending: Sending,
    counters: Counters,
    receiving: Receiving,
    store: CertificateStore,
    threads: RecordThreads,
) -> Monitoring:
    """All of it.

    @param threads: those of logs and records.
    """
    spool, scheduler, pressure = sending.spool, sending.scheduler, sending.pressure
    health = Health(reactor, spool, scheduler, pressure, receiving.listeners.states)
    lag = Histogram()
    sources = Sources(
        clock=reactor,
        version=__version__,
        started_at=reactor.seconds(),
        counters=counters,
        by_connector=receiving.counts.by_connector,
        sessions=receiving.sessions,
        buffers=receiving.buffers,
        spool=spool,
        scheduler=scheduler,
        names=sending.names,
        certificates=store.list,
        pressure=pressure,
        health=health,
        lag=lag,
        pools={"reactor": reactor.getThreadPool(), "records": threads.pool},
    )
    metrics = Metrics(reactor, sources, threads.run)
    listen = config.metrics.listen if config.metrics is not None else ""
    return Monitoring(reactor, listen, health, lag, metrics, functools.partial(_status, receiving, pressure, scheduler))


def _status(receiving: Receiving, pressure: Any, scheduler: Any) -> str:
    """A line for C{systemctl status}."""
    short = f"; {pressure.reason}" if pressure.reason else ""
    counts = f"{receiving.sessions.count()} sessions, {scheduler.queues.in_memory} messages in memory"
    return f"{counts}, back pressure {pressure.level.label}{short}"
