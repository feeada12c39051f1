"""Back-pressure: the disk, peers that do not read, and floods."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.net.relay import FakeContent, Relay
from twistedrelay.net.conversation import INPUT_BACKLOG
from twistedrelay.net.esmtp import DISK_BACKLOG

HEAD = b"Subject: x\r\n\r\n"
BLOCK = b"x" * 62 + b"\r\n"


class SlowContent(FakeContent):
    """All that is written waits for the disk."""

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        self.waiting += len(chunk)


class QuickContent(FakeContent):
    """The backlog is gone as soon as somebody asks."""

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        self.waiting = 2 * DISK_BACKLOG

    def drained(self) -> Deferred[None]:
        self.waiting = 0
        return super().drained()


def test_content_that_waits_for_the_disk_stops_reading() -> None:
    relay = Relay()
    relay.spool.make_content = SlowContent
    client = relay.connect().begin()
    client.send(HEAD)
    content = relay.spool.contents[0]
    sent = 0
    while client.transport.reading:
        client.send(BLOCK * 1000)
        sent += len(BLOCK) * 1000
        assert sent < 2 * DISK_BACKLOG
    held = content.size
    client.send(BLOCK * 1000 + b".\r\nNOOP\r\n")
    assert content.size == held, "what was read already waits too"
    content.drain()
    content.drain()
    assert client.transport.reading
    assert client.codes() == [250, 250]
    assert content.size > held


def test_a_disk_that_refuses_does_not_stop_the_session() -> None:
    relay = Relay()
    relay.spool.make_content = SlowContent
    client = relay.connect().begin()
    client.send(HEAD + BLOCK * (2 * DISK_BACKLOG // len(BLOCK)))
    assert not client.transport.reading
    relay.spool.contents[0].drain(Failure(OSError("no space left")))
    assert client.transport.reading
    client.send(b".\r\n")
    relay.spool.contents[0].drain()
    assert client.codes() == [250]


def test_a_backlog_that_is_gone_at_once() -> None:
    relay = Relay()
    relay.spool.make_content = QuickContent
    client = relay.connect().begin()
    client.send(HEAD)
    for _ in range(20):
        client.send(BLOCK * 5000)
        assert client.transport.reading
    client.send(b".\r\n" + b"NOOP\r\n" * 3)
    assert client.codes() == [250] * 4


def test_the_client_leaves_while_the_disk_is_slow() -> None:
    relay = Relay()
    relay.spool.make_content = SlowContent
    client = relay.connect().begin()
    client.send(HEAD + BLOCK * (2 * DISK_BACKLOG // len(BLOCK)))
    client.transport.close()
    content = relay.spool.contents[0]
    assert content.aborted == 1
    size = content.size
    content.drain()
    assert content.size == size


def test_who_does_not_read_replies_is_not_read() -> None:
    relay = Relay()
    client = relay.connect()
    client.said()
    client.transport.full = True
    client.send(b"NOOP\r\n")
    assert not client.transport.reading
    client.send(b"NOOP\r\n" * 10)
    assert client.codes() == [250], "no command is looked at until the reply is read"
    client.transport.full = False
    client.session.resumeProducing()
    assert client.transport.reading
    assert client.codes() == [250] * 10


def test_a_flood_stops_where_its_replies_are_not_read() -> None:
    relay = Relay()
    for command, reply_size in ((b"NOOP\r\n", 20), (b"HELP\r\n", 200), (b"EHLO\r\n", 300), (b"RSET\r\n", 30), (b"XXXX\r\n", 40)):
        relay = Relay({"Default Frontend": {"max_protocol_errors": "unlimited"}})
        client = relay.connect()
        client.said()
        client.transport.full = True
        client.send(command * 10_000)
        said = client.said()
        assert said.count("\r\n") < 6000
        assert len(said) < 600 * reply_size
        client.transport.full = False
        client.session.resumeProducing()
        assert len(client.codes()) > 5000
        assert client.transport.reading


def test_a_flood_is_answered_in_full() -> None:
    relay = Relay()
    client = relay.connect()
    client.said()
    client.send(b"NOOP\r\n" * 10_000 + b"QUIT\r\n")
    assert client.codes() == [250] * 10_000 + [221]


def test_commands_behind_a_pending_decision_are_bounded() -> None:
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(HEAD + b".\r\n")
    sent = 0
    while client.transport.reading:
        client.send(b"NOOP\r\n" * 1000)
        sent += 1000
        assert sent * 6 < 2 * INPUT_BACKLOG
    assert client.said() == ""
    relay.spool.held[0].callback(None)
    assert client.codes() == [250] * (1 + sent)
    assert client.transport.reading


def test_an_endless_line_stays_small() -> None:
    relay = Relay()
    client = relay.connect()
    client.said()
    for _ in range(100):
        client.send(b"x" * 65536)
    assert client.session.engine.buffered < 65536
    assert client.said() == ""
    client.send(b"\r\nNOOP\r\n")
    assert client.codes() == [500, 250]


def test_a_held_session_that_closes_reads_on() -> None:
    """Under TLS the connection ends only when the peer's answer to our close is read."""
    relay = Relay()
    client = relay.connect()
    client.said()
    client.transport.full = True
    client.send(b"NOOP\r\n")
    assert not client.transport.reading
    relay.pass_time(301)
    assert client.is_closing
    assert client.transport.reading
