"""Which servers offer CHUNKING and refuse BDAT, so that what waits for one of them goes by DATA.

Decides how long that is remembered, and of how many; nothing is written down.  What stands between us and a server may not know the
command, though it lets the offer pass: without a memory a message for it would be refused at each attempt until it is given up.

Sources: RFC 3030 section 2.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

SECONDS = 86400.0
MOST = 10_000


class NoChunks:
    """See the module.  Beyond C{MOST} servers the one that was noticed first is forgotten."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, remote: str) -> None:
        """A server has refused BDAT."""
        self._until.pop(remote, None)
        if len(self._until) >= MOST:
            del self._until[next(iter(self._until))]
        self._until[remote] = self._clock.seconds() + SECONDS

    def __contains__(self, remote: str) -> bool:
        until = self._until.get(remote)
        if until is None:
            return False
        if until > self._clock.seconds():
            return True
        del self._until[remote]
        return False
