"""Encodings against the standard library's decoders."""

from __future__ import annotations

import base64
import quopri
import re

from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.delivery import encoders
from twistedrelay.delivery.encoders import Base64, Encoder, QuotedPrintable

PIECES = st.lists(st.binary(max_size=200), max_size=8)
TEXT = st.lists(st.text(st.characters(exclude_characters="\r\n\0"), max_size=150), max_size=8).map("\r\n".join)


def encoded(encoder: Encoder, *pieces: bytes) -> bytes:
    return b"".join([*map(encoder.feed, pieces), encoder.finish()])


@given(PIECES)
def test_base64(pieces: list[bytes]) -> None:
    result = encoded(Base64(), *pieces)
    assert base64.b64decode(result) == b"".join(pieces)
    assert all(len(line) <= 76 for line in result.split(b"\r\n"))
    assert result == encoded(Base64(), b"".join(pieces))
    assert not result.endswith(b"\r\n")


@given(TEXT, st.integers(1, 50))
def test_quoted_printable(text: str, step: int) -> None:
    data = text.encode("utf-8", "replace")
    result = encoded(QuotedPrintable(), *(data[start : start + step] for start in range(0, len(data), step)))
    assert result.isascii()
    assert quopri.decodestring(result.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n") == data
    assert all(len(line) <= 76 for line in result.split(b"\r\n"))
    assert not re.search(rb"[ \t]\r\n|[^\r]\n|^\.\r\n", result)


def test_a_line_without_an_end_is_not_held_back() -> None:
    encoder = QuotedPrintable()
    assert encoder.feed(b"\xfc" * (encoders.MAX_HELD + 1)).endswith(b"=\r\n")
    assert encoder.finish() == b"=FC"
