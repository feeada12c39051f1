"""Known bugs of other servers that have no test elsewhere, and the check that L{tests.attack.known} tells the truth."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from tests.attack.known import BUG_CLASSES, VULNERABILITIES, Known
from tests.net.relay import Relay
from tests.programs import ROOT
from tests.wire.driver import Driver, greeted
from twistedrelay.interfaces import SpoolError
from twistedrelay.observe.lines import line as log_line
from twistedrelay.values import reply as replies
from twistedrelay.wire.events import Hello, ProtocolError

HOSTILE = (
    "${run{/bin/sh}}",
    "%(asctime)s%n%s",
    "{0.__class__}{session}",
    "$(id)`id`",
    "|/bin/sh",
    "';DROP/**/TABLE/**/messages;--",
    '"\\"; touch x; #"',
    "..\\..\\/etc/passwd",
    "__proto__",
    "-oQ/tmp",
)


@pytest.mark.parametrize("known", [*BUG_CLASSES, *VULNERABILITIES], ids=lambda known: known.name)
def test_the_mapping_names_tests_that_exist(known: Known) -> None:
    """Each has a test, or a reason why there is none."""
    assert bool(known.tests) != bool(known.absent)
    for place in known.tests:
        file, _, name = place.partition("::")
        assert re.search(rf"(def|class) {name}\b", (ROOT / "tests" / file).read_text()), place


@pytest.mark.parametrize("local", HOSTILE)
def test_hostile_text_is_only_text(local: str) -> None:
    """Addresses, names and subjects that would mean something to a shell, a database, a template or a log: to us they mean nothing."""
    local = (
        local if re.fullmatch(r"[\w!#$%&'*+/=?^`{|}~.-]+|\".*\"", local) and ".." not in local else '"' + local.replace("\\", "\\\\") + '"'
    )
    relay = Relay({"Default Frontend": {"extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}})
    client = relay.connect()
    hello = re.sub(r'[" \\]', "", local)
    assert client.command(f"EHLO {hello}").endswith("\r\n")
    assert client.command(f"MAIL FROM:<{local}@client.example>").startswith("250"), local
    assert client.command(f"RCPT TO:<{local}@akkaya.local>").startswith("250")
    client.command("DATA")
    client.send(f"Subject: {local}\r\nMessage-ID: <{hello}@x>\r\n\r\n{local}\r\n.\r\n".encode())
    assert client.codes() == [250]
    [message] = relay.spool.stored
    assert message.sender.text == f"{local}@client.example"
    assert message.recipients[0].address.text == f"{local}@akkaya.local"
    for event in relay.events:
        line = log_line(event)
        assert line.isprintable()
    client.transport.close()


@pytest.mark.parametrize("name", ["x" * 255, "x" * 505, "a" * 60 + ".\\", "\\", "[" * 200, "%s%n" * 20, "{}", "localhost\\\\\\"])
def test_long_and_odd_hellos(name: str) -> None:
    """A name of any length and kind is taken or refused, and never cut so that something else remains."""
    driver = Driver()
    code = driver.feed(f"EHLO {name}\r\nNOOP\r\n".encode())
    assert code in ([250, 250], [501, 250])
    [event] = [one for one in driver.events if isinstance(one, Hello | ProtocolError)]
    assert isinstance(event, ProtocolError) or event.name == name


def test_commands_leave_nothing_behind() -> None:
    """Ten thousand of them in one session cost no memory."""
    driver = greeted()
    batch = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\nRSET\r\nVRFY x\r\nWHAT\r\nNOOP\r\n"
    for _ in range(20):
        driver.feed(batch)
    driver.events.clear()
    driver.output = b""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2000):
            driver.feed(batch)
            driver.events.clear()
            driver.output = b""
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def test_tiny_chunks_are_held_as_one_message() -> None:
    """Thirty thousand times BDAT 1: no object for each of them, neither of what it was nor of what it said."""
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nBDAT 14\r\nSubject: x\r\n\r\n")
    tracemalloc.start()
    try:
        for _ in range(300):
            client.send(b"BDAT 1\r\nx" * 100)
            client.transport.clear()
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    client.send(b"BDAT 2 LAST\r\n\r\n")
    assert client.codes() == [250]
    assert relay.spool.contents[-1].octets.endswith(b"x" * 30_000 + b"\r\n")
    assert len(relay.spool.contents[-1].chunks) < 20


def test_who_is_turned_away_is_not_read() -> None:
    """Neither answered nor held, however much it sends."""
    relay = Relay({"Default Frontend": {"remote_ip_ranges": ["10.0.0.0/8"]}})
    client = relay.connect("203.0.113.1")
    assert client.codes() == [421]
    tracemalloc.start()
    try:
        for _ in range(200):
            client.send(b"x" * 65536)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert client.said() == ""


def test_from_lines_are_content() -> None:
    """They count for the size, and hide no header that we count hops by."""
    relay = Relay({"Default Frontend": {"max_message_size": "64KB"}})
    client = relay.connect().begin()
    client.send(b"From a@b Thu Jan  1 00:00:00 1970\r\n" * 3000 + b"Subject: x\r\n\r\n.\r\n")
    assert client.codes() == [552]
    assert relay.spool.stored == []
    client.begin().send(b"From a@b Thu Jan  1 00:00:00 1970\r\nSubject: x\r\n\r\ntext\r\n.\r\n")
    assert client.codes() == [250]
    content = relay.spool.contents[-1].octets
    assert content.startswith(b"Received: ")
    assert b"\r\n\r\nFrom a@b" in content, "what is no header stands behind an empty line"


@pytest.mark.parametrize("value", ["a+00b", "+00", "a+09b", "a+0D+0Ab", "a+7Fb", "+2", "+2b", "a+", "=", "\x7f"])
def test_encoded_controls(value: str) -> None:
    """xtext that decodes to what may not stand there, and xtext that is none: refused, and the transaction goes on without."""
    driver = greeted()
    assert driver.feed(f"MAIL FROM:<a@own.example> ENVID={value}\r\n".encode())[0] in (501, 555)
    assert driver.feed(b"MAIL FROM:<a@own.example>\r\n") == [250]
    assert driver.feed(f"RCPT TO:<b@own.example> ORCPT=rfc822;{value}\r\n".encode())[0] in (501, 555)
    assert driver.feed(b"RCPT TO:<b@own.example>\r\nDATA\r\nx\r\n.\r\n") == [250, 354, 250]


def test_a_failed_message_fails_no_other() -> None:
    """The session goes on, and the next message is judged by itself."""
    relay = Relay()
    client = relay.connect()
    for error, code in ((None, 250), (SpoolError("full", replies.SYSTEM_RESOURCES), 452), (RuntimeError("odd"), 451), (None, 250)):
        relay.spool.error = error
        client.begin().send(b"Subject: x\r\n\r\ntext\r\n.\r\n")
        assert client.codes() == [code]
    assert len(relay.spool.stored) == 2
