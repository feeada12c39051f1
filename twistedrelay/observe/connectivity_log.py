"""The connectivity log: the delivery connections, when they were made, failed and closed.

It decides how they read in Exchange's format.  It costs nothing per message.

Source: Exchange Server, "Connectivity logging" (CONNECTLOGyyyymmddhh-n.LOG; fields, directions).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.batch import BatchWriter
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_rows import FLUSH_INTERVAL, MAX_WAITING, begins, timestamp, value
from twistedrelay.values.events import Connectivity, Event

FIELDS = "date-time,session,source,destination,direction,description"

#: Directions, and how the description begins.
_WHATS = {"connected": ("+", "Established connection to"), "failed": (">", "Failed connection to"), "closed": ("-", "Closed connection to")}


def heading(now: float) -> str:
    """The lines that each file begins with."""
    return begins("Transport Connectivity Log", FIELDS, now)


def _line(row: tuple[float, Connectivity]) -> str:
    when, event = row
    direction, begin = _WHATS.get(event.what, (">", event.what))
    description = f"{begin} {event.remote or event.next_hop}" + (f"; {event.detail}" if event.detail else "")
    if event.connector:
        description += f"; connector {event.connector}"
    return f"{timestamp(when)},{event.session},SMTP,{value(event.next_hop)},{direction},{value(description)}\n"


@implementer(IEventSink)
class ConnectivityLog:
    """See the module.

    @ivar enabled: whether it is wanted.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: LogDirectory,
        in_thread: Callable[..., Deferred[None]],
        report: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.enabled = True
        self._directory = directory
        self._now = now
        self._writer = BatchWriter(
            clock, in_thread, self._write, report, "the connectivity log", interval=FLUSH_INTERVAL, limit=MAX_WAITING
        )

    @property
    def lost(self) -> int:
        """How many lines were lost since the start."""
        return self._writer.lost

    def emit(self, event: Event) -> None:
        """Take an event."""
        if type(event) is Connectivity and self.enabled:
            self._writer.add((self._now(), event))

    def _write(self, rows: list[tuple[float, Connectivity]]) -> None:
        """In the thread."""
        self._directory.append("".join([_line(row) for row in rows]))

    def stop(self, patience: float) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or that takes too long."""
        return self._writer.stop(self._directory.close, patience)
