"""BDAT in a session: whatever it meets, its octets are never commands, and no half of a message is ever taken."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.driver import SETTINGS, Driver, feed_split, greeted, positive
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import Bdat, EndOfContent, Event, Mail, Reset
from twistedrelay.wire.settings import ServerSettings

ENVELOPE = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\n"
MESSAGE = b"Subject: x\r\n\r\n.\r\n..body\r\nQUIT\r\n"
REFUSED = Reply(452, "4.3.1", "Insufficient system resources")


def bdat(data: bytes, last: bool = True) -> bytes:
    return b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"", data)


def in_bdat(settings: ServerSettings = SETTINGS, decide: Callable[[Event], Reply] = positive, envelope: bytes = ENVELOPE) -> Driver:
    """A driver with an envelope."""
    driver = greeted(settings, decide)
    assert set(driver.feed(envelope)) == {250}
    driver.events.clear()
    driver.output = b""
    return driver


def refusing(kind: type[Event], reply: Reply = REFUSED) -> Callable[[Event], Reply]:
    return lambda event: reply if isinstance(event, kind) else positive(event)


def test_a_message_in_one_chunk() -> None:
    driver = in_bdat()
    assert driver.feed(bdat(MESSAGE)) == [250]
    assert driver.messages == [MESSAGE]
    assert driver.events == [Bdat(len(MESSAGE), True), EndOfContent(None)]
    assert driver.feed(b"DATA\r\nBDAT 0 LAST\r\n") == [503, 503]


def test_each_chunk_has_its_reply() -> None:
    driver = in_bdat()
    assert driver.feed(b"BDAT 12\r\nSubject: ") == []
    assert driver.engine.in_content
    assert driver.feed(b"x\r\n") == [250]
    assert driver.output == replies.CHUNK_ACCEPTED.wire
    assert not driver.engine.in_content
    assert driver.engine.in_transaction
    assert driver.feed(b"NOOP\r\nVRFY a\r\n") == [250, 252]
    assert driver.feed(b"bdat 0\r\nBDAT 5\r\n\r\nabc") == [250, 250]
    assert driver.feed(b"BDAT 0 LAST\r\n") == [250]
    assert driver.messages == [b"Subject: x\r\n\r\nabc"]


def test_pipelined_chunks_at_every_split() -> None:
    stream = (ENVELOPE + bdat(b"Subject: x\r", False) + bdat(b"\n\r\n.\r\n", False) + bdat(b"", True)) * 2 + ENVELOPE + bdat(b"y\r\n")
    for driver in feed_split(greeted, stream + b"QUIT\r\n"):
        assert driver.codes == [250] * 13 + [221]
        assert driver.messages == [b"Subject: x\r\n\r\n.\r\n"] * 2 + [b"y\r\n"]


REFUSALS: list[tuple[bytes, bytes, list[int]]] = [
    (b"", bdat(b"QUIT\r\n"), [503]),
    (b"RSET\r\n", bdat(b"RSET\r\nQUIT\r\n", False) + bdat(b"QUIT\r\n"), [250, 503, 503]),
    (b"MAIL FROM:<a@own.example>\r\n", bdat(b"QUIT\r\n"), [250, 503]),
    (b"MAIL FROM:<a@own.example>\r\n", bdat(b"QUIT\r\n", False) + bdat(b"QUIT\r\n"), [250, 503, 503]),
    (b"MAIL FROM:<a@own.example>\r\nRCPT TO:<>\r\n", bdat(b"QUIT\r\n", False) + bdat(b"QUIT\r\n"), [250, 501, 554, 554]),
]


@pytest.mark.parametrize(("before", "chunks", "codes"), REFUSALS)
def test_octets_of_a_refused_chunk_are_no_commands(before: bytes, chunks: bytes, codes: list[int]) -> None:
    for driver in feed_split(greeted, before + chunks + b"NOOP\r\n"):
        assert driver.codes == [*codes, 250]
        assert not driver.engine.closing
        assert driver.messages == []


def test_a_refused_chunk_ends_its_transaction() -> None:
    driver = greeted()
    driver.feed(b"MAIL FROM:<a@own.example>\r\n" + bdat(b"QUIT\r\n", False))
    assert Reset() in driver.events
    # A recipient behind it would make another message of the chunks that follow.
    assert driver.feed(b"RCPT TO:<b@own.example>\r\n" + bdat(b"QUIT\r\n")) == [503, 503]
    assert driver.feed(ENVELOPE + bdat(b"x\r\n")) == [250, 250, 250]
    assert driver.messages == [b"x\r\n"]


def test_the_session_may_refuse() -> None:
    driver = in_bdat(decide=refusing(Bdat))
    stream = bdat(b"QUIT\r\n", False) + bdat(b"RSET\r\n", False) + bdat(b"QUIT\r\n") + b"RCPT TO:<c@own.example>\r\nDATA\r\nNOOP\r\n"
    assert driver.feed(stream) == [452, 452, 452, 503, 503, 250]
    assert driver.events[:2] == [Bdat(6, False), Reset()]
    assert driver.messages == []


def test_a_transaction_behind_a_refused_one_is_its_own() -> None:
    answers = iter([REFUSED, replies.CHUNK_ACCEPTED])
    driver = in_bdat(decide=lambda event: next(answers) if isinstance(event, Bdat) else positive(event))
    assert driver.feed(bdat(b"first\r\n", False) + ENVELOPE + bdat(b"second\r\n")) == [452, 250, 250, 250]
    assert driver.messages == [b"second\r\n"]


@pytest.mark.parametrize(
    ("change", "content", "reply"),
    [
        ({"max_message_size": 8}, b"012345678", replies.MESSAGE_TOO_LARGE),
        ({}, b"bare\nlf\r\n", replies.BARE_LINE_ENDING),
        ({}, b"bare\rcr\r\n", replies.BARE_LINE_ENDING),
        ({}, b"nul\0\r\n", replies.BARE_LINE_ENDING),
        ({"bare_linefeed_rejection_enabled": False}, b"nul\0\r\n", replies.BARE_LINE_ENDING),
    ],
)
def test_a_fault_is_told_once_the_chunk_is_there(change: dict[str, Any], content: bytes, reply: Reply) -> None:
    driver = in_bdat(attrs.evolve(SETTINGS, **change))
    assert driver.feed(bdat(content)[:-1]) == []
    assert driver.feed(content[-1:]) == [reply.code]
    assert driver.events[-1] == EndOfContent(reply)
    assert driver.feed(b"RCPT TO:<b@own.example>\r\nDATA\r\n") == [503, 503]
    driver = in_bdat(attrs.evolve(SETTINGS, **change))
    stream = bdat(content, False) + bdat(b"QUIT\r\n", False) + bdat(b"QUIT\r\n") + b"RCPT TO:<b@own.example>\r\nNOOP\r\n"
    assert driver.feed(stream) == [reply.code] * 3 + [503, 250]
    assert [event for event in driver.events if isinstance(event, EndOfContent)] == [EndOfContent(reply)]
    assert driver.messages == []


def test_a_fault_far_behind_voids_what_came_before() -> None:
    driver = in_bdat()
    assert driver.feed(bdat(b"good\r\n", False) + bdat(b"bad\n", False) + bdat(b"good\r\n")) == [250, 550, 550]
    assert driver.messages == []


def test_bare_line_ends_are_mended_where_the_connector_says_so() -> None:
    driver = in_bdat(attrs.evolve(SETTINGS, bare_linefeed_rejection_enabled=False))
    assert driver.feed(bdat(b"a\nb\r", False) + bdat(b"\nc\r", False) + bdat(b"d\r")) == [250, 250, 250]
    assert driver.messages == [b"a\r\nb\r\nc\r\nd\r\n"]


def test_binary_content_is_left_alone() -> None:
    content = bytes(range(256)) * 3 + b"\r\n.\r\n\n\r"
    driver = in_bdat(envelope=b"MAIL FROM:<a@own.example> BODY=BINARYMIME\r\nRCPT TO:<b@own.example>\r\n")
    assert driver.feed(b"DATA\r\n") == [503]
    assert driver.feed(bdat(content[:100], False) + bdat(content[100:])) == [250, 250]
    assert driver.messages == [content]


def test_data_and_bdat_do_not_mix() -> None:
    driver = in_bdat()
    assert driver.feed(bdat(b"x\r\n", False) + b"DATA\r\nRCPT TO:<c@own.example>\r\nMAIL FROM:<c@own.example>\r\n") == [250, 503, 503, 503]
    assert driver.feed(bdat(b"y\r\n")) == [250]
    assert driver.messages == [b"x\r\ny\r\n"]


@pytest.mark.parametrize("command", [b"RSET\r\n", b"EHLO x\r\n", b"HELO x\r\n"])
def test_what_resets_between_chunks(command: bytes) -> None:
    driver = in_bdat()
    assert driver.feed(bdat(b"first\r\n", False) + command) == [250, 250]
    assert driver.events[-1] == Reset()
    code = 502 if command.startswith(b"HELO") else 503
    assert driver.feed(bdat(b"QUIT\r\n")) == [code]
    assert driver.feed(b"EHLO x\r\n" + ENVELOPE + bdat(b"second\r\n"))[-1] == 250
    assert driver.messages == [b"second\r\n"]


def test_rset_also_ends_the_memory_of_a_refusal() -> None:
    driver = in_bdat(decide=refusing(Bdat))
    assert driver.feed(bdat(b"x", False) + b"RSET\r\n" + bdat(b"x")) == [452, 250, 503]


@pytest.mark.parametrize("hello", [b"HELO x\r\n", b""])
def test_without_the_extension(hello: bytes) -> None:
    driver = Driver(SETTINGS, hello=hello)
    assert driver.feed(bdat(b"QUIT\r\n") + b"NOOP\r\n") == [502 if hello else 503, 250]
    driver = greeted(attrs.evolve(SETTINGS, chunking=False))
    assert driver.feed(ENVELOPE + bdat(b"QUIT\r\n") + b"NOOP\r\n") == [250, 250, 502, 250]


@pytest.mark.parametrize("command", [b"BDAT", b"BDAT LAST", b"BDAT -1", b"BDAT 5 FIRST", b"BDAT 99999999999999999999"])
def test_where_the_octets_end_must_be_known(command: bytes) -> None:
    for make in (greeted, in_bdat):
        driver = make()
        assert driver.feed(command + b"\r\nMAIL FROM:<a@own.example>\r\nQUIT\r\n") == [501]
        assert driver.engine.closing
        assert not [event for event in driver.events if isinstance(event, Mail)]


def test_a_line_that_is_too_long_for_a_chunk_ends_the_connection() -> None:
    line = b"bdat 5" + b" " * 600 + b"LAST\r\nQUIT\r\n"
    for cut in (0, 3, 300, 550, len(line) - 6):
        driver = in_bdat()
        assert driver.feed(line[:cut]) + driver.feed(line[cut:]) == [500]
        assert driver.engine.closing


@pytest.mark.parametrize("before", [b"", ENVELOPE])
def test_nobody_sends_forever_for_nothing(before: bytes) -> None:
    driver = greeted()
    codes = driver.feed(before + b"BDAT 9223372036854775807 LAST\r\nQUIT\r\n")
    assert codes[-1] == (552 if before else 503)
    assert driver.engine.closing
    driver = in_bdat(decide=refusing(Bdat))
    assert driver.feed(b"BDAT 200000000\r\n") == []
    for _ in range(200):
        driver.feed(b"x" * 1_000_000)
    assert driver.feed(b"BDAT 200000000\r\n") == [552]
    assert driver.engine.closing


def test_a_size_that_nobody_limits_is_taken() -> None:
    driver = in_bdat(attrs.evolve(SETTINGS, max_message_size=None))
    assert driver.feed(b"BDAT 9223372036854775807\r\nabc") == []
    assert not driver.engine.closing


def test_421_closes_at_once() -> None:
    driver = in_bdat(decide=refusing(Bdat, replies.SERVICE_NOT_AVAILABLE))
    assert driver.feed(b"BDAT 1000\r\nabc") == [421]
    assert driver.engine.closing


def test_a_flood_of_tiny_chunks_costs_little() -> None:
    driver = in_bdat()
    stream = bdat(b"x", False) * 5000
    driver.engine.receive_data(stream)
    taken = 0
    while driver.engine.buffered:
        while (event := driver.engine.next_event()) is not None:
            driver.take(event)
        answers = driver.engine.data_to_send().count(b"\r\n")
        assert answers <= 256
        taken += answers
    assert taken == 5000


def test_nothing_is_read_while_the_answer_to_a_chunk_is_pending() -> None:
    driver = in_bdat()
    driver.engine.receive_data(bdat(b"x\r\n") + b"NOOP\r\n")
    assert driver.engine.next_event() == Bdat(3, True)
    assert driver.engine.next_event() is None
    driver.engine.respond(replies.CHUNK_ACCEPTED)
    assert driver.engine.data_to_send() == b""
    assert driver.engine.next_event() is not None
    assert driver.engine.next_event() == EndOfContent(None)
    assert driver.engine.next_event() is None
    assert driver.engine.data_to_send() == b""


@settings(deadline=None)
@given(
    words=st.lists(
        st.sampled_from(
            [
                b"MAIL FROM:<a@own.example>\r\n",
                b"RCPT TO:<b@own.example>\r\n",
                b"RCPT TO:<bad\r\n",
                bdat(b"x", False),
                bdat(b"QUIT\r\n"),
                bdat(b"\0"),
                b"DATA\r\n",
                b"RSET\r\n",
                b"NOOP\r\n",
                b"WHAT\r\n",
                b"EHLO x\r\n",
            ]
        ),
        max_size=12,
    ),
    rng=st.randoms(use_true_random=False),
)
def test_any_delay_of_answers_and_octets_gives_the_same_replies(words: list[bytes], rng: random.Random) -> None:
    """Each command is fed and answered at once; or octets come in any pieces while any answer is pending."""
    at_once = greeted()
    stream = b""
    for word in words:
        octets = b"x\r\n.\r\n" if at_once.engine.in_content else word  # behind the 354 of DATA all is content
        at_once.feed(octets)
        stream += octets
    late = greeted()
    waiting: Event | None = None
    while stream or waiting is not None or late.engine.buffered:
        if stream and rng.random() < 0.5:
            size = rng.randrange(1, 20)
            late.engine.receive_data(stream[:size])
            stream = stream[size:]
        elif waiting is not None:
            late.take(waiting)
            waiting = None
        else:
            waiting = late.engine.next_event()
            if waiting is None and not stream:
                break
    while (event := late.engine.next_event()) is not None:
        late.take(event)
    late.output += late.engine.data_to_send()
    assert late.output == at_once.output
    assert late.messages == at_once.messages


@settings(deadline=None)
@given(
    chunks=st.lists(st.binary(max_size=40).map(lambda data: data + b"\r\n"), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_any_octets_in_any_packets(chunks: list[bytes], cuts: list[int]) -> None:
    stream = b"MAIL FROM:<a@own.example> BODY=BINARYMIME\r\nRCPT TO:<b@own.example>\r\n"
    stream += b"".join(bdat(chunk, index == len(chunks) - 1) for index, chunk in enumerate(chunks)) + b"QUIT\r\n"
    driver = greeted()
    at = 0
    for cut in [*sorted(cuts), len(stream)]:
        driver.feed(stream[at : max(at, cut)])
        at = max(at, cut)
    assert driver.codes == [250] * (2 + len(chunks)) + [221]
    assert driver.messages == [b"".join(chunks)]
