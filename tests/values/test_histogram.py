"""Tests for L{twistedrelay.values.histogram}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.values.histogram import LONG, MANY, SHORT, Histogram


def test_a_value_on_a_bound_belongs_to_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2.0), ("2.0", 4.0), ("+Inf", 5.0)]
    assert (histogram.sum, histogram.count) == (7.5, 5)


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    histogram = Histogram((1.0,))
    histogram.observe(-3600.0)
    assert histogram.cumulative() == [("1.0", 1.0), ("+Inf", 1.0)]
    assert histogram.sum == 0.0


@given(st.lists(st.floats(0, 1e6)), st.sampled_from([SHORT, LONG, MANY]))
def test_buckets_are_what_counting_gives(values: list[float], bounds: tuple[float, ...]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    wanted = [float(sum(value <= bound for value in values)) for bound in bounds] + [float(len(values))]
    assert [count for _, count in histogram.cumulative()] == wanted


def test_bounds_rise() -> None:
    for bounds in (SHORT, LONG, MANY):
        assert list(bounds) == sorted(set(bounds))
