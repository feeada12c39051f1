"""Counts by labels, with a bound on how many labels there are.

It decides what is told apart: names of the configuration, reply codes, parameters, TLS versions; never an address, a domain or a text of a
client, of which anybody could make as many as the memory holds.  Adding is one look-up in a dictionary; whoever exports the counts reads
them when asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from twistedrelay.values.histogram import LONG, Histogram

#: Combinations of labels in one tally; what comes beyond is counted as C{OTHER}.
MOST = 500

OTHER = "other"

Key = str | tuple[str, ...]


class Tally:
    """One count for each combination of labels.

    @ivar labels: their names.
    """

    __slots__ = ("_counts", "_most", "labels")

    def __init__(self, *labels: str, most: int = MOST) -> None:
        self.labels = labels
        self._counts: dict[Key, int] = {}
        self._most = most

    def add(self, key: Key, number: int = 1) -> None:
        """Count; C{key} is the label, or a tuple where there are several."""
        counts = self._counts
        if key in counts:
            counts[key] += number
            return
        if len(counts) >= self._most:
            key = OTHER if isinstance(key, str) else (OTHER,) * len(key)
        counts[key] = counts.get(key, 0) + number

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """The labels with their counts."""
        for key, count in list(self._counts.items()):
            yield (key,) if isinstance(key, str) else key, count

    def __getitem__(self, key: Key) -> int:
        return self._counts.get(key, 0)

    def total(self) -> int:
        """All together."""
        return sum(self._counts.values())


class Tallies:
    """All that L{twistedrelay.observe.counters.Counters} tells apart.

    @ivar received: messages, C{received_octets} their octets.
    @ivar outcomes: recipients, C{delivered_octets} the octets of their messages where they were delivered.
    @ivar latency: from the receipt of a message until a next hop had taken it, for each recipient.
    """

    __slots__ = (
        "closed",
        "connections_out",
        "delivered_octets",
        "handshakes",
        "latency",
        "locks",
        "logins",
        "notices",
        "outcomes",
        "received",
        "received_octets",
        "refused",
        "refused_commands",
        "reports",
        "session_seconds",
        "sessions",
        "tls",
        "tls_failed",
        "tls_out",
    )

    def __init__(self) -> None:
        self.sessions = Tally("connector")
        self.refused = Tally("connector", "limit")
        self.closed = Tally("connector", "reason")
        self.session_seconds = Histogram(LONG)
        self.tls = Tally("connector", "version", "cipher")
        self.tls_failed = Tally("connector")
        self.handshakes = Histogram()
        self.logins = Tally("connector", "mechanism", "result")
        self.locks = Tally("limit")
        self.refused_commands = Tally("connector", "command", "code")
        self.received = Tally("connector")
        self.received_octets = Tally("connector")
        self.outcomes = Tally("send_connector", "outcome", "code")
        self.delivered_octets = Tally("send_connector")
        self.latency = Histogram(LONG)
        self.reports = Tally("kind")
        self.connections_out = Tally("result")
        self.tls_out = Tally("version", "cipher")
        self.notices = Tally("level")
        for level in ("info", "warn", "error"):  # a series that begins with 1 has not grown
            self.notices.add(level, 0)
