"""Command lines out of the stream."""

from __future__ import annotations

import time

import pytest

from twistedrelay.wire.lines import LineBuffer, LineTooLong


def drain(lines: LineBuffer, *, response: bool = False) -> list[bytes | None]:
    """All lines there are; None stands for one that was too long."""
    found: list[bytes | None] = []
    while True:
        try:
            line = lines.line(response=response)
        except LineTooLong:
            found.append(None)
            continue
        if line is None:
            return found
        found.append(line)


def test_only_crlf_ends_a_line_at_every_split() -> None:
    data = b"one\r\ntwo\nthree\rfour\r\r\n\r\nfi"
    for cut in range(len(data) + 1):
        lines = LineBuffer()
        lines.feed(data[:cut])
        found = drain(lines)
        lines.feed(data[cut:])
        assert found + drain(lines) == [b"one", b"two\nthree\rfour\r", b""]
        assert len(lines) == 2


@pytest.mark.parametrize(
    ("start", "limit", "response"),
    [
        (b"NOOP ", 512, False),
        (b"MAIL ", 1258, False),
        (b"rcpt ", 1048, False),
        (b"xclient ", 2048, False),
        (b"auth ", 12288, False),
        (b"dGVz", 12288, True),
    ],
)
def test_limits(start: bytes, limit: int, response: bool) -> None:
    for size, fits in ((limit, True), (limit + 1, False)):
        line = start + b"x" * (size - 2 - len(start))
        for cut in (0, 3, size - 2, size - 1, size):
            lines = LineBuffer()
            data = line + b"\r\n"
            lines.feed(data[:cut])
            found = drain(lines, response=response)
            lines.feed(data[cut:] + b"next\r\n")
            assert found + drain(lines, response=response) == [line if fits else None, b"next"], (size, cut)


def test_an_endless_line_is_held_in_bounded_memory_and_counts_once() -> None:
    lines = LineBuffer()
    for _ in range(100):
        lines.feed(b"x" * 50_000 + b"\r")
        assert drain(lines) == []
        assert len(lines) <= 1
    lines.feed(b"\nNOOP\r\n")
    assert drain(lines) == [None, b"NOOP"]


def test_take_and_put_back() -> None:
    lines = LineBuffer()
    lines.feed(b"a\r\nbc")
    lines.feed(b"d")
    assert lines.line() == b"a"
    assert (len(lines), lines.take(), len(lines)) == (3, b"bcd", 0)
    lines.put_back(b"e\r\nf")
    lines.feed(b"\r\n")
    assert drain(lines) == [b"e", b"f"]
    lines.feed(b"left")
    lines.clear()
    assert (len(lines), lines.line()) == (0, None)


def test_many_lines_of_one_read_take_linear_time() -> None:
    def seconds(count: int) -> float:
        lines = LineBuffer()
        start = time.process_time()
        lines.feed(b"NOOP\r\n" * count)
        assert len(drain(lines)) == count
        return time.process_time() - start

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(3)) < 32 * small


def test_octets_that_come_one_by_one_and_wait() -> None:
    """They are not looked at yet, and still nothing is lost."""
    lines = LineBuffer()
    octets = b"NOOP\r\n" * 300
    for at in range(len(octets)):
        lines.feed(octets[at : at + 1])
        assert len(lines) == at + 1
    assert [lines.line() for _ in range(300)] == [b"NOOP"] * 300
    assert lines.line() is None
    assert len(lines) == 0


def test_some_octets_are_taken_and_the_rest_is_lines() -> None:
    lines = LineBuffer()
    lines.feed(b"one\r\nab\r\ntwo\r\nc")
    assert lines.line() == b"one"
    assert lines.take(2) == b"ab"
    assert lines.line() == b""
    assert lines.line() == b"two"
    assert lines.line() is None
    lines.feed(b"d\r\n")
    assert lines.take(100) == b"cd\r\n"
    assert len(lines) == 0
    assert lines.take(5) == b""
