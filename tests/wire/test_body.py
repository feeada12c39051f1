"""The receiver of DATA, against an oracle that has the whole stream at once."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twistedrelay.values.reply import BARE_LINE_ENDING, MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.body import DataReceiver

END = b"\r\n.\r\n"
PIECES = [b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\n.\n", b"\n.\r\n", b"\r.\r", b"..", b"a", b"\xe9", b"\r\n.\r\n"]


def receive(chunks: list[bytes], limit: int | None = None, reject: bool = True) -> tuple[bytes, DataReceiver, bytes]:
    """Content, receiver, and what the connection still holds behind the end."""
    receiver = DataReceiver(limit, reject)
    content = b""
    for index, chunk in enumerate(chunks):
        content += receiver.feed(chunk)
        if receiver.finished:
            return content, receiver, receiver.rest + b"".join(chunks[index + 1 :])
    return content, receiver, b""


def whole(data: bytes, limit: int | None, reject: bool) -> tuple[bytes, Reply | None, bytes] | None:
    """What must come of it: content (where there is no fault), fault, rest; None where the message does not end."""
    data = b"\r\n" + data
    end = data.find(END)
    if end < 0:
        return None
    text, rest = data[: end + 2], data[end + 5 :]
    lines = [line.removeprefix(b".") for line in text.split(b"\r\n")]
    content = b"\r\n".join(lines)[2:]
    bare = re.search(rb"(?<!\r)\n|\r(?!\n)", text) is not None
    if b"\0" in text or (bare and reject):
        return b"", BARE_LINE_ENDING, rest
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if limit is not None and len(content) > limit:
        return b"", MESSAGE_TOO_LARGE, rest
    return content, None, rest


@settings(deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=30),
    cuts=st.lists(st.integers(0, 80), max_size=12),
    reject=st.booleans(),
    nul=st.booleans(),
)
@example(pieces=[b"\r\n."], cuts=[1], reject=False, nul=False)
@example(pieces=[b"\r", b"\r\n"], cuts=[1, 2], reject=False, nul=False)
def test_any_chunking_gives_what_the_whole_gives(pieces: list[bytes], cuts: list[int], reject: bool, nul: bool) -> None:
    data = b"".join(pieces) + (b"\0" if nul else b"") + END + b"NOOP\r\n"
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    content, receiver, rest = receive([data[a:b] for a, b in itertools.pairwise(places)], None, reject)
    expected = whole(data, None, reject)
    assert expected is not None
    assert receiver.finished
    assert (receiver.fault, rest) == expected[1:]
    if receiver.fault is None:
        assert content == expected[0]
        assert receiver.size == len(content)


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),
        (b"...\r\n..leading\r\nmid.dle\r\ntrail.\r\n.\r\n", b"..\r\n.leading\r\nmid.dle\r\ntrail.\r\n"),
        (b"a\r\n\r\n..\r\n\r\n.\r\n", b"a\r\n\r\n.\r\n\r\n"),
        (bytes(range(128, 256)) + b"\r\n.\r\n", bytes(range(128, 256)) + b"\r\n"),
        (b"x" * 5000 + b".\r\n.\r\n", b"x" * 5000 + b".\r\n"),
    ],
)
def test_octets_out_are_octets_in_at_every_split(sent: bytes, content: bytes) -> None:
    stream = sent + b"QUIT\r\n"
    step = 1 if len(stream) < 300 else 97
    for cut in range(0, len(stream) + 1, step):
        found, receiver, rest = receive([stream[:cut], stream[cut:]])
        assert (found, receiver.fault, rest) == (content, None, b"QUIT\r\n"), cut
    found, receiver, rest = receive([stream[at : at + 1] for at in range(len(stream))])
    assert (found, receiver.fault, rest) == (content, None, b"QUIT\r\n")


@pytest.mark.parametrize("bare", [b"a\nb", b"a\rb", b"a\r\r\nb", b"a\n\r\nb", b"\na", b"a\n", b"a\r"])
def test_bare_line_ends_are_a_fault_or_become_crlf(bare: bytes) -> None:
    stream = bare + END
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", bare + b"\r\n")
    for cut in range(len(stream) + 1):
        _, receiver, _ = receive([stream[:cut], stream[cut:]], reject=True)
        assert receiver.finished
        assert receiver.fault == BARE_LINE_ENDING
        content, receiver, _ = receive([stream[:cut], stream[cut:]], reject=False)
        assert receiver.finished
        assert (content, receiver.fault) == (expected, None)


@pytest.mark.parametrize("reject", [True, False])
def test_nul_is_always_a_fault(reject: bool) -> None:
    stream = b"a\r\n\0b" + END
    for cut in range(len(stream) + 1):
        _, receiver, _ = receive([stream[:cut], stream[cut:]], reject=reject)
        assert receiver.finished
        assert receiver.fault == BARE_LINE_ENDING


def test_the_limit_counts_content_without_stuffing() -> None:
    stream = b"..234\r\n.\r\n"
    content, receiver, _ = receive([stream], limit=6)
    assert (content, receiver.fault) == (b".234\r\n", None)
    for cut in range(len(stream) + 1):
        _, receiver, _ = receive([stream[:cut], stream[cut:]], limit=5)
        assert receiver.finished
        assert receiver.fault == MESSAGE_TOO_LARGE


def test_too_much_is_eaten_to_the_true_end_and_kept_nowhere() -> None:
    receiver = DataReceiver(1000)
    passed = 0
    for _ in range(200):
        passed += len(receiver.feed(b"MAIL FROM:<evil@x.example>\r\n.\n" + b"x" * 10_000))
        assert not receiver.finished
    assert passed <= 1000
    receiver.feed(b"\r\n.\r\nNOOP\r\n")
    assert (receiver.finished, receiver.rest) == (True, b"NOOP\r\n")


def test_the_first_fault_stays() -> None:
    _, receiver, _ = receive([b"a\nb\r\n", b"x" * 5000, END], limit=100)
    assert receiver.fault == BARE_LINE_ENDING


def test_chunks_are_passed_on_as_large_as_they_came() -> None:
    receiver = DataReceiver()
    assert len(receiver.feed(b"line\r\n" * 10_000 + b"x")) == 60_001


def test_time_is_linear_in_octets_fed_one_by_one() -> None:
    def seconds(count: int) -> float:
        receiver = DataReceiver()
        data = [b"\r", b"\n", b".", b"."] * (count // 4)
        start = time.process_time()
        for octet in data:
            receiver.feed(octet)
        return time.process_time() - start

    small = min(seconds(10_000) for _ in range(3))
    assert min(seconds(80_000) for _ in range(3)) < 32 * small
