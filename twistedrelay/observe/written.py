"""The log files of a relay, put together from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe import connectivity_log, protocol_log, send_log
from twistedrelay.observe.connectivity_log import ConnectivityLog
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_log import ProtocolLog
from twistedrelay.observe.send_log import SendLog
from twistedrelay.observe.trace import Trace
from twistedrelay.observe.tracers import Tracers, all_of


class WrittenLogs:
    """Protocol logs and connectivity log.  Their files begin with the first line.

    @param config: the configuration; places are those of the start.
    @param in_thread: calls a function in a thread, C{deferToThread}'s way.
    @param settled: the time by which files are too old.
    @param report: told when lines are lost.
    @param counters: lines that are lost are counted there, too.
    """

    def __init__(
        self,
        config: Any,
        reactor: Any,
        in_thread: Callable[..., Deferred[None]],
        settled: Callable[[], float],
        report: Callable[[str], None],
        counters: Counters,
    ) -> None:
        keys, server = config.transport, config.server.name
        self._in_thread = in_thread
        self._report = report
        self._directories: dict[str, LogDirectory] = {}

        def directory(prefix: str, names: str, heading: Callable[[float], str]) -> LogDirectory:
            path = getattr(keys, f"{names}_path")
            made = self._directories[names] = LogDirectory(path, prefix, heading, now=reactor.seconds, settled=settled)
            return made

        files = directory("RECV", "receive_protocol_log", protocol_log.heading)
        self._receive = ProtocolLog(reactor, files, (), server, in_thread, report, reactor.seconds)
        counters.watch_lost("protocol_log", lambda: self._receive.lost)
        files = directory("SEND", "send_protocol_log", send_log.heading)
        self._send = SendLog(reactor, files, (), server, in_thread, report, reactor.seconds)
        counters.watch_lost("send_protocol_log", lambda: self._send.lost)
        files = directory("CONNECTLOG", "connectivity_log", connectivity_log.heading)
        self._connections = ConnectivityLog(reactor, files, in_thread, report, reactor.seconds)
        counters.watch_lost("connectivity_log", lambda: self._connections.lost)
        self._bound(keys)

    def _bound(self, keys: Any) -> None:
        for names, directory in self._directories.items():
            directory.bound(*(getattr(keys, f"{names}_{key}") for key in ("max_file_size", "max_directory_size", "max_age")))

    def change(self, config: Any) -> list[IEventSink]:
        """Other connectors want to be logged from now on, within other bounds; what is to take events from now on, if it does not yet."""
        self._bound(config.transport)
        receiving = _verbose(config.receive_connectors)
        own_hops = [""] if config.transport.intra_org_connector_protocol_logging_level == "Verbose" else []
        self._receive.change(receiving, config.server.name)
        self._send.change(_verbose(config.send_connectors) + own_hops, config.server.name)
        self._connections.enabled = config.transport.connectivity_log_enabled
        wanted = ((receiving, self._receive), (self._connections.enabled, self._connections))
        return [sink for wants, sink in wanted if wants]

    def receiving(self, trace: Trace) -> Tracers:
        """Who wants to know what is said in sessions."""
        return Tracers([self._receive, trace])

    def sending(self, trace: Trace) -> Callable[[str, str, str], Callable[[str, str], None] | None]:
        """Who wants to know what is said in delivery connections."""

        def begin(session: str, connector: str, remote: str) -> Callable[[str, str], None] | None:
            found = (one.begin(session, connector, remote) for one in (self._send, trace))
            return all_of([each for each in found if each is not None])

        return begin

    def flush(self) -> Deferred[list[None]]:
        """Write what waits of the protocol logs.  Fires when it is written, or could not be."""
        return gatherResults([self._receive.flush(), self._send.flush()], consumeErrors=True)

    def prune(self) -> Deferred[list[None]]:
        """Delete files that are too old, also of logs that nobody wants any more."""
        return gatherResults([self._in_thread(directory.prune).addErrback(self._not_pruned) for directory in self._directories.values()])

    def _not_pruned(self, failure: Failure) -> None:
        self._report(f"old log files stay: {failure.getErrorMessage()}")

    async def stop(self, patience: float) -> None:
        """Write what waits, as far as that can be done within so many seconds; sessions and connections must be over."""
        await gatherResults([log.stop(patience) for log in (self._receive, self._send, self._connections)], consumeErrors=True)


def _verbose(connectors: dict[str, Any]) -> list[str]:
    return [name for name, each in connectors.items() if each.enabled and each.protocol_logging_level == "Verbose"]
