"""LMTP: another hello, and a reply for each recipient at the end of a message."""

from __future__ import annotations

import attrs

from tests.wire.driver import QUEUED, SETTINGS, Driver, feed_split, positive
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import Bdat, EndOfContent, Event, Hello

LMTP = attrs.evolve(SETTINGS, lmtp=True)
ENVELOPE = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\nRCPT TO:<bad\r\nRCPT TO:<c@own.example>\r\n"


def greeted() -> Driver:
    return Driver(LMTP, hello=b"LHLO client.example\r\n")


def test_hello() -> None:
    driver = Driver(LMTP)
    assert driver.feed(b"HELO x\r\nEHLO x\r\nMAIL FROM:<a@own.example>\r\n") == [500, 500, 503]
    assert driver.feed(b"LHLO x\r\n") == [250]
    assert driver.events[-1] == Hello("LHLO", "x")
    assert b"\r\n250-PIPELINING\r\n" in driver.output


def test_a_reply_for_each_recipient_that_was_accepted() -> None:
    for driver in feed_split(greeted, (ENVELOPE + b"DATA\r\nx\r\n.\r\n") * 2 + b"QUIT\r\n"):
        assert driver.codes == [250, 250, 501, 250, 354, 250, 250] * 2 + [221]
        assert driver.messages == [b"x\r\n"] * 2
        assert driver.output.count(QUEUED.wire) == 4


def test_without_a_recipient() -> None:
    assert greeted().feed(b"MAIL FROM:<a@own.example>\r\nDATA\r\nRCPT TO:<>\r\nDATA\r\n") == [250, 503, 501, 554]


def test_the_last_chunk_has_them_all() -> None:
    driver = greeted()
    assert driver.feed(ENVELOPE + b"BDAT 1\r\nxBDAT 2 LAST\r\n\r\n") == [250, 250, 501, 250, 250, 250, 250]
    assert driver.messages == [b"x\r\n"]


def test_a_fault_is_for_each_of_them() -> None:
    driver = greeted()
    assert driver.feed(ENVELOPE + b"DATA\r\na\nb\r\n.\r\n")[-2:] == [550, 550]
    # One for the chunk that spoils the message, one for each recipient behind the last one.
    assert driver.feed(ENVELOPE + b"BDAT 1\r\n\nBDAT 1\r\nxBDAT 1 LAST\r\nxNOOP\r\n") == [250, 250, 501, 250, 550, 550, 550, 550, 250]
    assert driver.messages == []


def test_a_refused_chunk() -> None:
    def decide(event: Event) -> Reply:
        return replies.SYSTEM_RESOURCES if isinstance(event, Bdat) else positive(event)

    driver = Driver(LMTP, decide, hello=b"LHLO x\r\n")
    assert driver.feed(ENVELOPE + b"BDAT 1 LAST\r\nxNOOP\r\n") == [250, 250, 501, 250, 452, 452, 250]
    assert driver.feed(ENVELOPE + b"BDAT 1\r\nxBDAT 1 LAST\r\nxNOOP\r\n") == [250, 250, 501, 250, 452, 452, 452, 250]


def test_421_is_said_once() -> None:
    driver = Driver(
        LMTP,
        lambda event: replies.SERVICE_NOT_AVAILABLE if isinstance(event, EndOfContent) else positive(event),
        hello=b"LHLO x\r\n",
    )
    assert driver.feed(ENVELOPE + b"DATA\r\nx\r\n.\r\n")[-1] == 421
    assert driver.output.count(b"421") == 1
    assert driver.engine.closing
