"""The metrics of the relay itself: spool, certificates, threads, the reactor, records that were lost, health."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.core import InfoMetricFamily, Metric

import twisted
from twistedrelay.observe.health import Check
from twistedrelay.observe.metrics_families import PREFIX, by_one, counter, counters, gauge, gauges, histogram, tally
from twistedrelay.observe.metrics_sources import Sources


def spool(sources: Sources, figures: Any | None, room: tuple[float, float] | None) -> Iterator[Metric]:
    """The spool.

    @param figures: how full it is, None where it does not tell.
    @param room: octets of its file system, and how many of them are free.
    """
    gauge_of = sources.spool.gauge
    measures = gauge_of.measures
    yield gauge("spool_healthy", "Whether the spool can be written to.", float(sources.spool.healthy))
    stalled = measures.stalled()
    yield gauge("spool_stalled_seconds", "How long the spool's thread has been at one step.", stalled if stalled < math.inf else -1.0)
    yield gauge("spool_waiting_changes", "Changes that wait for the spool's thread.", gauge_of.waiting)
    yield histogram("spool_batch_changes", "Changes in one transaction.", measures.batches)
    yield histogram("spool_fsync_seconds", "How long the disk took for a commit.", measures.syncs)
    yield histogram("spool_commit_seconds", "From the first change of a transaction until it was durable.", measures.commits)
    yield counter("spool_commit_failures", "Times that the disk did not take what was written.", measures.failures)
    yield gauge("spool_cache_bytes", "Octets of messages in memory.", gauge_of.cached)
    yield gauge("spool_doubtful_messages", "Messages that were due when the last run ended without a shutdown.", sources.spool.doubtful)
    if figures is not None:
        age = max(0.0, sources.clock.seconds() - figures.oldest) if figures.oldest else 0.0
        yield gauge("queue_messages", "Messages in the spool.", figures.messages)
        yield gauge("queue_oldest_message_age_seconds", "The age of the oldest one.", age)
        yield gauge("spool_database_bytes", "The database file.", figures.database)
        yield gauge("spool_database_free_bytes", "What of it holds nothing.", figures.free)
        yield gauge("spool_wal_bytes", "The write-ahead log.", figures.log)
    if room is not None:
        yield gauge("spool_filesystem_size_bytes", "The spool's file system.", room[0])
        yield gauge("spool_filesystem_free_bytes", "What of it the relay can have still.", room[1])


def certificates(sources: Sources) -> Iterator[Metric]:
    """When each certificate ends."""
    ends = {
        (certificate.thumbprint, ",".join(certificate.names) or certificate.subject, certificate.file): certificate.not_after.timestamp()
        for certificate in sources.certificates()
    }
    labels = ["thumbprint", "names", "file"]
    yield gauges("certificate_expiry_timestamp_seconds", "When the certificate ends.", labels, ends.items())


def inside(sources: Sources, checks: Sequence[Check]) -> Iterator[Metric]:
    """The process."""
    versions = {"version": sources.version, "python": platform.python_version(), "twisted": twisted.__version__}
    yield InfoMetricFamily(PREFIX + "build", "What runs.", value=versions)
    yield gauge("start_time_seconds", "When the relay was started.", sources.started_at)
    ready = {check.name: float(check.ok) for check in checks}
    yield gauges("ready", "Whether each check of /readyz passes.", ["check"], by_one(ready))
    yield histogram("event_loop_lag_seconds", "How late the reactor's timers are.", sources.lag)
    states = {
        (name, state): float(number)
        for name, pool in sources.pools.items()
        for state, number in (("idle", len(pool.waiters)), ("working", len(pool.working)))
    }
    yield gauges("threads", "Threads of pools.", ["pool", "state"], states.items())
    waiting = {name: float(pool._queue.qsize()) for name, pool in sources.pools.items()}
    yield gauges("thread_pool_waiting", "Calls that wait for a thread.", ["pool"], by_one(waiting))
    lost = {what: float(number()) for what, number in sources.counters.losers.items()}
    yield counters("lost_records", "Lines and rows of logs and records that could not be written.", ["what"], by_one(lost))
    yield tally("notices", "What the relay said of itself in its log, by level.", sources.counters.tallies.notices)
