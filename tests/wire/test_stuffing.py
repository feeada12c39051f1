"""Dot-stuffing as one state machine over the stream."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.wire.stuffing import Stuffer

STREAMS = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\0", b"..", b""]), max_size=12).map(b"".join)


def stuffed(chunks: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([stuffer.feed(chunk) for chunk in chunks] + [stuffer.finish()])


def unstuffed(wire: bytes) -> bytes:
    """What a strict receiver reads: up to the only CRLF.CRLF, dots taken off."""
    end = (b"\r\n" + wire).index(b"\r\n.\r\n")
    assert end == len(b"\r\n" + wire) - 5, "the content ended before its end"
    return (b"\r\n" + wire)[: end + 2].replace(b"\r\n.", b"\r\n")[2:]


def test_twisted_t5_dot_at_a_chunk_boundary_is_stuffed() -> None:
    """Twisted stuffs within 16384 octet chunks, so that a dot at the start of one ends the message and what follows is a command."""
    body = b"x" * 16382 + b"\r\n" + b".\r\nMAIL FROM:<evil@x>\r\n"
    chunks = [body[:16384], body[16384:]]
    assert stuffed(chunks) == b"x" * 16382 + b"\r\n..\r\nMAIL FROM:<evil@x>\r\n.\r\n"


def test_twisted_a2_19_dot_as_the_first_octet_of_the_message_is_stuffed() -> None:
    assert stuffed([b".\r\n"]) == b"..\r\n.\r\n"


def test_twisted_a2_19_crlf_is_not_doubled() -> None:
    assert stuffed([b"a\r\nb\r\n"]) == b"a\r\nb\r\n.\r\n"


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a\r\n.", b"a\r\n..\r\n.\r\n"),
        (b"\r\n.\r\n..\r\n...", b"\r\n..\r\n...\r\n....\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\r\n.\r\r\n", b"a\r\n\r\n..\r\n\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"a\0b\r\n", b"a b\r\n.\r\n"),
        (b"a\r\n\0.\r\n", b"a\r\n .\r\n.\r\n"),
    ],
)
def test_at_every_split(content: bytes, wire: bytes) -> None:
    assert stuffed([content]) == wire
    for first in range(len(content) + 1):
        for second in range(first, len(content) + 1):
            assert stuffed([content[:first], content[first:second], content[second:]]) == wire


@given(st.lists(STREAMS, max_size=5))
def test_chunks_never_show_and_nothing_bare_leaves(chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    wire = stuffed(chunks)
    assert wire == stuffed([content])
    assert b"\0" not in wire
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
    clean = re.sub(rb"\r\n|\r|\n", b"\r\n", content).replace(b"\0", b" ")
    if clean and not clean.endswith(b"\r\n"):
        clean += b"\r\n"
    assert unstuffed(wire) == clean


def test_content_without_dots_is_handed_through() -> None:
    chunk = b"Subject: x\r\n\r\nbody\r\n" * 100
    assert Stuffer().feed(chunk) is chunk
