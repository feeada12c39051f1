"""The consumers of events that look back at who used the relay, and tell others: the ledger and the webhooks, made and tied together.

A part of the composition root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredList

from twistedrelay.answers.ledger.ranges import is_restricted
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.ledger.sink import make_ledger
from twistedrelay.observe.webhooks.sink import Webhooks
from twistedrelay.routing.reverse import ReverseNames
from twistedrelay.values.events import ServiceEvent


class Observing:
    """See the module.

    @ivar consumers: for the event sink.
    """

    def __init__(self, config: Config, reactor: Any, tell: Callable[[list[ServiceEvent]], None]) -> None:
        """
        @param tell: told of what is new, lost or wrong; not before L{begin}.
        """
        self._config = config
        self._tell = tell
        age, server = config.transport.ledger_max_age, config.server
        self.ledger = make_ledger(reactor, server.state_directory, age, self._emit, lambda name: is_restricted(self._config, name))
        self.webhooks = Webhooks(server.name, reactor, lambda url, ca_file: _poster(reactor, url, ca_file), self._emit)
        self.reverse_names = ReverseNames(reactor, server.external_dns_servers)
        self.consumers: list[IEventSink] = [self.ledger, self.webhooks]

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

    async def stop(self, seconds: float) -> None:
        """Write and send the rest, within so many seconds."""
        await DeferredList([self.ledger.stop(), self.webhooks.stop(seconds)], consumeErrors=True)


def _poster(reactor: Any, url: str, ca_file: str) -> Any:
    from twistedrelay.tls.webpost import poster  # takes its time, and is only there for webhooks

    return poster(reactor, url, ca_file)
