"""Replies of remote servers, cut out of any stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.wire.client_replies import MAX_LINE, MAX_LINES, RawReply, ReplyError, ReplyParser


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


def test_line_without_end_is_bounded() -> None:
    with pytest.raises(ReplyError, match="too long"):
        parsed(b"250 " + b"x" * MAX_LINE)


def test_twisted_a2_24_unlimited_continuation_lines_are_bounded() -> None:
    with pytest.raises(ReplyError, match="too long"):
        parsed(b"250-x\r\n" * (MAX_LINES + 1))


def test_octets_of_a_reply_are_bounded() -> None:
    with pytest.raises(ReplyError, match="too long"):
        parsed((b"250-" + b"x" * 1000 + b"\r\n") * 20)


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
