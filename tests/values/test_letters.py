"""Searching without case."""

from __future__ import annotations

import pytest

from twistedrelay.values.letters import searched


@pytest.mark.parametrize("text", ["istanbul", "ISTANBUL", "İSTANBUL", "ıstanbul", "I\u0307stanbul"])
def test_one_i(text: str) -> None:
    assert searched(text) == "istanbul"


def test_other_letters_are_folded_as_ever() -> None:
    assert searched("Straße ŞÇÖ") == "strasse şçö"
