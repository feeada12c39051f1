"""What an administrator does to messages, many at once, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from twistedrelay.schedule.aside import Aside
from twistedrelay.schedule.places import MOST, Place, Places
from twistedrelay.schedule.removal import Remover
from twistedrelay.schedule.resubmission import Resubmission
from twistedrelay.values.envelope import Message


class Handling:
    """See the module.  What changes fires with how many messages it was done to, and fails with L{SpoolError}."""

    def __init__(self, aside: Aside, remover: Remover, resubmission: Resubmission, places: Places, recount: Callable[[], None]) -> None:
        """@param recount: told that some may be parked no more."""
        self._aside = aside
        self._remover = remover
        self._resubmission = resubmission
        self._places = places
        self._recount = recount

    def suspend(self, ids: Sequence[int]) -> Deferred[int]:
        """Let messages take part no more, once their transactions in progress have ended (PendingSuspend)."""
        return self._counted(self._aside.suspend_all(ids))

    def resume(self, ids: Sequence[int]) -> Deferred[int]:
        """Let suspended or poison messages take part again, at once."""
        return self._aside.resume_all(ids)

    def remove(self, ids: Sequence[int], with_ndr: bool) -> Deferred[int]:
        """Take messages out of the queue; transactions in progress end first (PendingRemove)."""
        return self._counted(self._remover.remove(ids, with_ndr))

    def redirect(self, ids: Sequence[int], to: str) -> Deferred[int]:
        """Send messages to another server (C{[10.0.0.9]:2525}), or (C{""}) their own ways again; poison ones stay."""
        return self._counted(Deferred.fromCoroutine(self._resubmission.redirect(ids, to)))

    def _counted(self, changing: Deferred[int]) -> Deferred[int]:
        def done(result: int) -> int:
            self._recount()
            return result

        return changing.addBoth(done)

    def places(self, messages: Sequence[Message], most: int = MOST, start: int = 0) -> list[Place]:
        """Where messages are now, and so many of their recipients from C{start} on."""
        return self._places.of(messages, most, start)
