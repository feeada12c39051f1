"""Replies of remote servers, cut out of any stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.wire.client_replies import MAX_LINE, MAX_LINES, MAX_OCTETS, MAX_TEXT, RawReply, ReplyError, ReplyParser


def parsed(*chunks: bytes) -> list[RawReply]:
    parser = ReplyParser()
    found = []
    for chunk in chunks:
        parser.feed(chunk)
        while (reply := parser.next()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("wire", "replies"),
    [
        (b"250 ok\r\n", [(250, [b"ok"])]),
        (b"250\r\n", [(250, [b""])]),
        (b"250 \r\n", [(250, [b""])]),
        (b"250 ok\n", [(250, [b"ok"])]),
        (b"250-a\r\n250-b\r\n250 c\r\n354 go\r\n", [(250, [b"a", b"b", b"c"]), (354, [b"go"])]),
        (b"250-a\r\n250\r\n", [(250, [b"a", b""])]),
    ],
)
def test_shapes_at_every_split(wire: bytes, replies: list[tuple[int, list[bytes]]]) -> None:
    expected = [RawReply(code, lines) for code, lines in replies]
    for place in range(len(wire) + 1):
        assert parsed(wire[:place], wire[place:]) == expected
    assert parsed(*(bytes([octet]) for octet in wire)) == expected


@pytest.mark.parametrize(
    "wire", [b"\r\n", b"hello\r\n", b"25 x\r\n", b"2500 x\r\n", b"150 x\r\n", b"650 x\r\n", b"250-a\r\n550 b\r\n", b"\n"]
)
def test_garbage(wire: bytes) -> None:
    with pytest.raises(ReplyError):
        parsed(wire)


@pytest.mark.parametrize("step", [65536, 1000, 7])
def test_line_without_end_is_bounded(step: int) -> None:
    parser = ReplyParser()
    fed = 0
    parser.feed(b"250 ")
    while fed + step <= MAX_OCTETS - 4:
        parser.feed(b"x" * step)
        fed += step
        assert parser.next() is None
    parser.feed(b"x" * step)
    with pytest.raises(ReplyError, match="too long"):
        parser.next()


def test_twisted_a2_24_unlimited_continuation_lines_are_bounded() -> None:
    with pytest.raises(ReplyError, match="too long"):
        parsed(b"250-x\r\n" * (MAX_OCTETS // 7 + 1))


def test_octets_of_a_reply_are_bounded() -> None:
    with pytest.raises(ReplyError, match="too long"):
        parsed((b"250-" + b"x" * 1000 + b"\r\n") * (MAX_OCTETS // 1000 + 1))


def test_a_long_reply_is_judged_by_its_code() -> None:
    """What a reply decides must not depend on how much it says; what is kept of it is little."""
    [line] = parsed(b"250 " + b"x" * 20_000 + b"\r\n")
    assert (line.code, len(line.lines[0])) == (250, MAX_LINE - 4)
    [many] = parsed(b"550-5.1.1 no\r\n" * 2000 + b"550 5.1.1 no\r\n")
    assert (many.code, len(many.lines)) == (550, MAX_LINES)
    assert len(many.parse().text) < MAX_TEXT
    [both] = parsed((b"451-" + b"y" * 2000 + b"\r\n") * 10 + b"451 z\r\n")
    assert len(both.parse().text) <= MAX_TEXT + 1


def test_a_long_reply_hides_no_end() -> None:
    """The reply behind it is read from its beginning, at whatever split."""
    wire = b"250-" + b"x" * 5000 + b"\r\n250 y\r\n354 go\r\n"
    for place in (1, 3, 4, 2047, 2048, 2049, 5004, 5005, 5006, 5010, len(wire) - 1):
        assert [reply.code for reply in parsed(wire[:place], wire[place:])] == [250, 354]


def test_remote_text_is_made_safe() -> None:
    (raw,) = parsed(b"550 5.1.1 a\x1b[31m\x07\xff b\r\n")
    reply = raw.parse()
    assert (reply.code, reply.enhanced) == (550, "5.1.1")
    assert reply.text.isprintable()


@given(st.binary(max_size=200))
def test_anything_is_replies_or_an_error(data: bytes) -> None:
    try:
        for reply in parsed(data):
            assert 200 <= reply.code < 600
    except ReplyError:
        pass
