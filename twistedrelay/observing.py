"""The consumers of events that keep what happened, or tell others: tracking, the ledger and the webhooks, made and tied together.

A part of the composition root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredList

from twistedrelay.answers.ledger.ranges import is_restricted
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.ledger.sink import make_ledger
from twistedrelay.observe.tracking.sink import Tracking, make_tracking
from twistedrelay.observe.webhooks.sink import Webhooks
from twistedrelay.routing.reverse import ReverseNames
from twistedrelay.values.events import ServiceEvent


class Observing:
    """See the module.

    @ivar consumers: for the event sink.
    @ivar tracking: None where messages are not tracked.
    """

    def __init__(self, config: Config, reactor: Any, tell: Callable[[list[ServiceEvent]], None], counters: Counters) -> None:
        """
        @param tell: told of what is new, lost or wrong; not before L{begin}.
        @param counters: what is lost is counted there, too.
        """
        self._config = config
        self._tell = tell
        age, server = config.transport.ledger_max_age, config.server
        self.ledger = make_ledger(reactor, server.state_directory, age, self._emit, lambda name: is_restricted(self._config, name))
        self.webhooks = Webhooks(server.name, reactor, lambda url, ca_file: _poster(reactor, url, ca_file), self._emit)
        self.reverse_names = ReverseNames(reactor, server.external_dns_servers)
        self.tracking = self._make_tracking(reactor)
        self.consumers: list[IEventSink] = [self.ledger, self.webhooks]
        counters.watch_lost("ledger", lambda: self.ledger.lost)
        if (tracking := self.tracking) is not None:
            self.consumers.append(tracking)
            counters.watch_lost("tracking", lambda: tracking.lost)

    def _make_tracking(self, reactor: Any) -> Tracking | None:
        keys = self._config.transport
        if not keys.message_tracking_log_enabled:
            return None
        return make_tracking(
            reactor,
            keys.message_tracking_log_path,
            max_age=keys.tracking_max_age,
            max_size=keys.tracking_max_size,
            subjects=keys.message_tracking_log_subject_logging_enabled,
            report=lambda text: self._emit(ServiceEvent("warn", text, "logs_lost")),
        )

    def _emit(self, event: ServiceEvent) -> None:
        self._tell([event])

    def begin(self) -> None:
        """Take the webhooks of the configuration."""
        self.webhooks.change(self._config.webhooks)

    def change(self, config: Config) -> None:
        """Another configuration is in use."""
        self._config = config
        self.ledger.change(config.transport.ledger_max_age)
        self.webhooks.change(config.webhooks)
        if self.tracking is not None:
            keys = config.transport
            self.tracking.change(keys.tracking_max_age, keys.tracking_max_size, keys.message_tracking_log_subject_logging_enabled)

    async def stop(self, seconds: float) -> None:
        """Write the rest, and send what webhooks are to hear within so many seconds."""
        tracking = [] if self.tracking is None else [self.tracking.stop()]
        await DeferredList([self.ledger.stop(), self.webhooks.stop(seconds), *tracking], consumeErrors=True)


def _poster(reactor: Any, url: str, ca_file: str) -> Any:
    from twistedrelay.tls.webpost import poster  # takes its time, and is only there for webhooks

    return poster(reactor, url, ca_file)
