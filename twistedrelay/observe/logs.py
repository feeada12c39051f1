"""Events as log lines, through twistd's own log.

L{LogSink} collects what happened and, when much does, hands it to C{twisted.logger} as one log event per batch (L{Batch}), so that a
line costs its formatting (3 microseconds as text, 9 as JSON) and not the whole way through the logging system (30).  A batch formats itself
only when an observer asks: stock observers (C{--logfile}, C{--syslog}) get text, L{observer} gets JSON.  The observers made here know a
batch; a stock text observer puts a tab in front of all its lines but the first, as it does with every log event of several lines.

It never decides what an event means (L{lines}, L{fields} do).  Lines wait at most L{FLUSH_INTERVAL}; errors do not wait.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import IO, Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger, eventAsText, formatEvent, formatTime
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.fields import FIXED, fields
from twistedrelay.observe.lines import line
from twistedrelay.values.events import Event, ServiceEvent
from twistedrelay.values.printable import escape

#: Seconds that a line may wait for company.
FLUSH_INTERVAL = 0.05

#: Events in a batch at most: a batch holds on to its messages.
MAX_BATCH = 256

#: Up to so many events that wait are few: each goes out by itself, which reads best in every log.
FEW = 16

_encode = json.JSONEncoder(ensure_ascii=True, default=str, check_circular=False).encode


@functools.lru_cache(maxsize=4)
def _second_as_text(second: int) -> str:
    return formatTime(second)


@functools.lru_cache(maxsize=4)
def _second_as_iso(second: int) -> str:
    return datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _iso(when: float) -> str:
    """The time in UTC with microseconds (RFC 3339)."""
    second = int(when)
    return f"{_second_as_iso(second)}.{int((when - second) * 1e6):06d}Z"


class Batch:
    """Some events with their times, that show themselves as text or JSON."""

    __slots__ = ("events",)

    def __init__(self, events: list[tuple[float, Event]]) -> None:
        self.events = events

    def text(self) -> str:
        """A line for each event, each with its time and an end of line."""
        return "".join([f"{_second_as_text(int(when))} [relay] {line(event)}\n" for when, event in self.events])

    def json(self) -> str:
        """A JSON object for each event, each on a line of its own."""
        return "".join([_encode(fields(_iso(when), event)) + "\n" for when, event in self.events])

    def __str__(self) -> str:
        """For stock observers, which put time and system in front of the first line themselves."""
        first = line(self.events[0][1])
        if len(self.events) == 1:
            return first
        return f"{first}\n{Batch(self.events[1:]).text()}".rstrip("\n")


@implementer(IEventSink)
class LogSink:
    """The event consumer that writes the log."""

    def __init__(self, clock: IReactorTime, log: Logger | None = None, now: Callable[[], float] = time.time) -> None:
        """
        @param clock: for the flush.
        @param log: where batches go; by default twistd's log.
        """
        self._clock = clock
        self._log = log if log is not None else Logger(namespace="relay")
        self._now = now
        self._waiting: list[tuple[float, Event]] = []
        self._flush_call: IDelayedCall | None = None

    def emit(self, event: Event) -> None:
        """Take an event."""
        waiting = self._waiting
        waiting.append((self._now(), event))
        if len(waiting) >= MAX_BATCH or (type(event) is ServiceEvent and event.level != "info"):
            self.flush()
        elif self._flush_call is None:
            self._flush_call = self._clock.callLater(FLUSH_INTERVAL, self.flush)

    def flush(self) -> None:
        """Write what waits, now: also the last thing to do before the process ends."""
        call, self._flush_call = self._flush_call, None
        if call is not None and call.active():
            call.cancel()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            step = 1 if len(waiting) <= FEW else len(waiting)
            for start in range(0, len(waiting), step):
                self._log.info("{relay_batch}", relay_batch=Batch(waiting[start : start + step]), log_system="relay")


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> int:
        """Add text."""

    def flush(self) -> None:
        """Hand it to the operating system."""


@implementer(ILogObserver)
class LineObserver:
    """A log observer that writes all log events to a stream, one write per log event."""

    def __init__(self, stream: Stream, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json

    def __call__(self, event: LogEvent) -> None:
        """Write a log event: of the relay, of Twisted or of a library."""
        batch = event.get("relay_batch")
        if isinstance(batch, Batch):
            text = batch.json() if self._as_json else batch.text()
        else:
            text = _other_as_json(event) if self._as_json else _other_as_text(event)
        if text:
            self._stream.write(text)
            self._stream.flush()


def _other_as_text(event: LogEvent) -> str:
    """What libraries say may hold words of a peer: no control character gets to a terminal."""
    text = eventAsText(event, formatTime=formatTime)
    return "\n\t".join(escape(part.expandtabs(4)) for part in text.split("\n")) + "\n" if text else ""


def _other_as_json(event: LogEvent) -> str:
    text = formatEvent(event)
    failure = event.get("log_failure")
    if not text and failure is None:
        return ""
    level = event.get("log_level")
    record: dict[str, Any] = {
        **dict.fromkeys(FIXED),
        "time": _iso(event.get("log_time") or time.time()),
        "level": level.name if level is not None else "info",
        "event": "log",
        "system": str(event.get("log_system") or event.get("log_namespace") or "-"),
        "text": text,
    }
    if failure is not None:
        record["traceback"] = failure.getTraceback()
    return _encode(record) + "\n"


def _stdout() -> IO[str]:
    """Standard output as it is before twistd redirects it into the log, made unable to fail on a character."""
    stream: Any = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream  # type: ignore[no-any-return]


def observer() -> ILogObserver:
    """C{twistd --logger=twistedrelay.observe.logs.observer}: JSON lines on standard output."""
    return LineObserver(_stdout(), as_json=True)


def text_observer(stream: IO[str] | None = None) -> ILogObserver:
    """C{twistd --logger=twistedrelay.observe.logs.text_observer}: text lines on standard output, or on a stream."""
    return LineObserver(_stdout() if stream is None else stream, as_json=False)


class ReopenedFile:
    """A log file that is opened anew at SIGUSR1, as log rotation expects.

    The signal may come in the middle of a write, so it only leaves a mark; the next write opens the file.  Where that fails, because the
    directory is not the relay's own, the old file goes on.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._file = self._open()
        self._renamed = False
        signal.signal(signal.SIGUSR1, self._mark)

    def _open(self) -> IO[str]:
        return open(self._path, "a", encoding="utf-8", errors="backslashreplace")

    def _mark(self, number: int, frame: object) -> None:
        self._renamed = True

    def _reopen(self) -> None:
        self._renamed = False
        old = self._file
        try:
            self._file = self._open()
        except OSError as error:
            old.write(f"{_second_as_text(int(time.time()))} [relay] error: {self._path} cannot be opened anew: {error.strerror}\n")
        else:
            old.close()

    def write(self, text: str) -> int:
        """See C{IO.write}."""
        if self._renamed:
            self._reopen()
        return self._file.write(text)

    def flush(self) -> None:
        """See C{IO.flush}."""
        self._file.flush()


def file_observer(path: str, *, as_json: bool = False) -> ILogObserver:
    """Lines in a file."""
    return LineObserver(ReopenedFile(path), as_json=as_json)
