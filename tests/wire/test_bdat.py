"""The receiver of BDAT, against an oracle that has the whole message at once."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twistedrelay.values.reply import BARE_LINE_ENDING, MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.bdat import Chunk, ChunkReceiver, RefusedChunk, parse_chunk

PIECES = [b"\r", b"\n", b".", b"\r\n", b"\r\n.\r\n", b"..", b"a", b"\xe9", b"QUIT\r\n"]


def receive(chunks: list[list[bytes]], limit: int | None = None, reject: bool = True, binary: bool = False) -> tuple[bytes, Reply | None]:
    """Content and fault of a message whose chunks come in packets."""
    receiver = ChunkReceiver(limit, reject, binary)
    content = b""
    for index, packets in enumerate(chunks):
        receiver.begin(Chunk(sum(map(len, packets)), index == len(chunks) - 1))
        for packet in packets or [b""]:
            content += receiver.feed(packet)
        assert receiver.left == 0
    return content, receiver.fault


def whole(data: bytes, limit: int | None, reject: bool, binary: bool) -> tuple[bytes, Reply | None]:
    """What must come of it."""
    if limit is not None and len(data) > limit:
        return b"", MESSAGE_TOO_LARGE
    if binary:
        return data, None
    if b"\0" in data or (reject and re.search(rb"(?<!\r)\n|\r(?!\n)", data)):
        return b"", BARE_LINE_ENDING
    data = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return (data, None) if limit is None or len(data) <= limit else (b"", MESSAGE_TOO_LARGE)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@settings(deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=30),
    chunks=st.lists(st.integers(0, 80), max_size=6),
    packets=st.lists(st.integers(0, 80), max_size=6),
    reject=st.booleans(),
    binary=st.booleans(),
    nul=st.booleans(),
)
@example(pieces=[b"\r"], chunks=[], packets=[], reject=False, binary=False, nul=False)
@example(pieces=[b"a", b"\r\n"], chunks=[2], packets=[], reject=True, binary=False, nul=False)
def test_any_chunking_gives_what_the_whole_gives(
    pieces: list[bytes], chunks: list[int], packets: list[int], reject: bool, binary: bool, nul: bool
) -> None:
    data = b"".join(pieces) + (b"\0" if nul else b"")
    content, fault = receive([split(chunk, packets) for chunk in split(data, chunks)], None, reject, binary)
    expected = whole(data, None, reject, binary)
    assert fault == expected[1]
    if fault is None:
        assert content == expected[0]


@pytest.mark.parametrize("binary", [False, True])
def test_the_limit_counts_all_chunks(binary: bool) -> None:
    assert receive([[b"12345"], [b"67890"]], 10, binary=binary) == (b"1234567890", None)
    for chunks in ([[b"12345678901"]], [[b"12345"], [b"678901"]], [[b"12345"], [b"67890"], [b"1"]]):
        assert receive(chunks, 10, binary=binary)[1] == MESSAGE_TOO_LARGE


def test_line_ends_that_grow_count() -> None:
    assert receive([[b"a\nb\n"]], 6, reject=False) == (b"a\r\nb\r\n", None)
    assert receive([[b"a\nb\n"]], 5, reject=False)[1] == MESSAGE_TOO_LARGE


def test_a_chunk_that_is_too_large_is_a_fault_before_it_comes() -> None:
    receiver = ChunkReceiver(10)
    receiver.begin(Chunk(11, False))
    assert receiver.fault == MESSAGE_TOO_LARGE
    assert receiver.feed(b"12345678901") == b""
    receiver.begin(Chunk(1, True))
    assert receiver.feed(b"x") == b""
    assert receiver.size == 0


def test_a_message_may_be_empty_and_a_last_chunk_too() -> None:
    assert receive([[]]) == (b"", None)
    assert receive([[b"a\r\n"], []]) == (b"a\r\n", None)
    assert receive([[b"a\r"], []]) == (b"a", BARE_LINE_ENDING)
    assert receive([[b"a\r"], []], reject=False) == (b"a\r\n", None)


def test_what_nobody_wants_is_counted() -> None:
    refused = RefusedChunk(5, b"503 no\r\n")
    assert refused.feed(b"abc") == b""
    assert refused.left == 2


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [
        (b"0", Chunk(0, False)),
        (b"0 LAST", Chunk(0, True)),
        (b"86 last", Chunk(86, True)),
        (b"0086  Last", Chunk(86, True)),
        (b"9223372036854775808", Chunk(2**63, False)),
    ],
)
def test_commands(argument: bytes, chunk: Chunk) -> None:
    assert parse_chunk(argument) == chunk


@pytest.mark.parametrize(
    "argument", [b"", b"LAST", b"-1", b"+1", b"1.5", b"0x10", b"5 LASTS", b"5 LAST LAST", b"5LAST", b"5 6", b"5\tLAST", b"9" * 20, b"\xb2"]
)
def test_bad_commands(argument: bytes) -> None:
    assert parse_chunk(argument) is None
