"""kill -9 at random moments: what was acknowledged arrives.

Several sessions send numbered messages without a pause while the daemon is killed and started again, on one spool.  The oracle: every
message whose end of data was answered 250 arrives, at least once, whole; and what arrives was handed to the relay: nothing is made up.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import Dialogue, eventually

SESSIONS = 4

#: Some bodies are larger than what the spool keeps inline, so that files are in play too.
SIZES = (200,) * 20 + (4_000,) * 20 + (60_000,) * 4 + (400_000,)


class Sender(threading.Thread):
    """Sends numbered messages, each in a transaction of its own, and connects again whenever the connection breaks.

    @ivar tried: the numbers of all messages whose content was begun.
    @ivar acknowledged: the numbers of those answered 250.
    """

    def __init__(self, port: int, first: int) -> None:
        super().__init__(daemon=True)
        self.tried: set[int] = set()
        self.acknowledged: set[int] = set()
        self.refused: list[str] = []
        self.ending = threading.Event()
        self._port = port
        self._next = first
        self._random = random.Random(first)

    def run(self) -> None:
        """Until told to end."""
        while not self.ending.is_set():
            try:
                with Dialogue(self._port) as session:
                    session.command("EHLO sender")
                    while not self.ending.is_set():
                        self._send(session)
            except (OSError, EOFError):
                time.sleep(0.02)

    def _send(self, session: Dialogue) -> None:
        number = self._next
        self._next += 1
        self.tried.add(number)
        said = session.message("sender@client.example", [f"n{number}@akkaya.local"], content(number, self._random.choice(SIZES)))
        if said.startswith("250"):
            self.acknowledged.add(number)
        elif not said.startswith("4"):
            self.refused.append(said)
            self.ending.set()
        else:
            session.command("RSET")


def content(number: int, size: int) -> bytes:
    """A message that says its number and the digest of its body."""
    line = f"{number} ".encode() * 12 + b"\r\n"
    body = line * (size // len(line))
    return f"Subject: {number}\r\nX-Digest: {hashlib.sha256(body).hexdigest()}\r\n\r\n".encode() + body


def number_of(delivered: bytes) -> int:
    """The number of a message that arrived; that it is whole is checked on the way."""
    header, _, body = delivered.partition(b"\r\n\r\n")
    digest = re.search(rb"(?m)^X-Digest: (\w+)\r?$", header)
    number = re.search(rb"(?m)^Subject: (\d+)\r?$", header)
    assert digest is not None
    assert number is not None
    assert hashlib.sha256(body).hexdigest() == digest[1].decode(), f"message {number[1]!r} is not whole"
    return int(number[1])


@pytest.mark.slow
def test_what_was_acknowledged_arrives(request: pytest.FixtureRequest) -> None:
    """See the module; C{--kills N} sets the number of rounds."""
    rounds = int(request.config.getoption("--kills"))
    moments = random.Random(rounds)
    arrived: set[int] = set()
    damaged: list[str] = []

    def check(octets: str) -> None:
        try:
            arrived.add(number_of(octets.encode("latin-1")))
        except AssertionError as problem:
            damaged.append(str(problem))

    with Sink(recording=False) as sink:
        sink.on("end", check)
        configuration, ports = article(sink.hop)
        with Relay(configuration, ports) as relay:
            senders = [Sender(relay.port, session * 10_000_000) for session in range(SESSIONS)]
            for sender in senders:
                sender.start()
            for _ in range(rounds):
                time.sleep(moments.uniform(0.05, 0.8))
                if moments.random() < 0.3:  # now and then with a queue: the next hop is away
                    sink.stop()
                    time.sleep(moments.uniform(0.0, 0.2))
                relay.kill()
                relay.start()
                if not sink.listening:
                    sink.start()
            for sender in senders:
                sender.ending.set()
            for sender in senders:
                sender.join(60)
            eventually(relay.is_empty, "everything is delivered", 300)
    assert [said for sender in senders for said in sender.refused] == []
    tried = set().union(*(sender.tried for sender in senders))
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert damaged == []
    assert len(acknowledged) >= rounds, "the senders hardly got through: the test says nothing"
    assert acknowledged - arrived == set(), "acknowledged, but lost"
    assert arrived - tried == set(), "arrived, but never sent"
