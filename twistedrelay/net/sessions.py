"""All sessions of all listeners: count them, keep their deadlines, end them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zope.interface import implementer

from twistedrelay.interfaces import ISessions
from twistedrelay.net.conversation import Conversation
from twistedrelay.net.factory import ESMTPFactory


@implementer(ISessions)
class Sessions:
    """See the module."""

    def __init__(self, factories: Sequence[ESMTPFactory]) -> None:
        self._factories = factories

    def __iter__(self) -> Iterator[Conversation]:
        for factory in self._factories:
            yield from factory.sessions

    def count(self) -> int:
        """See L{ISessions}."""
        return sum(len(factory.sessions) for factory in self._factories)

    def sweep(self, now: float) -> None:
        """Tell those whose deadline has passed.

        One sweep a second over all sessions replaces a timer per session: setting a deadline is one assignment, where moving a
        C{DelayedCall} forward is a search through all of them.
        """
        for late in [session for session in self if session.deadline <= now]:
            late.deadline_passed(now)

    def drain(self) -> None:
        """No more messages: sessions end, those with a message on its way after it."""
        for session in list(self):
            session.drain()

    def abort(self) -> None:
        """Drop what is left."""
        for session in list(self):
            session.abort()
