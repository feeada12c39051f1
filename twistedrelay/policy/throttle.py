"""How many connections and messages a source may have.

Decides by counting, and names the parameter that said no, so that the log can.  Never closes or delays anything itself, and makes no
exception for any address, the loopback included.

Sources: Set-ReceiveConnector (MaxInboundConnection*, MessageRateLimit, MessageRateSource), Set-TransportService
(MaxConnectionRatePerMinute).
"""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from typing import TypeVar

import attrs
from twisted.internet.interfaces import IReactorTime

from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.values.netrange import IPAddress

K = TypeVar("K")

_MINUTE = 60.0
_MAX_WINDOWS = 100_000  #: bounds the memory to some 30 MB; the oldest are forgotten first


class ConnectionCounts:
    """The open connections of the relay, and those of each receive connector, in all and by source.

    @ivar open: connections in all, health probes and those that wait for a PROXY header or to be closed included.
    @ivar max_connections: C{server.max_connections}, or less where the process may not have as many; None for no limit.
    """

    def __init__(self, max_connections: int | None = None) -> None:
        self.open = 0
        self.max_connections = max_connections
        self._total: Counter[str] = Counter()
        self._by_source: Counter[tuple[str, IPAddress]] = Counter()

    def enter(self) -> bool:
        """A connection was accepted: whether the relay as a whole has room for it.  L{leave} must follow in any case."""
        self.open += 1
        return self.max_connections is None or self.open <= self.max_connections

    def leave(self) -> None:
        """A connection ended."""
        self.open -= 1

    def by_connector(self) -> dict[str, int]:
        """How many connections each connector has that has any."""
        return dict(self._total)

    def total(self, name: str) -> int:
        """How many connections a connector has."""
        return self._total[name]

    def admit(self, name: str, connector: ReceiveConnector, peer: IPAddress) -> str | None:
        """Count a new connection, or say which limit it would break; then it is not counted and must not be released.

        @param connector: as it is for this connection: it may have been changed while others go on.
        """
        total, source = self._total[name], self._by_source[name, peer]
        limit = connector.max_inbound_connection
        if limit is not None:
            if total >= limit:
                return "max_inbound_connection"
            # A share of what is still free, and one connection at the least: a lone client must get the last one.
            share = (limit - total) * connector.max_inbound_connection_percentage_per_source // 100
            if source >= max(1, share):
                return self._narrower(connector, source) or "max_inbound_connection_percentage_per_source"
        refused = self._narrower(connector, source)
        if refused is None:
            self._total[name] = total + 1
            self._by_source[name, peer] = source + 1
        return refused

    @staticmethod
    def _narrower(connector: ReceiveConnector, source: int) -> str | None:
        """The fixed limit per source, where it is broken: the one to name when both are."""
        limit = connector.max_inbound_connection_per_source
        return "max_inbound_connection_per_source" if limit is not None and source >= limit else None

    def release(self, name: str, peer: IPAddress) -> None:
        """An admitted connection ended."""
        _decrement(self._total, name)
        _decrement(self._by_source, (name, peer))

    def of_source(self, name: str, peer: IPAddress) -> int:
        """How many connections of a connector a source has."""
        return self._by_source[name, peer]

    def copied(self) -> ConnectionCounts:
        """The same counts, to go on with apart."""
        made = copy.copy(self)
        made._total, made._by_source = self._total.copy(), self._by_source.copy()
        return made


def _decrement(counts: Counter[K], key: K) -> None:
    """One less; what is not there is not kept."""
    left = counts[key] - 1
    if left > 0:
        counts[key] = left
    else:
        del counts[key]


@attrs.define(slots=True)
class ConnectionRate:
    """Connections of all clients together.  A minute begins with its first connection; those that are refused do not count.

    @ivar limit: how many a minute; None for no limit.
    """

    limit: int | None = None
    _until: float = 0.0
    _count: int = 0

    def admit(self, now: float) -> bool:
        """Count a new connection; False: it is one too many."""
        if not self._until - _MINUTE <= now < self._until:  # a clock that is set back must not keep everybody out
            self._until, self._count = now + _MINUTE, 0
        if self.limit is not None and self._count >= self.limit:
            return False
        self._count += 1
        return True

    def counted(self, now: float) -> int:
        """How many connections count against the limit in this minute."""
        return self._count if now < self._until else 0


@attrs.define(slots=True)
class _Window:
    """One minute of one source."""

    ends: float
    count: int


class MessageRates:
    """Messages a minute, by connector and source.

    A source's minute begins with its first message; when it is over, so is the count.  A refused message is not counted.
    """

    def __init__(self, clock: IReactorTime, max_windows: int = _MAX_WINDOWS) -> None:
        self._clock = clock
        self._max_windows = max_windows
        # All windows are equally long, so the order of their beginning, in which a dict keeps them, is that of their end.
        self._windows: OrderedDict[tuple[str, object], _Window] = OrderedDict()  # a plain dict is slow to give its first

    def admit(self, name: str, connector: ReceiveConnector, peer: IPAddress, login: str, sender: str) -> str | None:
        """Count a new message, or say C{"message_rate_limit"}.

        @param login: the login, C{""} for none.
        @param sender: the return path, which stands for the user in sessions without a login.
        """
        if connector.message_rate_limit is None or connector.message_rate_source == "None":
            return None
        keys = _sources(name, connector, peer, login, sender)
        now = self._clock.seconds()
        self._forget(now)
        windows = self._windows
        if self._most(keys) >= connector.message_rate_limit:
            return "message_rate_limit"
        for key in keys:
            window = windows.get(key)
            if window is None:
                windows[key] = _Window(now + _MINUTE, 1)
            else:
                window.count += 1
        return None

    def counted(self, name: str, connector: ReceiveConnector, peer: IPAddress, login: str, sender: str) -> int:
        """How many messages count against the limit in this minute."""
        self._forget(self._clock.seconds())
        return self._most(_sources(name, connector, peer, login, sender))

    def _most(self, keys: list[tuple[str, object]]) -> int:
        windows = self._windows
        return max([window.count for key in keys if (window := windows.get(key)) is not None], default=0)

    def _forget(self, now: float) -> None:
        """Drop the windows that are over, and the oldest where there are too many."""
        windows = self._windows
        while windows:
            oldest = next(iter(windows))
            if windows[oldest].ends > now and len(windows) <= self._max_windows:
                return
            del windows[oldest]


def _sources(name: str, connector: ReceiveConnector, peer: IPAddress, login: str, sender: str) -> list[tuple[str, object]]:
    """Whose messages are counted (MessageRateSource)."""
    source = connector.message_rate_source
    keys: list[tuple[str, object]] = []
    if source in ("IPAddress", "All"):
        keys.append((name, peer))
    if source in ("User", "All"):
        keys.append((name, (login or sender).lower()))
    return keys
