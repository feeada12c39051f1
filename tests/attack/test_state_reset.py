"""No state of a transaction outlives what ends it, and no refused transaction is completed."""

from __future__ import annotations

import pytest

from tests.wire.driver import Driver, feed_split, greeted, positive
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import EndOfContent, Event, Mail, Rcpt

ENVELOPE = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\n"
REFUSED = Reply(550, "5.7.1", "Refused")
ENDS: dict[str, tuple[bytes, type[Event] | None]] = {
    "end of data accepted": (b"DATA\r\nx\r\n.\r\n", None),
    "end of data refused": (b"DATA\r\nx\r\n.\r\n", EndOfContent),
    "bare line end": (b"DATA\r\na\nb\r\n.\r\n", None),
    "too large": (b"DATA\r\n" + b"x" * 1_000_001 + b"\r\n.\r\n", None),
    "rset": (b"RSET\r\n", None),
    "ehlo": (b"EHLO x\r\n", None),
    "helo": (b"HELO x\r\n", None),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("following", [b"RCPT TO:<b@own.example>\r\n", b"DATA\r\n", b"RCPT TO:<b@own.example>\r\nDATA\r\n"])
def test_after_the_end_rcpt_and_data_need_a_new_mail(name: str, following: bytes) -> None:
    data, refused = ENDS[name]

    def decide(event: Event) -> Reply:
        return REFUSED if type(event) is refused else positive(event)

    driver = greeted(decide=decide)
    driver.feed(ENVELOPE + data)
    before = len(driver.messages)
    assert not driver.engine.in_transaction
    assert set(driver.feed(following)) == {503}
    assert driver.feed(b"MAIL FROM:<a@own.example>\r\nDATA\r\n") == [250, 503]
    assert len(driver.messages) == before


def test_a_reject_at_the_end_of_data_lets_no_second_message_through() -> None:
    def decide(event: Event) -> Reply:
        return REFUSED if isinstance(event, EndOfContent) else positive(event)

    for driver in feed_split(lambda: greeted(decide=decide), ENVELOPE + b"DATA\r\nx\r\n.\r\nRCPT TO:<b@own.example>\r\nDATA\r\n"):
        assert driver.codes == [250, 250, 354, 550, 503, 503]


@pytest.mark.parametrize(
    "line", [b"VRFY j\xf6s\xe9", b"VRFY", b"WHAT", b"NOOP", b"HELP", b"EXPN a", b"AUTH PLAIN AHUAcA==", b"MAIL FROM:<x@y.example>"]
)
def test_what_does_not_end_a_transaction_keeps_both_mail_and_rcpt(line: bytes) -> None:
    """An error that resets MAIL and not RCPT would be the worst of both."""
    for driver in feed_split(greeted, ENVELOPE + line + b"\r\nDATA\r\nx\r\n.\r\n"):
        assert driver.codes[-2:] == [354, 250]
        assert driver.senders == ["a@own.example"]
        assert len(driver.messages) == 1


def test_a_refused_mail_begins_no_transaction() -> None:
    def decide(event: Event) -> Reply:
        return REFUSED if isinstance(event, Mail) else positive(event)

    for driver in feed_split(lambda: greeted(decide=decide), ENVELOPE + b"DATA\r\n"):
        assert driver.codes == [550, 503, 503]


def test_all_recipients_refused_and_the_body_is_never_a_message() -> None:
    """What follows the refused DATA is read as commands: none of its lines is taken for content, and the real one is refused again."""

    def decide(event: Event) -> Reply:
        return replies.UNABLE_TO_RELAY if isinstance(event, Rcpt) else positive(event)

    for driver in feed_split(lambda: greeted(decide=decide), ENVELOPE + b"DATA\r\nSubject: x\r\n.\r\n"):
        assert driver.codes == [250, 550, 554, 500, 500]
        assert driver.messages == []


def test_a_refused_recipient_does_not_count() -> None:
    def decide(event: Event) -> Reply:
        return REFUSED if isinstance(event, Rcpt) and event.recipient.local == "no" else positive(event)

    driver = greeted(decide=decide)
    assert driver.feed(b"MAIL FROM:<>\r\nRCPT TO:<no@own.example>\r\nRCPT TO:<b@own.example>\r\nDATA\r\nx\r\n.\r\n") == [
        250,
        550,
        250,
        354,
        250,
    ]


def test_one_session_never_sees_the_state_of_another() -> None:
    first, second = greeted(), Driver()
    first.feed(ENVELOPE)
    assert second.feed(b"DATA\r\n") == [503]
