"""Defects that other servers had in 2026 in the extensions (audits of Postfix and Exim), each as a test of this engine."""

from __future__ import annotations

import pytest

from tests.wire.driver import greeted, positive
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import Bdat, EndOfContent, Event

ENVELOPE = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\n"
BDAT = b"BDAT 3 LAST\r\nx\r\n"
REFUSED = Reply(550, "5.7.1", "Refused by a filter")

#: What ends a transaction badly, and how many replies it has.
ENDINGS = {
    "a chunk is refused": (b"BDAT 4\r\nQUIT", Bdat),
    "a last chunk is refused": (b"BDAT 4 LAST\r\nQUIT", Bdat),
    "the end of chunks is refused": (b"BDAT 3 LAST\r\nx\r\n", EndOfContent),
    "the end of data is refused": (b"DATA\r\nx\r\n.\r\n", EndOfContent),
    "a fault in a chunk": (b"BDAT 4\r\nx\0\r\n", None),
    "a fault in data": (b"DATA\r\nx\0\r\n.\r\n", None),
    "too large a chunk": (b"BDAT 1000001 LAST\r\n" + b"x" * 1_000_001, None),
}


@pytest.mark.parametrize("command", [b"RCPT TO:<c@own.example>\r\n", b"DATA\r\n", BDAT])
@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_of_a_refused_transaction_is_left(ending: str, command: bytes) -> None:
    """Postfix crashed at DATA, or delivered a second message that no policy had seen."""
    octets, refused = ENDINGS[ending]

    def decide(event: Event) -> Reply:
        return REFUSED if refused is not None and isinstance(event, refused) else positive(event)

    driver = greeted(decide=decide)
    driver.feed(ENVELOPE + octets)
    assert driver.codes[-1] in (550, 552)
    driver.events.clear()
    code = driver.feed(command)[0]
    # A chunk behind a refused one is refused likewise: the client may have sent it before it knew.
    assert code == 503 or (command is BDAT and code in (550, 552))
    assert driver.messages == []
    assert [type(event).__name__ for event in driver.events] in ([], ["ProtocolError"])
    assert driver.feed(b"MAIL FROM:<a@own.example>\r\nDATA\r\n") == [250, 503]


def test_starttls_between_chunks() -> None:
    """Exim: BDAT and STARTTLS in one transaction."""
    driver = greeted()
    assert driver.feed(ENVELOPE + b"BDAT 1\r\nx") == [250, 250, 250]
    assert driver.feed(b"STARTTLS\r\n") == [503]
    assert not driver.engine.awaiting_tls
    assert driver.feed(b"BDAT 2 LAST\r\n\r\n") == [250]


def test_starttls_inside_a_chunk_is_content() -> None:
    driver = greeted()
    assert driver.feed(ENVELOPE + b"BDAT 10 LAST\r\nSTARTTLS\r\n") == [250, 250, 250]
    assert driver.messages == [b"STARTTLS\r\n"]


def test_smuggling_by_chunks() -> None:
    """An end of data inside a chunk ends nothing, and a command line divided between two chunks is none."""
    driver = greeted()
    inner = b"x\r\n.\r\nMAIL FROM:<evil@own.example>\r\nRCPT TO:<c@own.example>\r\nDATA\r\ny\r\n.\r\n"
    stream = ENVELOPE + b"".join(b"BDAT 1\r\n" + inner[at : at + 1] for at in range(len(inner))) + b"BDAT 0 LAST\r\n"
    assert driver.feed(stream) == [250] * (len(inner) + 3)
    assert driver.messages == [inner]
    assert driver.senders == ["a@own.example"]


@pytest.mark.parametrize("parameter", [b"ENVID=a+00b", b"ENVID=a+09b", b"ENVID=a+0D+0Ab"])
def test_nothing_unprintable_is_hidden_in_an_envelope_identifier(parameter: bytes) -> None:
    assert greeted().feed(b"MAIL FROM:<a@own.example> " + parameter + b"\r\n") == [501]


@pytest.mark.parametrize("value", [b"rfc822;a+00@b.example", b"rfc822;a+09@b.example", b"rfc822;a+0D+0ASubject:x@b.example"])
def test_nothing_unprintable_is_hidden_in_an_original_recipient(value: bytes) -> None:
    assert greeted().feed(b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example> ORCPT=" + value + b"\r\n") == [250, 501]


def test_the_size_limit_is_for_the_message_and_not_for_a_chunk() -> None:
    driver = greeted()
    chunk = b"BDAT 400000\r\n" + b"x" * 400_000
    assert driver.feed(ENVELOPE + chunk * 3 + b"BDAT 0 LAST\r\n") == [250, 250, 250, 250, 552, 552]
    assert driver.messages == []
    assert replies.MESSAGE_TOO_LARGE.wire in driver.output
