"""What sessions hold, and who is read from: whatever a crowd does in whatever order, the sums are right and nobody waits for ever."""

from __future__ import annotations

import random

import pytest

from tests.net.relay import Client, FakeContent, Relay
from twistedrelay.net.conversation import INPUT_BACKLOG
from twistedrelay.net.esmtp import DISK_BACKLOG

EVERYBODY = {"max_inbound_connection_per_source": "unlimited", "max_inbound_connection_percentage_per_source": 100}
LIMITS = {"max_recipients_per_message": 1000, "max_protocol_errors": "unlimited", "tarpit_interval": "2s", "min_data_rate": 0}
ENVELOPE = b"EHLO x\r\nRSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\n"

#: What a client may send next.
SAID = [
    b"EHLO x\r\n",
    ENVELOPE,
    ENVELOPE + b"DATA\r\n",
    b"\r\n.\r\n",
    b".\r\n",
    b"RSET\r\n",
    b"MAI",
    b"RCPT TO:<user@akkaya.local>\r\n" * 40,
    b"Subject: x\r\n\r\n" + b"x" * 3000,
    b"y" * 70_000,
    b"z" * 300_000,
    ENVELOPE + b"BDAT 200000\r\n" + b"x" * 60_000,
    ENVELOPE + b"BDAT 5\r\nA: b\rBDAT 3 LAST\r\n\n\r\n",
    b"VRFY a\r\n" * 300,
    b"MAIL FROM:<a@b.example> X=Y\r\n" * 3,
    b"XCLIENT ADDR=192.0.2.9\r\n",
    b"QUIT\r\n",
    b"\xff" * 700,
]


class Slow(FakeContent):
    """Content whose disk is told how slow it is."""

    chance: random.Random

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        if self.chance.random() < 0.1:
            self.waiting = DISK_BACKLOG * 2


class Crowd:
    """Clients that do anything."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        Slow.chance = self.chance
        connector = {**EVERYBODY, **LIMITS, "xclient_from": ["192.168.1.0/24"], "health_probe_from": ["192.168.1.31"]}
        self.relay = Relay({"Default Frontend": connector}, max_buffered_size=2**20, max_connections=30)
        self.relay.spool.make_content = Slow
        self.relay.spool.held = []
        self.clients: list[Client] = []
        self.begun: list[object] = []

    def step(self) -> None:
        chance, relay = self.chance, self.relay
        what = chance.random()
        if what < 0.15:
            client = relay.connect(f"192.168.1.{chance.randrange(30, 34)}")
            self.clients.append(client)
            self.begun.append(client.session)
        elif what < 0.75 and self.clients:
            client = chance.choice(self.clients)
            if client.transport.reading:
                client.send(chance.choice(SAID))
            client.transport.clear()
        elif what < 0.82 and self.clients:
            chance.choice(self.clients).transport.close()
        elif what < 0.9:
            self.relay.pass_time(chance.choice([0.5, 3, 8]))
        elif what < 0.97:
            self.store()
        else:
            self.drain()
        self.check()

    def store(self) -> None:
        held = self.relay.spool.held
        assert held is not None
        for _ in range(self.chance.randrange(0, 3)):
            if held:
                held.pop(self.chance.randrange(len(held))).callback(None)

    def drain(self) -> None:
        for content in self.relay.spool.contents:
            if content.waiting:
                content.drain()

    def check(self) -> None:
        relay = self.relay
        assert relay.buffers.used == sum(session._buffered for session in self.begun)  # type: ignore[attr-defined]
        assert relay.counts.open == sum(not client.transport.closed for client in self.clients)

    def all_wells(self) -> None:
        """The disk is quick again: nobody is held back any more, and those who leave take all with them."""
        held = self.relay.spool.held
        assert held is not None
        for _ in range(200):
            self.drain()
            while held:
                held.pop().callback(None)
            self.relay.pass_time(2)
            for client in self.clients:
                client.transport.clear()
        self.check()
        for client in self.clients:
            session = client.session
            if not (client.transport.closed or client.is_closing):
                assert client.transport.reading or session.engine.buffered > INPUT_BACKLOG or session._unread
            client.transport.close()
        self.check()
        assert self.relay.buffers.used == self.relay.counts.open == self.relay.counts.total("Default Frontend") == 0
        assert self.relay.sessions.count() == 0
        assert not self.relay.buffers.full


@pytest.mark.parametrize("seed", range(12))
def test_a_crowd_that_does_anything(seed: int) -> None:
    crowd = Crowd(seed)
    for _ in range(250):
        crowd.step()
    crowd.all_wells()
