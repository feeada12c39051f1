"""Names of objects: what would not be seen, or would look like another name, is refused."""

from __future__ import annotations

import pytest

from twistedrelay.config.rules import name


@pytest.mark.parametrize("text", ["IP_Relay", "Default Frontend", "x", "ü", "a/b", "..", "yes", "null", "10:25", "<<", "x" * 64])
def test_names(text: str) -> None:
    assert name(text) is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "has 0 characters"),
        ("x" * 65, "has 65 characters"),
        (" ", "begins or ends with a space"),
        ("x ", "begins or ends with a space"),
        ("a\\b", "must not hold"),
        ("a\nb", "must not hold"),
        ("a\x7fb", "must not hold"),
        ("a\u202eb", "must not hold"),
        ("a\u2028b", "must not hold"),
    ],
)
def test_no_names(text: str, wrong: str) -> None:
    assert wrong in (name(text) or "")
