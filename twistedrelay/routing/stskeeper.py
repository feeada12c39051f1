"""Keeps MTA-STS policies over restarts, in one file of the state directory, and has them fetched anew in time.

The file is written when something changed, at most once a minute, in a thread.  A file that cannot be read or written costs a warning,
and policies are fetched again.

Source: RFC 8461 section 10.2.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.config.replace import replace
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import INames
from twistedrelay.routing.domainsecurity import DomainSecurity
from twistedrelay.routing.stsfetch import PolicyFetcher
from twistedrelay.routing.stspolicies import Policies
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.values.events import Event, ServiceEvent

_log = Logger()

FILE = "mta-sts.json"  #: in the state directory
SAVE_INTERVAL = 60.0
REFRESH_INTERVAL = 3600.0


class PolicyKeeper(Service):
    """See the module.

    @param path: the file.
    @param emit: takes warnings.
    """

    def __init__(self, reactor: Any, policies: Policies, path: str, emit: Callable[[Event], None]) -> None:
        self._reactor = reactor
        self._policies = policies
        self._path = path
        self._emit = emit
        self._saving: Deferred[None] = succeed(None)
        self._loops = ((LoopingCall(self._save), SAVE_INTERVAL), (LoopingCall(policies.refresh), REFRESH_INTERVAL))
        for loop, _ in self._loops:
            loop.clock = reactor

    def startService(self) -> None:
        """Read what was kept, and begin to keep."""
        super().startService()
        try:
            with open(self._path, encoding="utf-8") as file:
                self._policies.load(file.read())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self._warn(f"the kept MTA-STS policies cannot be read, and are fetched again: {self._path}: {error}")
        for loop, interval in self._loops:
            loop.start(interval, now=False).addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Write what is not written."""
        super().stopService()
        for loop, _ in self._loops:
            if loop.running:
                loop.stop()
        return self._saving.addCallback(lambda _: self._save())

    def _save(self) -> Deferred[None]:
        if not self._policies.changed:
            return succeed(None)
        text = self._policies.dump()
        work: Deferred[None] = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), replace, self._path, text)
        self._saving = work.addErrback(self._unwritten)
        return self._saving

    def _unwritten(self, failure: Failure) -> None:
        failure.trap(OSError)
        self._warn(f"MTA-STS policies cannot be kept: {self._path}: {failure.getErrorMessage()}")

    def _failed(self, failure: Failure) -> None:
        _log.failure("keeping MTA-STS policies failed", failure)

    def _warn(self, text: str) -> None:
        self._emit(ServiceEvent("warn", text))


class SecurityService(PolicyKeeper):
    """All that says what mail hosts must prove, and keeps it up to date.

    @ivar security: who says it.
    """

    def __init__(self, reactor: Any, config: Config, names: INames, contexts: ClientContexts, emit: Callable[[Event], None]) -> None:
        self._names = names
        self._fetcher = PolicyFetcher(reactor, names, contexts)
        self._dane_is_off = False
        policies = Policies(reactor, names, self._fetcher)
        super().__init__(reactor, policies, os.path.join(config.server.state_directory, FILE), emit)
        self.security = DomainSecurity(names, policies)
        self.change(config)

    def change(self, config: Config) -> None:
        """Another configuration; the servers that are asked are its own already."""
        by_mx = [connector for connector in config.send_connectors.values() if connector.enabled and not connector.smart_hosts]
        self._fetcher.change(private=any(connector.private_targets_enabled for connector in by_mx))
        self.security.emit = self._emit if config.transport.tls_report_socket else None
        was_off = self._dane_is_off
        self._dane_is_off = not self._names.local and any(connector.smtp_dane != "None" for connector in by_mx)
        if self._dane_is_off and not was_off:
            self._emit(ServiceEvent("info", "DANE is off: it needs a validating DNS server on this host, and other servers are asked"))
