"""The consumers of events that keep what happened, or tell others: tracking, the ledger, logins, logs and webhooks, made and tied together.

A part of the composition root.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.answers.ledger.ranges import is_restricted
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.ledger.sink import make_ledger
from twistedrelay.observe.login_store import FILE as LOGINS
from twistedrelay.observe.login_store import LoginStore
from twistedrelay.observe.logins import LoginRecord
from twistedrelay.observe.threads import RecordThreads
from twistedrelay.observe.tracking.sink import Tracking, make_tracking
from twistedrelay.observe.webhooks.sink import Webhooks
from twistedrelay.observe.written import WrittenLogs
from twistedrelay.routing.reverse import ReverseNames
from twistedrelay.values.events import ServiceEvent

#: Seconds that the files of logs and records have at the end, whatever else took its time.
LAST_RECORDS = 2.0


class Observing:
    """See the module.

    @ivar consumers: for the event sink.
    @ivar tracking: None where messages are not tracked.
    @ivar threads: all of it is written by them.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        settled: Callable[[], float],
        address_of: Callable[[str], str | None],
        tell: Callable[[list[ServiceEvent]], None],
        counters: Counters,
    ) -> None:
        """
        @param settled: the time by which records are too old.
        @param address_of: the account that a login name means; blocks.
        @param tell: told of what is new, lost or wrong; not before L{begin}.
        @param counters: what is lost is counted there, too.
        """
        self._config = config
        self._tell = tell
        age, server = config.transport.ledger_max_age, config.server
        noticed = lambda name: is_restricted(self._config, name)  # noqa: E731
        self.threads = RecordThreads(reactor)
        in_thread = self.threads.run
        logins = LoginStore(os.path.join(server.state_directory, LOGINS), settled)
        self._logins = LoginRecord(reactor, in_thread, logins, address_of, reactor.seconds)
        self.ledger = make_ledger(reactor, in_thread, settled, server.state_directory, age, self._emit, noticed)
        self.webhooks = Webhooks(server.name, reactor, lambda url, ca_file: _poster(reactor, url, ca_file), self._emit, reactor.seconds)
        self.reverse_names = ReverseNames(reactor, server.external_dns_servers)
        self.tracking = self._make_tracking(reactor, in_thread, settled)
        self.written = WrittenLogs(config, reactor, in_thread, settled, self._lost, counters)
        self.consumers: list[IEventSink] = [self._logins, self.ledger, self.webhooks]
        counters.watch_lost("ledger", lambda: self.ledger.lost)
        if (tracking := self.tracking) is not None:
            self.consumers.append(tracking)
            counters.watch_lost("tracking", lambda: tracking.lost)

    def _make_tracking(self, reactor: Any, in_thread: Callable[..., Deferred[Any]], settled: Callable[[], float]) -> Tracking | None:
        keys = self._config.transport
        if not keys.message_tracking_log_enabled:
            return None
        return make_tracking(
            reactor,
            in_thread,
            settled,
            keys.message_tracking_log_path,
            max_age=keys.tracking_max_age,
            max_size=keys.tracking_max_size,
            subjects=keys.message_tracking_log_subject_logging_enabled,
            report=self._lost,
        )

    def _lost(self, text: str) -> None:
        self._emit(ServiceEvent("warn", text, "logs_lost"))

    def _emit(self, event: ServiceEvent) -> None:
        self._tell([event])

    def begin(self, events: EventSink) -> None:
        """Take the webhooks and the logs of the configuration.

        @param events: a log joins the others there when it is first wanted.
        """
        self._events = events
        self.change(self._config)

    def change(self, config: Config) -> None:
        """Another configuration is in use."""
        self._config = config
        self.ledger.change(config.transport.ledger_max_age)
        self.webhooks.change(config.webhooks)
        if self.tracking is not None:
            keys = config.transport
            self.tracking.change(keys.tracking_max_age, keys.tracking_max_size, keys.message_tracking_log_subject_logging_enabled)
        for log in self.written.change(config):
            self._events.add(log)

    async def stop(self, seconds: float) -> None:
        """Write the rest, and send what webhooks are to hear, as far as that can be done within so many seconds, or a few for the files."""
        patience = max(seconds, LAST_RECORDS)
        each: list[tuple[Any, float]] = [(self._logins, LAST_RECORDS), (self.written, LAST_RECORDS)]
        each += [(one, patience) for one in (self.ledger, self.tracking, self.webhooks) if one is not None]
        ends = [maybeDeferred(one.stop, most).addErrback(self._not_stopped, type(one).__name__) for one, most in each]
        await DeferredList(ends)
        self.threads.stop()

    def _not_stopped(self, failure: Failure, name: str) -> None:
        self._log.failure("{name} could not be stopped", failure, name=name)


def _poster(reactor: Any, url: str, ca_file: str) -> Any:
    from twistedrelay.tls.webpost import poster  # takes its time, and is only there for webhooks

    return poster(reactor, url, ca_file)
