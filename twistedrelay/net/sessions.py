"""All sessions of all listeners: count them, keep their deadlines and what they hold in memory together, end them.

Where a changed configuration has brought other factories, the sessions of the former ones go on as they began, until the last is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from zope.interface import implementer

from twistedrelay.interfaces import ISessions
from twistedrelay.net.buffers import Buffers
from twistedrelay.net.conversation import Conversation
from twistedrelay.net.factory import ESMTPFactory
from twistedrelay.net.login import LoginSession
from twistedrelay.net.proxy import ProxiedConnection
from twistedrelay.net.view import view_of
from twistedrelay.values.sessions import SessionView


@implementer(ISessions)
class Sessions:
    """See the module."""

    def __init__(self, factories: Sequence[ESMTPFactory], buffers: Buffers) -> None:
        self._factories = list(factories)
        self._former: list[tuple[list[ESMTPFactory], Callable[[], None]]] = []
        self._buffers = buffers
        buffers.on_change = self._buffers_changed

    def change(self, factories: Sequence[ESMTPFactory], released: Callable[[], None]) -> None:
        """Sessions that begin from now on are those of other factories.

        @param released: called when the last session of those before is over.
        """
        self._former.append((self._factories, released))
        self._factories = list(factories)

    def _all(self) -> Iterator[ESMTPFactory]:
        return chain(self._factories, *(factories for factories, _ in self._former))

    def __iter__(self) -> Iterator[Conversation | ProxiedConnection]:
        for factory in self._all():
            yield from factory.sessions

    def count(self) -> int:
        """See L{ISessions}."""
        return sum(len(factory.sessions) for factory in self._all())

    def tarpitted(self) -> int:
        """How many wait for a reply that is held back."""
        return sum(session.is_delayed for session in self._conversations())

    def views(self) -> list[SessionView]:
        """All of them, the oldest first."""
        found = (view_of(session) for session in self if isinstance(session, LoginSession))
        return sorted((view for view in found if view is not None), key=lambda view: view.since)

    def disconnect(self, number: str) -> bool:
        """End a session by C{421}; False where there is none with this number."""
        for session in self:
            if isinstance(session, LoginSession) and session._ready and session.session == number:
                session.end()
                return True
        return False

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back: nobody is late for that, and nobody has years."""
        for session in self:
            session.wait_on(seconds)

    def sweep(self, now: float) -> None:
        """Tell those whose deadline has passed.

        One sweep a second over all sessions replaces a timer per session: setting a deadline is one assignment, where moving a
        C{DelayedCall} forward is a search through all of them.
        """
        for late in [session for session in self if session.deadline <= now]:
            late.deadline_passed(now)
        if self._buffers.full:
            self._make_room(now)
        if self._former:
            self._release()

    def _release(self) -> None:
        """Forget factories whose last session is over, the oldest first: what they had may be what later ones have, too."""
        former, self._former = self._former, []
        for factories, released in former:
            left = [factory for factory in factories if factory.sessions]
            if left or self._former:
                self._former.append((left, released))
            else:
                released()

    def _conversations(self) -> list[Conversation]:
        return [session for session in self if isinstance(session, Conversation)]

    def _buffers_changed(self) -> None:
        """Too much is held in memory, or no longer."""
        for session in self._conversations():
            session.buffers_changed()

    def _make_room(self, now: float) -> None:
        """Look what is held now; after a while without success send those away that hold the most."""
        for session in self._conversations():
            session.buffers_changed()
        buffers = self._buffers
        if not buffers.full or not buffers.is_stuck(now):
            return
        left = buffers.used
        for session in sorted(self._conversations(), key=_spare, reverse=True):
            spare = session.spare
            if left <= buffers.low or spare <= 0:
                break
            left -= spare
            session.send_away()

    def drain(self) -> None:
        """No more messages: sessions end, those with a message on its way after it."""
        for session in list(self):
            session.drain()

    def abort(self) -> None:
        """Drop what is left."""
        for session in list(self):
            session.abort()


def _spare(session: Conversation) -> int:
    return session.spare
