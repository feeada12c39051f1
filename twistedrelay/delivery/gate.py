"""One login at a time, until one has worked: a password that is wrong is tried once, however many messages and connections wait.

Decides whether a connection of a route with a login may be made now.  While a session with this login is up, as many as are wanted; else
one goes ahead, the others wait for it, and what it cannot have they cannot have either.  Servers lock accounts after a few wrong passwords,
whichever connections they came by.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from twistedrelay.delivery.session import NoConnection
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import RouteKey

_Result = TypeVar("_Result")


class Gate:
    """See the module.  Routes are told apart by their keys."""

    def __init__(self) -> None:
        self._up: dict[RouteKey, int] = {}
        self._waiting: dict[RouteKey, list[Deferred[Reply | None]]] = {}  # for whoever goes ahead

    async def through(self, key: RouteKey, connect: Callable[[], Awaitable[_Result]]) -> _Result:
        """What C{connect} brings, once it is its turn.  Raises L{NoConnection}, also for the failure of whoever went ahead."""
        while key in self._waiting and key not in self._up:
            failed = await self._turn(key)
            if failed is not None:
                raise NoConnection(failed)
        if key in self._up:
            return await connect()
        self._waiting[key] = []
        failed = None
        try:
            return await connect()
        except NoConnection as error:
            failed = error.reply
            raise
        finally:
            for waiting in list(self._waiting.pop(key)):
                if not waiting.called:  # one may have been given up by what another does now
                    waiting.callback(failed)

    def _turn(self, key: RouteKey) -> Deferred[Reply | None]:
        others = self._waiting[key]
        waiting: Deferred[Reply | None] = Deferred(others.remove)
        others.append(waiting)
        return waiting

    def up(self, key: RouteKey) -> None:
        """A session is logged in."""
        self._up[key] = self._up.get(key, 0) + 1

    def down(self, key: RouteKey) -> None:
        """Such a session has ended."""
        left = self._up.pop(key, 0) - 1
        if left > 0:
            self._up[key] = left

    def refused(self, key: RouteKey) -> None:
        """A server has refused the login: those that are up say nothing about it any more."""
        self._up.pop(key, None)
