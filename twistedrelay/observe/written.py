"""The log files of a relay, put together from its settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe import connectivity_log, protocol_log, send_log
from twistedrelay.observe.connectivity_log import ConnectivityLog
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_log import ProtocolLog
from twistedrelay.observe.send_log import SendLog
from twistedrelay.observe.trace import Trace
from twistedrelay.observe.tracers import Tracers, all_of


class WrittenLogs:
    """Protocol logs and connectivity log.

    @param config: the configuration.
    @param report: told when lines are lost.
    @ivar sinks: those that take events.
    """

    def __init__(self, config: Any, reactor: Any, report: Callable[[str], None]) -> None:
        keys, server = config.transport, config.server.name
        in_thread = functools.partial(deferToThreadPool, reactor, reactor.getThreadPool())

        def directory(prefix: str, names: str, heading: Callable[[float], str]) -> LogDirectory:
            path, age, size, file = (getattr(keys, f"{names}_{key}") for key in ("path", "max_age", "max_directory_size", "max_file_size"))
            return LogDirectory(path, prefix, heading, max_file_size=file, max_directory_size=size, max_age=age)

        receiving = _verbose(config.receive_connectors)
        sending = _verbose(config.send_connectors) + ([""] if keys.intra_org_connector_protocol_logging_level == "Verbose" else [])
        files = directory("RECV", "receive_protocol_log", protocol_log.heading)
        self._receive = ProtocolLog(reactor, files, receiving, server, in_thread, report) if receiving else None
        files = directory("SEND", "send_protocol_log", send_log.heading)
        self._send = SendLog(reactor, files, sending, server, in_thread, report) if sending else None
        files = directory("CONNECTLOG", "connectivity_log", connectivity_log.heading)
        self._connections = ConnectivityLog(reactor, files, in_thread, report) if keys.connectivity_log_enabled else None
        self.sinks: list[IEventSink] = [each for each in (self._receive, self._connections) if each is not None]

    def receiving(self, trace: Trace) -> Tracers:
        """Who wants to know what is said in sessions."""
        return Tracers([trace] if self._receive is None else [self._receive, trace])

    def sending(self, trace: Trace) -> Callable[[str, str, str], Callable[[str, str], None] | None]:
        """Who wants to know what is said in delivery connections."""
        log = self._send
        if log is None:
            return trace.begin

        def begin(session: str, connector: str, remote: str) -> Callable[[str, str], None] | None:
            found = (one.begin(session, connector, remote) for one in (log, trace))
            return all_of([each for each in found if each is not None])

        return begin

    async def stop(self) -> None:
        """Write what waits; sessions and connections must be over."""
        for log in (self._receive, self._send, self._connections):
            if log is not None:
                stopped: Deferred[None] = log.stop()
                await stopped


def _verbose(connectors: dict[str, Any]) -> list[str]:
    return [name for name, each in connectors.items() if each.enabled and each.protocol_logging_level == "Verbose"]
