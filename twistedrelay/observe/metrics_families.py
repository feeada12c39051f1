"""Counts and histograms of ours as Prometheus metric families.

It decides the prefix of all names and how our types become theirs; which metrics there are is decided by who calls it.

Source: the Prometheus exposition format, and its conventions for names (base units, C{_total}).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from twistedrelay.observe.tallies import Tally
from twistedrelay.values.histogram import Histogram

PREFIX = "twistedrelay_"

#: Label values with their number.
Rows = Iterable[tuple[Sequence[str], float]]


def counter(name: str, text: str, value: float) -> Metric:
    """One count."""
    return CounterMetricFamily(PREFIX + name, text, value=value)


def counters(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Counts by labels."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def tally(name: str, text: str, counted: Tally) -> Metric:
    """A tally."""
    return counters(name, text, counted.labels, counted)


def gauge(name: str, text: str, value: float) -> Metric:
    """One value."""
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def gauges(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Values by labels."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def histogram(name: str, text: str, measured: Histogram) -> Metric:
    """A histogram."""
    buckets = measured.cumulative()
    return HistogramMetricFamily(PREFIX + name, text, buckets=buckets, sum_value=measured.sum)


def by_one(counts: Mapping[str, float]) -> Rows:
    """Rows of one label."""
    return (((value,), number) for value, number in counts.items())
