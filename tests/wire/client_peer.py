"""The other end of a client engine in tests."""

from __future__ import annotations

from typing import Any

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_values import (
    ClientEvent,
    ClientSettings,
    Ready,
    Transaction,
)

PLAIN = ClientSettings("relay.test", starttls="never")
EHLO = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n"
EHLO_CHUNKING = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
EHLO_PLAIN = b"250 mx.test\r\n"
EHLO_PLAIN_CHUNKING = b"250-mx.test\r\n250 CHUNKING\r\n"
LOST = Reply(451, "4.4.2", "Connection lost")


class Peer:
    """Drives an engine: says something as the server, returns what the client answers."""

    def __init__(self, settings: ClientSettings = PLAIN, split: int = 0) -> None:
        self.engine = SMTPClient(settings)
        self.events: list[ClientEvent] = []
        self.split = split

    def says(self, data: bytes) -> bytes:
        step = self.split or max(len(data), 1)
        sent = b""
        for offset in range(0, len(data), step):
            self.engine.receive_data(data[offset : offset + step])
            sent += self.collect()
        return sent

    def collect(self) -> bytes:
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)
        return self.engine.data_to_send()

    def begins(self, *recipients: str, **more: Any) -> tuple[Transaction, bytes]:
        transaction = Transaction("s@a.test", recipients or ("r@b.test",), more.pop("size", 7), **more)
        self.engine.begin(transaction)
        return transaction, self.collect()

    def last(self, kind: type[Any]) -> Any:
        return [event for event in self.events if isinstance(event, kind)][-1]

    def sends(self, content: bytes = b"hello\r\n") -> bytes:
        self.engine.content(content)
        self.engine.end_content()
        return self.collect()


def session(ehlo: bytes = EHLO, settings: ClientSettings = PLAIN, split: int = 0) -> Peer:
    peer = Peer(settings, split)
    peer.says(b"220 mx.test\r\n")
    peer.says(ehlo)
    assert isinstance(peer.events[-1], Ready)
    return peer


def codes(transaction: Transaction) -> list[int]:
    return [verdict.reply.code for verdict in transaction.verdicts if verdict is not None]
