"""Tests for L{twistedrelay.values.languages}."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.values.languages import MAX_WANTED, best, is_language, shipped, wanted_languages


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"Subject: x\r\n", []),
        (b"Content-Language: de\r\n", ["de"]),
        (b"Content-Language: de-AT, fr\r\n", ["de-AT", "fr"]),
        (b"content-language: en\r\nACCEPT-LANGUAGE: tr, de;q=0.5\r\n", ["tr", "de", "en"]),
        (b"Accept-Language: en;q=0.1, fr ; q=0.9, *, es;q=0, de\r\n", ["de", "fr", "en"]),
        (b"Accept-Language: de-DE,\r\n en-US\r\nContent-Language: de-DE\r\n", ["de-DE", "en-US"]),
        (b"Content-Language: (deutsch) de\r\n", ["de"]),
        (b"Content-Language: \xff\xfe, a, ../etc, en_US\r\n", []),
    ],
)
def test_what_the_sender_reads(header: bytes, wanted: list[str]) -> None:
    assert wanted_languages(header) == wanted


def test_a_hostile_field_is_not_read_to_its_end() -> None:
    assert len(wanted_languages(b"Content-Language: " + b",".join(b"l%d" % number for number in range(100_000)) + b"\r\n")) <= MAX_WANTED


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    assert all(map(is_language, wanted_languages(b"Accept-Language: " + octets)))


def test_the_best() -> None:
    assert best("de-CH-1996", ["en", "de", "de-AT"]) == "de"
    assert best("DE-at", ["en", "de", "de-AT"]) == "de-AT"
    assert best("nl", ["en"]) is None
    assert shipped("fr-CA") == "fr"
    assert shipped("english") is None
