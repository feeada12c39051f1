"""Connections that wait for their next message.

Decides which idle connection a route may use again.  They are kept by C{Route.key} (send connector, next hop, login, REQUIRETLS), so
none is ever used across a credential, and only for a route that would be spoken to in the same way: a changed TLS rule applies at once,
and what is to be in the protocol log is in it from its connection on.
What is published of a next hop (DANE, MTA-STS) is asked for new connections only; so none lives long (C{LONGEST_SESSION}, 5 minutes).
How long one is kept idle is its own deadline (C{LIMITS[Stage.IDLE]}, 10 seconds); one that the server closes leaves the pool at once.
Nothing is said to test one: a connection that turns out dead gives its message back, and that is tried on a new one.
"""

from __future__ import annotations

from twistedrelay.delivery.client import Connection
from twistedrelay.values.route import Route, RouteKey

MAX_IDLE = 500


def _way(route: Route) -> tuple[object, ...]:
    """All that decides how a connection of a route is made."""
    return (
        route.kind,
        route.hops,
        route.mx_domain,
        route.path,
        route.helo,
        route.implicit_tls,
        route.tls,
        route.login,
        route.max_messages_per_connection,
        route.require_tls,
        route.idle_timeout,
        route.sources,
        route.force_helo,
        route.chunking,
        route.private_targets,
        route.dane,
        route.mta_sts,
        route.rewrite,
        route.logged,
    )


def is_same_way(one: Route, other: Route) -> bool:
    """Whether connections of two routes are made alike."""
    return _way(one) == _way(other)


class Pool:
    """Idle connections, at most C{max_idle}: beyond, the one that waits longest is closed."""

    def __init__(self, max_idle: int = MAX_IDLE) -> None:
        self._max_idle = max_idle
        self._idle: dict[Connection, Route] = {}
        self._by_key: dict[RouteKey, list[Connection]] = {}

    def __len__(self) -> int:
        return len(self._idle)

    def put(self, connection: Connection, route: Route) -> None:
        """Keep a connection."""
        self._idle[connection] = route
        self._by_key.setdefault(route.key, []).append(connection)
        if len(self._idle) > self._max_idle:
            oldest = next(iter(self._idle))
            self.discard(oldest)
            oldest.quit()

    def take(self, route: Route) -> Connection | None:
        """The connection for a route that was used last, no longer in the pool; None where there is none."""
        waiting = self._by_key.get(route.key)
        while waiting:
            connection = waiting[-1]
            made_for = self._idle[connection]
            self.discard(connection)
            if (made_for is route or is_same_way(made_for, route)) and connection.usable:
                return connection
            connection.quit()
        return None

    def discard(self, connection: Connection) -> None:
        """A connection is gone; it need not be in the pool."""
        route = self._idle.pop(connection, None)
        if route is not None:
            waiting = self._by_key[route.key]
            waiting.remove(connection)
            if not waiting:
                del self._by_key[route.key]

    def close(self) -> None:
        """Say good-bye to all."""
        for connection in list(self._idle):
            self.discard(connection)
            connection.quit()
