"""How long delivery takes, step by step, and how TLS went on its connections.

Numbers only; it decides nothing.  Times are the reactor's.
"""

from __future__ import annotations

from collections import Counter

from twistedrelay.values.histogram import LONG, Histogram


class Measures:
    """See the module.

    @ivar waits: from the receipt of a message until its first transaction begins.
    @ivar transactions: from there until the next hop's last reply to it.
    @ivar connects: until a connection was made.
    @ivar handshakes: of TLS.
    @ivar setups: from the connection until the session was ready, handshake and login included.
    @ivar tls: sessions by (who asks for TLS, at which level, how it went): C{("mta-sts", "domain", "success")}.
    """

    __slots__ = ("connects", "handshakes", "setups", "tls", "transactions", "waits")

    def __init__(self) -> None:
        self.waits = Histogram(LONG)
        self.transactions = Histogram()
        self.connects = Histogram()
        self.handshakes = Histogram()
        self.setups = Histogram()
        self.tls: Counter[tuple[str, str, str]] = Counter()
