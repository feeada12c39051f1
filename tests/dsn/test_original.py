"""Tests for L{twistedrelay.dsn.original}."""

from __future__ import annotations

import pytest

from twistedrelay.dsn.original import subject


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", ""),
        (b"From: a@b.example\r\n", ""),
        (b"From: a@b.example\r\nSubject: Hello\r\nSubject: again\r\n", "Hello"),
        (b"SUBJECT:folded\r\n\tonce\r\n twice\r\nTo: x@y.example\r\n", "folded once twice"),
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n", "Grüße"),
        (b"X-Subject: no\r\nSubject : blanks are obsolete\r\n", "blanks are obsolete"),
        (b"Subject: bell\x07\r\n", "bell?"),
    ],
)
def test_subject(header: bytes, expected: str) -> None:
    assert subject(header) == expected


def test_a_hostile_subject_is_not_decoded_to_its_end() -> None:
    """The standard library takes time that grows with the square of the number of encoded words."""
    found = subject(b"Subject: " + b"=?utf-8?q?a?= " * 18_000 + b"\r\n")
    assert found.startswith("a" * 140)
    assert found != "a" * 200
