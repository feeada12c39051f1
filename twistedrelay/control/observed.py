"""The seams between the API and what keeps what happened, or tells others: tracking, the ledger, the webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from twistedrelay.observe.ledger.file import LedgerFile, LedgerQuery
from twistedrelay.observe.tracking.find import Page
from twistedrelay.observe.tracking.query import TrackingQuery
from twistedrelay.values.usage import Usage


class Tracking(Protocol):
    """What the API asks of message tracking.

    @ivar lost: how many events were lost since the start.
    """

    @property
    def lost(self) -> int: ...

    def find(self, query: TrackingQuery, limit: int, cursor: str, newest_first: bool) -> Deferred[Page]:
        """A page of the events that are looked for.  Fails with L{ValueError} for a cursor that is none."""

    def story(self, wanted: str) -> Deferred[Page]:
        """All events of a message and of those that belong to it, by its InternalId or Message-ID."""


class Ledger(Protocol):
    """What the API asks of the ledger."""

    def rows(self, query: LedgerQuery = ..., limit: int = ...) -> Deferred[list[Usage]]:
        """The rows that are looked for, those seen last first."""

    def read(self, work: Callable[[LedgerFile], Any]) -> Deferred[Any]:
        """What a function makes of the file, in a thread."""


class Hook(Protocol):
    """What became of a webhook's events, see L{twistedrelay.observe.webhooks.hook.Hook}."""

    delivered: int
    dropped: int
    given_up: int
    failures: int
    gone: bool
    last_error: str

    @property
    def waiting(self) -> int: ...


class Webhooks(Protocol):
    """What the API asks of the webhooks."""

    def states(self) -> list[tuple[Any, Any, str]]:
        """Each one's keys, its L{Hook} or None, and why it cannot be used."""

    def test(self, name: str) -> Deferred[Any] | None:
        """Send a test; None where there is no webhook with this name in use."""
