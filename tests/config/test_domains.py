"""Tests for L{twistedrelay.config.domains}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.config.domains import DomainIndex


def test_a_domain_in_unicode_is_compared_by_its_ascii_form() -> None:
    index = DomainIndex({"bücher.example": 1, "*.bücher.example": 2})
    assert index.find("xn--bcher-kva.example") == 1
    assert index.find("a.xn--bcher-kva.example") == 2


labels = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)


@given(st.sets(labels, max_size=5), st.sets(labels, max_size=5), labels)
def test_domain_index_agrees_with_brute_force(exact: set[str], parents: set[str], domain: str) -> None:
    index = DomainIndex({**{name: name for name in exact}, **{f"*.{name}": f"*.{name}" for name in parents}})
    fitting = sorted((name for name in parents if domain.endswith(f".{name}")), key=len)
    expected = domain if domain in exact else f"*.{fitting[-1]}" if fitting else None
    assert index.find(domain) == expected
