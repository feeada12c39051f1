"""A ledger with a clock, whose thread works at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from twistedrelay.observe.ledger.file import EVERYTHING, LedgerFile, LedgerQuery
from twistedrelay.observe.ledger.sink import INTERVAL, Ledger
from twistedrelay.observe.ledger.store import LedgerStore
from twistedrelay.values import events
from twistedrelay.values.address import NULL, parse_address
from twistedrelay.values.envelope import Message, Origin, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.values.usage import Usage

NOON = 1_790_000_000.0
DENIED = Reply(550, "5.7.54", "SMTP; Unable to relay recipient in non-accepted domain")


class Content:
    """Content of which only the size is asked for."""

    def __init__(self, size: int) -> None:
        self.size = size


class World:
    """See the module."""

    def __init__(self, path: Path, max_age: float = 400 * 86400.0, **bounds: int) -> None:
        self.path = str(path)
        self.clock = Clock()
        self.clock.advance(NOON)
        self.told: list[events.ServiceEvent] = []
        self.reports: list[str] = []
        self.error: Exception | None = None
        self.store = LedgerStore(self.path, max_age, self.told.append, lambda name: name == "IP_Relay", self.clock.seconds, **bounds)
        self.ledger = Ledger(self.clock, self.store, self.in_thread, self.reports.append, self.clock.seconds)
        self.emit = self.ledger.emit
        self._session = 0

    def in_thread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        def work() -> Any:
            if self.error is not None and function == self.store.write:
                raise self.error
            return function(*arguments)

        return maybeDeferred(work)

    def connect(self, client: str = "192.0.2.55", connector: str = "IP_Relay") -> str:
        """A client connects; the session."""
        self._session += 1
        session = f"{self._session:016X}"
        self.emit(events.Connected(session, connector, f"{client}:4711", "192.0.2.1:25"))
        return session

    def receive(self, session: str, *recipients: str, sender: str = "a@akkaya.local", **more: Any) -> None:
        """A message comes."""
        origin = Origin(
            "SMTP", more.get("connector", "IP_Relay"), more.get("client", "192.0.2.55"), more.get("helo", "printer"), "", session
        )
        given = [Recipient(index, parse_address(text)) for index, text in enumerate(recipients or ("u@x.example",))]
        address = parse_address(sender) if sender else NULL
        message = Message(1, address, given, "<1@x>", self.clock.seconds(), Content(more.get("size", 100)), origin=origin)  # type: ignore[arg-type]
        self.emit(events.Receive(message))

    def refuse(self, session: str, command: str = "RCPT TO:<a@b.example>", sender: str = "", helo: str = "printer", **ends: str) -> None:
        """A command is refused."""
        connector, client = ends.get("connector", "IP_Relay"), ends.get("client", "192.0.2.55")
        self.emit(events.CommandRefused(session, connector, f"{client}:4711", command, DENIED, "", helo, sender))

    def end(self, session: str, helo: str = "printer", client: str = "192.0.2.55", connector: str = "IP_Relay") -> None:
        """A session ends."""
        self.emit(events.Disconnected(session, connector, f"{client}:4711", "QUIT", 0, 1.0, helo))

    def pass_time(self, seconds: float = INTERVAL) -> None:
        """So that what came together is written."""
        self.clock.advance(seconds)

    def rows(self, query: LedgerQuery = EVERYTHING) -> list[Usage]:
        """All that is in the file."""
        self.pass_time()
        return LedgerFile(self.path).rows(query)
