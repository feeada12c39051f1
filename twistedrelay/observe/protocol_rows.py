"""The lines of a protocol log: how a session's dialogue reads in Exchange's format, and how it gets to the disk.

It decides the format: comma-separated values, a line for each line that was said and for each thing that happened, with the number of
the session and its own.  Lines are gathered, and written by a thread, one batch at a time.
Where the disk is too slow or refuses, lines are lost and counted, and sessions go on.

Source: Exchange Server, "Protocol logging" (fields, events).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twistedrelay import __version__
from twistedrelay.observe.batch import BatchWriter
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.values.printable import escape

#: Seconds that a line may wait for company.
FLUSH_INTERVAL = 1.0

#: Lines that go to the disk without waiting.
BATCH = 500

#: Lines in memory at most; what comes then is lost.
MAX_WAITING = 10_000

#: Longest text of one value.
MAX_TEXT = 2000

FIELDS = "date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"


@attrs.define(slots=True, eq=False)
class Session:
    """What is the same in all lines of a session, and how many there were."""

    identity: str
    session: str
    local: str
    remote: str
    count: int = 0


#: Time, session, sequence number, its local end, event, data, context.
Row = tuple[float, Session, int, str, str, str, str]


def begins(log_type: str, fields: str, now: float) -> str:
    """The lines that each file begins with."""
    return f"#Software: twistedrelay\n#Version: {__version__}\n#Log-type: {log_type}\n#Date: {timestamp(now)}\n#Fields: {fields}\n"


def timestamp(when: float) -> str:
    """In UTC with milliseconds: C{2026-11-22T06:30:15.123Z}."""
    return datetime.datetime.fromtimestamp(when, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def value(text: str) -> str:
    """A value among commas, without anything that could end its line (RFC 4180)."""
    text = escape(text[:MAX_TEXT])
    return '"' + text.replace('"', '""') + '"' if any(character in text for character in ',"') else text


def _line(row: Row) -> str:
    when, session, number, local, event, data, context = row
    where = f"{value(session.identity)},{session.session},{number},{local},{value(session.remote)}"
    return f"{timestamp(when)},{where},{event},{value(data)},{value(context)}\n"


class Rows:
    """A protocol log's lines on their way to the disk.

    @param report: told when lines are lost, once until lines are written again.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: LogDirectory,
        in_thread: Callable[..., Deferred[None]],
        report: Callable[[str], None],
        now: Callable[[], float],
        what: str,
    ) -> None:
        self._directory = directory
        self._now = now
        self._writer = BatchWriter(clock, in_thread, self._write, report, what, interval=FLUSH_INTERVAL, batch=BATCH, limit=MAX_WAITING)

    @property
    def lost(self) -> int:
        """How many lines were lost since the start."""
        return self._writer.lost

    def add(self, session: Session, event: str, data: str = "", context: str = "") -> None:
        """A line."""
        number = session.count
        session.count = number + 1
        self._writer.add((self._now(), session, number, session.local, event, data, context))

    def _write(self, rows: list[Row]) -> None:
        """In the thread."""
        self._directory.append("".join([_line(row) for row in rows]))

    def flush(self) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or could not be."""
        return self._writer.flush()

    def stop(self, patience: float) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or that takes too long; sessions must be over."""
        return self._writer.stop(self._directory.close, patience)
