"""A process that stores and finishes messages until it is killed; it says what was acknowledged, one line each.

C{python -m tests.spool.child DIRECTORY SEED}: C{+id size} after the commit of a store, C{-id} before a message's last record is asked for.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from tests.spool.world import HandReactor, deliver
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Message, Recipient


def content_of(number: int, size: int) -> bytes:
    """Octets that tell which message they belong to."""
    return (b"%d." % number * (size // 2 + 1))[:size]


def main(directory: str, seed: int) -> None:
    """Run for ever."""
    reactor = HandReactor()
    chance = random.Random(seed)
    spool = SQLiteSpool(reactor, directory, inline_limit=8192)
    spool.open()
    address = Address("a@example.org", "a", "example.org")

    def say(text: str) -> None:
        os.write(1, text.encode() + b"\n")

    @inlineCallbacks
    def session() -> Generator[Deferred[Any], Any, None]:
        while True:
            number = spool.next_id()
            size = chance.choice([0, 100, 4096, 8192, 8193, 50_000, 600_000])
            writer = spool.new_content()
            data = content_of(number, size)
            for start in range(0, size, 30_000):
                writer.write(data[start : start + 30_000])
            message = Message(number, address, [Recipient(0, address), Recipient(1, address)], "<x>", 1.0, writer)
            yield spool.store(message)
            say(f"+{number} {size}")
            if chance.random() < 0.5:
                say(f"-{number}")
                yield spool.record(message, deliver(*message.recipients))

    for _ in range(8):
        session()
    while True:
        reactor.turn(30.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
