"""Tests for L{twistedrelay.values.xtext}."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.values import xtext


@given(st.text())
def test_what_is_encoded_is_printable_and_can_be_undone(text: str) -> None:
    encoded = xtext.encode(text)
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    decoded = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), encoded.encode())
    assert decoded == text.encode("utf-8", "replace")


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_both_ways(text: str) -> None:
    assert xtext.decode(xtext.encode(text)) == text
    assert xtext.decode_utf8_address(xtext.encode_utf8_address(text)) == text


def test_an_encoded_address_is_not_encoded_again() -> None:
    assert xtext.embed_beyond_ascii(r"gr\x{FC}ne+ü@d.test") == r"gr\x{FC}ne+\x{FC}@d.test"


@pytest.mark.parametrize("text", ["+0D+0A", "+00", "a b", "+e9", "+FF", "a=b"])
def test_what_is_no_xtext(text: str) -> None:
    with pytest.raises(ValueError, match=r"xtext|utf-8"):
        xtext.decode(text)
