"""Tracking without a reactor: its thread works at once, and time is what the test says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from twistedrelay.observe.tracking.files import TrackingFiles
from twistedrelay.observe.tracking.find import Page, Tracked, find
from twistedrelay.observe.tracking.query import TrackingQuery
from twistedrelay.observe.tracking.schema import KINDS
from twistedrelay.observe.tracking.sink import INTERVAL, Tracking
from twistedrelay.values import events
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import Message, Origin, Outcome, OutcomeKind, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

NOON = 1_795_348_800.0  #: 2026-11-22
DAY = 86400.0
TAKEN = Reply(250, "2.0.0", "taken")
BUSY = Reply(451, "4.2.1", "mailbox busy")
UNKNOWN = Reply(550, "5.1.1", "User unknown")
INTERNET = Route("Internet", "customer.example", "DnsConnectorDelivery")
MAILBOX = Route("", "maildir:/mail", "MaildirDelivery", kind="maildir", path="/mail")
ORIGIN = Origin(connector="IP_Relay", client="192.0.2.55", helo="printer", session="0123456789ABCDEF")


@attrs.define
class Content:
    """Content of a size."""

    size: int = 512


def address(text: str) -> Address:
    """An address without the grammar."""
    local, _, domain = text.rpartition("@")
    return Address(text, local, domain.lower()) if text else NULL


class World:
    """Tracking, and what it tells."""

    def __init__(self, path: Path, *, max_age: float = 30 * DAY, max_size: int = 1 << 30, subjects: bool = True) -> None:
        self.path = path
        self.clock = Clock()
        self.clock.advance(NOON)
        self.reports: list[str] = []
        self.limits = (max_age, max_size)
        self.subjects = subjects
        self.next_id = 0
        self.begin()

    def begin(self) -> None:
        """A new run of the relay."""
        self.files = TrackingFiles(str(self.path), *self.limits, self.reports.append, self.clock.seconds, subjects=self.subjects)
        self.sink = Tracking(self.clock, self.files, self.in_thread, self.reports.append, subjects=self.subjects, now=self.clock.seconds)

    def in_thread(self, function: Any, *arguments: Any, **more: Any) -> Deferred[Any]:
        return maybeDeferred(function, *arguments, **more)

    def message(self, *recipients: str, sender: str = "a@akkaya.local", origin: Origin = ORIGIN, subject: str = "Hello") -> Message:
        """A message that came just now."""
        self.next_id += 1
        to = [Recipient(index, address(text)) for index, text in enumerate(recipients or ("u@customer.example",))]
        name, content = f"<{self.next_id}@printer>", Content()
        return Message(self.next_id, address(sender), to, name, self.clock.seconds(), content, origin=origin, subject=subject)  # type: ignore[arg-type]

    def received(self, *recipients: str, **more: Any) -> Message:
        """One that was received."""
        message = self.message(*recipients, **more)
        self.sink.emit(events.Receive(message))
        return message

    def tried(
        self, message: Message, reply: Reply = TAKEN, route: Route = INTERNET, remote: str = "mx [198.51.100.9]:25", **more: Any
    ) -> None:
        """An attempt that ended with a reply, for all recipients."""
        kind = OutcomeKind.DELIVERED if reply.code < 300 else OutcomeKind.DEFERRED if reply.code < 500 else OutcomeKind.FAILED
        for recipient in message.recipients:
            self.sink.emit(events.Send(message, Outcome(recipient, kind, reply, remote, **more), route.next_hop, route))

    def write(self) -> None:
        """Let what waits get to the disk."""
        self.clock.advance(INTERVAL)

    def page(self, limit: int = 1000, cursor: str = "", newest_first: bool = False, **query: Any) -> Page:
        """What is found."""
        self.sink.flush()
        return find(str(self.path), TrackingQuery(**query), limit, cursor, newest_first=newest_first)

    def found(self, **query: Any) -> list[Tracked]:
        """The events, oldest first."""
        return self.page(**query).events

    def names(self, **query: Any) -> list[str]:
        """Their names."""
        return [KINDS[event.kind] for event in self.found(**query)]

    def there(self) -> list[str]:
        """The files."""
        return sorted(each.name for each in self.path.iterdir() if not each.name.endswith(("-wal", "-shm")))
