"""One event sink in front of several consumers.

It decides that no consumer can hurt another or the room that emits: what a consumer raises is logged and goes no further.
It never drops, reorders or changes an event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.values.events import Event

#: Seconds between two reports about the same consumer: a consumer that fails for every event must not flood the log.
REPORT_INTERVAL = 60.0


@attrs.define(slots=True)
class _Consumer:
    """A consumer and how it has been doing."""

    sink: IEventSink
    emit: Callable[[Event], None]
    failures: int = 0
    silent_until: float = float("-inf")


@implementer(IEventSink)
class EventSink:
    """Hands each event to all consumers, in their order."""

    _log = Logger()

    def __init__(self, consumers: Iterable[IEventSink], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._consumers = tuple(_Consumer(consumer, consumer.emit) for consumer in consumers)
        self._monotonic = monotonic

    def add(self, consumer: IEventSink) -> None:
        """One more consumer, behind the others; one that is there already stays where it is."""
        if not any(known.sink is consumer for known in self._consumers):
            self._consumers = (*self._consumers, _Consumer(consumer, consumer.emit))

    def subscribe(self, consumer: IEventSink) -> Callable[[], None]:
        """Let another consumer, behind those that are there, have what happens from now on; call what is returned to end it."""
        joined = _Consumer(consumer, consumer.emit)
        self._consumers = (*self._consumers, joined)

        def leave() -> None:
            self._consumers = tuple(each for each in self._consumers if each is not joined)

        return leave

    def emit(self, event: Event) -> None:
        """Take an event.  Never raises, never blocks."""
        for consumer in self._consumers:
            try:
                consumer.emit(event)
            except Exception:
                self._failed(consumer, event)

    def _failed(self, consumer: _Consumer, event: Event) -> None:
        """Report a consumer that raised, at most once per L{REPORT_INTERVAL}."""
        consumer.failures += 1
        now = self._monotonic()
        if now < consumer.silent_until:
            return
        consumer.silent_until = now + REPORT_INTERVAL
        # The event's fields are left out: they came from outside, and whatever broke the consumer may break the log too.
        self._log.failure(
            "the event consumer {consumer} failed on {event} (failures so far: {failures})",
            consumer=type(consumer.sink).__name__,
            event=type(event).__name__,
            failures=consumer.failures,
        )
