"""SMTP smuggling: only CRLF.CRLF ends a message, whatever looks like it and however it is cut into packets."""

from __future__ import annotations

import re

import attrs
import pytest

from tests.wire.driver import SETTINGS, Driver, feed_split, in_data
from twistedrelay.values import reply as replies
from twistedrelay.wire.events import EndOfContent

NORMALISING = attrs.evolve(SETTINGS, bare_linefeed_rejection_enabled=False)
EVIL = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@own.example>\r\nDATA\r\nsecond"
PROBES = [
    b"\n.\n",
    b"\n.\r",
    b"\r.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\0\r\n.\n",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
    b"\r\n.\x0b\r\n",
    b"\r\n..\r\n",
]
#: Those that hold a bare CR, a bare LF or a NUL; the others are text that starts with a dot.
FAULTY = [probe for probe in PROBES if re.search(rb"(?<!\r)\n|\r(?!\n)|\0", probe)]


def check_nothing_smuggled(driver: Driver) -> None:
    """One message ended, and nothing in it was executed."""
    assert driver.senders == []
    assert driver.recipients == []
    assert [type(event) for event in driver.events] == [EndOfContent]
    assert len(driver.codes) == 1


@pytest.mark.parametrize("probe", PROBES)
def test_strict_connector(probe: bytes) -> None:
    for driver in feed_split(in_data, b"first" + probe + EVIL + b"\r\n.\r\n"):
        check_nothing_smuggled(driver)
        assert driver.events == [EndOfContent(replies.BARE_LINE_ENDING if probe in FAULTY else None)]
        assert driver.codes == [550 if probe in FAULTY else 250]


@pytest.mark.parametrize("probe", PROBES)
def test_normalising_connector(probe: bytes) -> None:
    for driver in feed_split(lambda: in_data(NORMALISING), b"first" + probe + EVIL + b"\r\n.\r\n"):
        check_nothing_smuggled(driver)
        for message in driver.messages:
            assert b"\0" not in message
            assert re.search(rb"(?<!\r)\n|\r(?!\n)", message) is None
        assert driver.codes == [550 if b"\0" in probe else 250]


@pytest.mark.parametrize("probe", [b".\n", b".\r", b"\n.\n", b"\r.\r", b".\r\r\n", b"\0.\r\n"])
def test_a_message_that_begins_with_a_false_end(probe: bytes) -> None:
    for settings in (SETTINGS, NORMALISING):
        for driver in feed_split(lambda settings=settings: in_data(settings), probe + EVIL + b"\r\n.\r\n"):  # type: ignore[misc]
            check_nothing_smuggled(driver)


def test_a_false_end_at_the_close_of_the_connection_is_no_end() -> None:
    for tail in (b"\r\n.", b"\r\n.\r", b"\n.\n", b"\r\n.\n"):
        driver = in_data()
        driver.feed(b"half a message" + tail)
        assert driver.events == []
        assert driver.output == b""


def test_stuffed_end_is_text() -> None:
    for driver in feed_split(in_data, b"a\r\n..\r\n...\r\n.\r\nNOOP\r\n"):
        assert driver.messages == [b"a\r\n.\r\n..\r\n"]
        assert driver.codes == [250, 250]


def test_long_lines_cannot_hide_or_fake_an_end() -> None:
    for size in (998, 2048, 4095, 8191, 16383, 16384, 65535):
        driver = in_data()
        assert driver.feed(b"x" * size + b".\r\n") == []
        assert driver.feed(EVIL + b"\r\n") == []
        assert driver.feed(b".\r\n") == [250]
        check_nothing_smuggled(driver)


@pytest.mark.parametrize("probe", [b"\n", b"\r", b"\r\r\n\n", b"\0"])
def test_a_command_is_not_split_by_anything_but_crlf(probe: bytes) -> None:
    for verb in (b"NOOP", b"RSET", b"VRFY x", b"MAIL FROM:<a", b"EHLO x", b"HELP", b"DATA"):
        for driver in feed_split(Driver, b"EHLO x\r\n" + verb + probe + b"MAIL FROM:<evil@x.example>\r\n"):
            if probe != b"\r\r\n\n":
                assert len(driver.codes) == 2
            assert driver.senders == []
