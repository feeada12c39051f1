"""A reactor that a test turns by hand while real threads work, a disk that fails on demand, and messages."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import queue
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.network import PATIENCE
from twistedrelay.interfaces import IEventSink
from twistedrelay.spool.disk import Disk
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Message, Outcome, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import Event
from twistedrelay.values.reply import Reply

ACCEPTED = Reply(250, "2.0.0", "Queued")
LATER = Reply(450, "4.2.0", "Try again")


class HandReactor(Clock):
    """Runs what threads send to it only inside L{wait}."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = queue.Queue()

    def callFromThread(self, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        self._calls.put((call, arguments, keywords))

    def turn(self, timeout: float) -> None:
        call, arguments, keywords = self._calls.get(timeout=timeout)
        call(*arguments, **keywords)

    def drain(self, quiet: float) -> None:
        """Run what threads send until they have sent nothing for a moment."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.turn(quiet)

    def until(self, condition: Callable[[], Any], timeout: float = PATIENCE) -> None:
        end = time.monotonic() + timeout
        while not condition():
            try:
                self.turn(max(0.001, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError("it did not happen") from None

    def wait(self, deferred: Deferred[Any]) -> Any:
        """The result of a Deferred, or its exception."""
        results: list[Any] = []
        errors: list[Any] = []
        deferred.addCallbacks(results.append, errors.append)
        self.until(lambda: results or errors)
        if errors:
            raise errors[0].value
        return results[0]


class FaultyConnection(sqlite3.Connection):
    """Lets C{disk.fault(statement)} raise in front of a statement, or behind it."""

    disk: FaultyDisk

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self.disk.fault(f"before {sql}")
        result = super().execute(sql, *arguments)
        self.disk.fault(f"after {sql}")
        return result


class FaultyDisk(Disk):
    """A disk whose C{fault} is asked before each step; the test replaces it."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.fault: Callable[[str], None] = lambda step: None

    def connect(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        if read_only:
            return super().connect(path, read_only=True)
        self.fault("connect")
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=FaultyConnection)
        connection.disk = self
        return connection

    def create(self, path: str) -> int:
        self._step("create")
        return super().create(path)

    def write_some(self, descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
        self._step("write")
        return super().write_some(descriptor, pieces)

    def sync(self, descriptor: int) -> None:
        self._step("sync")
        super().sync(descriptor)

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory")
        super().sync_directory(path)

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self.fault(name)


def failing(start: str, number: int, times: int = 1) -> Callable[[str], None]:
    """Fail the first C{times} steps that begin with C{start}."""
    left = itertools.count(times, -1)

    def fault(step: str) -> None:
        if step.startswith(start) and next(left) > 0:
            if step.startswith(("before", "after")):
                raise sqlite3.OperationalError("disk I/O error" if number == errno.EIO else "database or disk is full")
            raise OSError(number, os.strerror(number))

    return fault


@implementer(IEventSink)
class Sink:
    """Remembers events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def texts(self) -> list[str]:
        return [event.text for event in self.events]  # type: ignore[attr-defined]


class World:
    """A spool directory with the things round it; the spool can be closed, dropped and opened again."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.reactor = HandReactor()
        self.disk = FaultyDisk()
        self.sink = Sink()
        self.health: list[tuple[bool, str]] = []
        self.options: dict[str, Any] = {}
        self._spool: SQLiteSpool | None = None

    @property
    def spool(self) -> SQLiteSpool:
        if self._spool is None:
            self._spool = SQLiteSpool(
                self.reactor,
                self.directory,
                events=self.sink,
                on_health=lambda healthy, reason: self.health.append((healthy, reason)),
                disk=self.disk,
                **self.options,
            )
            self._spool.open()
        return self._spool

    def close(self) -> None:
        if self._spool is not None:
            self.wait(self._spool.close())
            self._spool = None

    def wait(self, deferred: Deferred[Any]) -> Any:
        return self.reactor.wait(deferred)

    def message(self, content: bytes = b"Subject: x\r\n\r\nbody\r\n", recipients: int = 1, **more: Any) -> Message:
        writer = self.spool.new_content()
        for start in range(0, len(content), 50_000):
            writer.write(content[start : start + 50_000])
        return Message(
            self.spool.next_id(),
            Address("Sender@Example.org", "Sender", "example.org"),
            [Recipient(index, Address(f"r{index}@example.com", f"r{index}", "example.com")) for index in range(recipients)],
            "<1@example.org>",
            1_700_000_000.0,
            writer,
            **more,
        )

    def store(self, *arguments: Any, **keywords: Any) -> Message:
        message = self.message(*arguments, **keywords)
        self.wait(self.spool.store(message))
        return message

    def load(self, *ids: int) -> list[Message]:
        loaded: list[Message] = self.wait(self.spool.load(ids))
        return loaded

    def count(self) -> int:
        number: int = self.wait(self.spool.count())
        return number

    def content(self, message: Message) -> bytes:
        octets = b""
        while part := self.wait(message.content.read(len(octets), 100_000)):
            octets += part
        return octets

    def bodies(self) -> list[str]:
        return sorted(os.listdir(os.path.join(self.directory, "bodies")))


def deliver(*recipients: Recipient) -> list[Outcome]:
    """What the schedule does when a next hop takes the message."""
    for recipient in recipients:
        recipient.state = RecipientState.DELIVERED
        recipient.attempts += 1
        recipient.last_reply = ACCEPTED
    return [Outcome(recipient, OutcomeKind.DELIVERED, ACCEPTED) for recipient in recipients]


def defer(at: float, *recipients: Recipient) -> list[Outcome]:
    """What the schedule does when a next hop says later."""
    for recipient in recipients:
        recipient.attempts += 1
        recipient.next_attempt = at
        recipient.last_reply = LATER
        recipient.last_remote = "mx [192.0.2.1]:25"
    return [Outcome(recipient, OutcomeKind.DEFERRED, LATER, recipient.last_remote) for recipient in recipients]
