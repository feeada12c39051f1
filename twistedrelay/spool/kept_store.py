"""The safety net of a SQLite spool: what is kept is read in the reading thread and removed by the writing one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twistedrelay.interfaces import IKeptMessages
from twistedrelay.spool import rows
from twistedrelay.spool.bodies import BodyStore
from twistedrelay.spool.change import Change
from twistedrelay.spool.queries import Found, Queries
from twistedrelay.values.envelope import Message
from twistedrelay.values.kept import Kept, KeptPage, KeptQuery


@implementer(IKeptMessages)
class KeptStore:
    """See L{IKeptMessages}."""

    def __init__(
        self,
        read: Callable[..., Deferred[Any]],
        change: Callable[..., Deferred[Change]],
        message_of: Callable[[Found], Message],
        queries: Queries,
        bodies: BodyStore,
    ) -> None:
        self._ask = read
        self._change = change
        self._message_of = message_of
        self._queries = queries
        self._bodies = bodies

    def page(self, query: KeptQuery, position: tuple[float, int], limit: int) -> Deferred[KeptPage]:
        """See L{IKeptMessages}."""
        return self._ask(self._page, query, position, limit)

    def _page(self, query: KeptQuery, position: tuple[float, int], limit: int) -> KeptPage:
        """In the reading thread."""
        found, recipients = self._queries.kept(query.start, query.end, position, limit)
        kept = []
        for row in found:
            meant = [recipient for recipient in map(rows.kept_recipient_of, recipients[row[0]]) if query.wants(recipient)]
            if meant:
                kept.append(Kept(self._message_of(Found((*row, 0, 0, None), meant, None)), row[1]))
        return KeptPage(kept, (found[-1][1], found[-1][0]) if len(found) == limit else None)

    def purge(self, before: float, limit: int) -> Deferred[int]:
        """See L{IKeptMessages}."""
        return self._change(purge=(before, limit)).addCallback(self._purged)

    def _purged(self, change: Change) -> int:
        for _, file in change.purged:
            if file:
                self._bodies.remove(file)
        return len(change.purged)
