"""The metrics of what goes out: recipients, times, connections and their TLS, the DNS, queues.

Of queues only the longest are told apart: a relay may have ten thousand, and a time series for each would be the monitoring's ruin.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.core import Metric

from twistedrelay.observe.metrics_families import by_one, counter, counters, gauge, gauges, histogram, tally
from twistedrelay.observe.metrics_sources import Sources

#: Lanes that are told apart.
LONGEST = 25

#: What stands for all others.
REST = "(rest)"


def outbound(sources: Sources) -> Iterator[Metric]:
    """Deliveries."""
    tallies, totals = sources.counters.tallies, sources.counters.totals
    attempt = sources.scheduler.attempt
    measures = attempt.measures
    yield tally("recipients", "Attempts by recipient: delivered, deferred or failed, with the reply's code.", tallies.outcomes)
    yield tally("delivered_bytes", "Octets of delivered messages, for each recipient.", tallies.delivered_octets)
    yield histogram("delivery_latency_seconds", "From the receipt of a message until a next hop had taken it.", tallies.latency)
    yield histogram("queue_wait_seconds", "From the receipt of a message until its first transaction began.", measures.waits)
    yield histogram("delivery_transaction_seconds", "How long transactions with next hops took.", measures.transactions)
    yield histogram("delivery_connect_seconds", "How long it took to get a connection.", measures.connects)
    yield histogram("delivery_tls_handshake_seconds", "How long TLS handshakes with next hops took.", measures.handshakes)
    yield histogram("delivery_setup_seconds", "From a connection until its session was ready.", measures.setups)
    yield gauge("delivery_sessions", "Sessions with next hops now.", attempt.connections)
    yield tally("delivery_connections", "Connections to next hops: connected, failed, closed.", tallies.connections_out)
    yield tally("delivery_tls_sessions", "Sessions with next hops, by TLS version and cipher.", tallies.tls_out)
    yield counters(
        "delivery_tls_outcomes",
        "How TLS went, by who asks for it (connector, dane, mta-sts, requiretls) and at which level.",
        ["source", "level", "result"],
        list(measures.tls.items()),
    )
    yield counter("uncertain_deliveries", "Recipients who may have been sent a message twice.", sources.scheduler.uncertain)
    yield tally("reports", "Reports (DSN) put into the queue.", tallies.reports)
    yield counter("messages_resubmitted", "Messages that the safety net sent again.", totals.resubmitted)
    yield counter("messages_poisoned", "Messages set aside since the relay failed at them.", totals.poisoned)
    yield counter("messages_removed", "Messages that an administrator removed, or what was left of them.", totals.removed)
    yield counter("messages_dropped", "Messages that ended without delivery or report.", totals.dropped)
    names = sources.names
    lookups = {"asked": names.asked, "remembered": names.remembered}
    yield counters("dns_lookups", "Questions to the DNS, and those answered from memory.", ["source"], by_one(lookups))
    yield counter("dns_failures", "Questions that the DNS did not answer.", names.failed)


def queues(sources: Sources, lanes: Sequence[Any], statuses: dict[Any, int] | None) -> Iterator[Metric]:
    """What waits.

    @param lanes: as L{twistedrelay.schedule.lengths} has them.
    @param statuses: messages that take no part, by their status; None where nobody can tell.
    """
    counts = Counter({"Active": 0, "Connecting": 0, "Ready": 0, "Retry": 0, "Suspended": 0})
    counts.update(lane.status for lane in lanes)
    yield gauges("queue_lanes", "Lanes (next hops with something to do), by status.", ["status"], by_one(counts))
    longest = heapq.nlargest(LONGEST, lanes, key=lambda lane: lane.waiting + lane.active)
    found: Counter[tuple[str, str, str]] = Counter()
    for state in ("waiting", "active"):
        for lane in longest:
            found[lane.next_hop, lane.connector, state] += getattr(lane, state)
        found[REST, "", state] = sum([getattr(lane, state) for lane in lanes]) - sum([getattr(lane, state) for lane in longest])
    text = f"Transactions of the {LONGEST} longest lanes, and of all others together."
    yield gauges("queue_lane_transactions", text, ["next_hop", "send_connector", "state"], found.items())
    yield gauge("queue_messages_in_memory", "Messages that the schedule has in memory.", sources.scheduler.queues.in_memory)
    if statuses is not None:
        aside = {"SUSPENDED": 0, "POISON": 0} | {status.name: number for status, number in statuses.items()}
        rows = (((name.lower(),), number) for name, number in aside.items())
        yield gauges("queue_messages_aside", "Messages that take no part: suspended or poison.", ["status"], rows)
