"""Tests for L{twistedrelay.config.patterns}."""

from __future__ import annotations

import pytest

from twistedrelay.config.patterns import AddressPattern
from twistedrelay.values.address import parse_address


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("Boss@Here.example", "BOSS@here.EXAMPLE", True),
        ("boss@here.example", "boss2@here.example", False),
        ("*@here.example", "anyone@Here.example", True),
        ("*@here.example", "anyone@sub.here.example", False),
        ("*@*.here.example", "anyone@a.sub.here.example", True),
        ("*@*.here.example", "anyone@here.example", False),
        ("*@*.here.example", "anyone@nothere.example", False),
        ("*", "anyone@anywhere.example", True),
        ("*@münchen.example", "a@xn--mnchen-3ya.example", True),
    ],
)
def test_fits(pattern: str, address: str, fits: bool) -> None:
    assert AddressPattern.parse(pattern).fits(parse_address(address)) is fits


@pytest.mark.parametrize("text", ["", "user", "@here.example", "*@", "*@*", "**@here.example@", "a b@here.example", "*.here.example"])
def test_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        AddressPattern.parse(text)


def test_filled() -> None:
    address = parse_address("Jo.Doe@old.example")
    assert AddressPattern.parse("*@New.example").filled(address).text == "Jo.Doe@New.example"
    assert AddressPattern.parse("Scanner@new.example").filled(address).text == "Scanner@new.example"
