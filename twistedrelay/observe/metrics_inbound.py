"""The metrics of what comes in: sessions, replies, TLS, logins, messages, back pressure."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from twistedrelay.observe.metrics_families import by_one, counter, counters, gauge, gauges, histogram, tally
from twistedrelay.observe.metrics_sources import Sources


def inbound(sources: Sources) -> Iterator[Metric]:
    """All of them."""
    tallies = sources.counters.tallies
    now = dict.fromkeys(sources.counters.replies_by_connector, 0) | dict(sources.by_connector())
    yield gauges("sessions", "SMTP sessions now, by receive connector.", ["connector"], by_one(now))
    yield gauge("sessions_tarpitted", "Sessions whose reply is held back now.", sources.sessions.tarpitted())
    yield tally("sessions_opened", "SMTP sessions since the start.", tallies.sessions)
    yield tally("sessions_refused", "Connections turned away before the banner, by the limit that fired.", tallies.refused)
    yield tally("sessions_closed", "SMTP sessions that ended, by how.", tallies.closed)
    yield histogram("session_duration_seconds", "How long SMTP sessions lasted.", tallies.session_seconds)
    by_code = (
        ((name, str(code)), number) for name, codes in sources.counters.replies_by_connector.items() for code, number in codes.items()
    )
    yield counters("smtp_replies", "Replies given, by code.", ["connector", "code"], by_code)
    yield tally("smtp_commands_refused", "Commands (or messages, at their end) answered 4xx or 5xx.", tallies.refused_commands)
    yield tally("tls_sessions", "TLS handshakes of clients that ended well.", tallies.tls)
    yield tally("tls_handshake_failures", "TLS handshakes of clients that failed.", tallies.tls_failed)
    yield histogram("tls_handshake_seconds", "How long TLS handshakes of clients took.", tallies.handshakes)
    yield tally("logins", "AUTH, by how it ended: success, failure, or unknown where nobody could tell.", tallies.logins)
    yield tally("logon_lockouts", "Clients and accounts locked out for a time, by the limit that fired.", tallies.locks)
    yield tally("messages_received", "Messages taken into the spool.", tallies.received)
    yield tally("received_bytes", "Octets of these messages.", tallies.received_octets)
    totals = sources.counters.totals
    yield counter("uncertain_receipts", "Messages taken whose 250 may not have reached the client.", totals.receive_uncertain)
    yield gauge("buffered_bytes", "Octets of clients held in memory.", sources.buffers.used)
    yield gauge("buffered_limit_bytes", "How many may be (max_buffered_size).", sources.buffers.limit)


def back_pressure(sources: Sources) -> Iterator[Metric]:
    """Resources and what follows from them."""
    pressure = sources.pressure
    resources = pressure.resources.values()
    yield gauge("back_pressure_level", "0 is Low, 1 Medium, 2 High: the highest of the resources that refuse.", pressure.level)
    levels = (((resource.name,), int(resource.level)) for resource in resources)
    yield gauges("back_pressure_resource_level", "0 is Low, 1 Medium, 2 High.", ["resource"], levels)
    read = (((resource.name,), resource.reading.value) for resource in resources if resource.reading is not None)
    yield gauges("back_pressure_resource_value", "The last sample: per cent, or messages for queues.", ["resource"], read)
    yield gauge("back_pressure_delay_seconds", "How long sessions without trust wait for the answer to MAIL.", pressure.delay)
    yield counter("back_pressure_refused", "MAIL commands refused for want of resources.", pressure.refused)
    yield counter("back_pressure_delayed", "MAIL commands that had to wait.", pressure.delayed)
