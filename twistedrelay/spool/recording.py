"""One C{record} on its way: the change, and what follows from its answer for contents in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.change import Change
from twistedrelay.spool.content import ContentWriter
from twistedrelay.spool.disk import copy_of
from twistedrelay.values.envelope import Message


class Recording:
    """The result of an attempt, with the reports that go with it.

    @ivar change: what is written; kept until it succeeds.
    @ivar contents: the contents of the reports.
    @ivar recorded: what the caller waits for.
    """

    def __init__(self, message: Message, contents: Sequence[ContentWriter], remove: Callable[[Message, bool], None]) -> None:
        """@param remove: called when the message is out of the store, with whether its content is kept."""
        self.message = message
        self.contents = contents
        self.change = Change(self.answer, keep=True)
        self.recorded: Deferred[None] = Deferred()
        self._remove = remove

    def refuse(self, error: SpoolError) -> None:
        """The change is not even tried."""
        for content in self.contents:
            content.gone()
        self.recorded.errback(error)

    def answer(self, error: SpoolError | None) -> None:
        """See L{Change}.  After a failed commit the reports may be in the store: their files are left for the next start to judge."""
        if error is not None:
            for content in self.contents:
                content.leave()
            self.recorded.errback(copy_of(error))
            return
        for content in self.contents:
            content.stored()
        if self.change.deletes:
            self._remove(self.message, bool(self.change.found))
        self.recorded.callback(None)
