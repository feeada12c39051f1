"""The composition root: makes every part of the relay, ties them together, starts and stops them in order.

The only module that knows every room.  Start: bind while still privileged, then (as the user that twistd changed to) open the spool,
resume what waits in it, open the control socket.  Stop: no new connections, finish what arrives, finish what is being delivered until
C{shutdown_timeout}, close the spool.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistedrelay import __version__
from twistedrelay.answers.check import CHECKS
from twistedrelay.config.load import load
from twistedrelay.config.schema import Config
from twistedrelay.config.users import UsersFile
from twistedrelay.control.api import Relay as ControlledRelay
from twistedrelay.control.server import ControlService
from twistedrelay.delivery.agent import DeliveryAgent
from twistedrelay.dsn.report import Reporter
from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory, Reception
from twistedrelay.net.transport import ListeningPort, sweep
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.logs import EventLog
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.checkers import make_portal
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.policy.throttle import ConnectionCounts, MessageRates
from twistedrelay.routing.mx import Resolver
from twistedrelay.routing.router import Router
from twistedrelay.schedule.due import Scheduler
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.tls.contexts import ServerContexts, client_creator
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.events import ServiceEvent

#: Seconds between two looks at the sessions' deadlines.
SWEEP_INTERVAL = 1.0

#: Seconds between two looks at the certificate files.
CERTIFICATE_INTERVAL = 60.0

#: A thread that comes back from the disk waits this long at most for the interpreter (default 5 ms, which group commit would feel).
SWITCH_INTERVAL = 0.0005

Owner = tuple[int | None, int | None]


class StartError(Exception):
    """The relay cannot start; C{str()} says why and what to do."""


def _make_directory(path: Path, mode: int, owner: Owner) -> None:
    """A state directory, made for the user that the relay will run as."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        for made in missing:
            if owner != (None, None):
                os.chown(made, -1 if owner[0] is None else owner[0], -1 if owner[1] is None else owner[1])
    except OSError as error:
        raise StartError(f"cannot make the directory {path}: {error.strerror}") from None


class RelayService(MultiService):
    """A whole relay as one Twisted service."""

    log = Logger()

    def __init__(self, config: Config, path: str, owner: Owner, reactor: Any) -> None:
        super().__init__()
        self.setName("twistedrelay")
        self.config = config
        self._owner = owner
        self._reactor = reactor
        state = Path(config.server.state_directory)
        _make_directory(state, 0o755, owner)
        self.certificates = CertificateStore(config.certificates, str(state / "certificates"))
        self.certificates.load()
        contexts = ServerContexts(self.certificates)
        missing = contexts.problems(config)
        if missing:
            raise StartError("\n".join(missing))
        self.counters = Counters()
        self.events = EventSink([EventLog(reactor), self.counters])
        self.spool = SQLiteSpool(reactor, str(state / "spool"), events=self.events)
        self.attempt = DeliveryAgent(reactor, Resolver(reactor, config.server.external_dns_servers), client_creator, self.events)
        self.scheduler = Scheduler(
            reactor,
            self.spool,
            Router(config),
            self.attempt,
            Reporter(config.server, self.spool, reactor),
            self.events,
            config.transport,
        )
        reception = Reception(
            clock=reactor,
            portal=self._make_portal(),
            acceptance=Acceptance(config),
            counts=ConnectionCounts(),
            rates=MessageRates(reactor),
            certificates=contexts,
            spool=self.spool,
            events=self.events,
            submit=self.scheduler.submit,
        )
        table = ConnectorTable(config)
        sites = {name: ConnectorFactory(name, connector) for name, connector in config.receive_connectors.items()}
        self.factories = [ESMTPFactory(binding, table, sites, reception) for binding in table.bindings]
        self.ports: list[ListeningPort] = []
        self._sweeper = LoopingCall(self._sweep)
        self._sweeper.clock = reactor
        self._refresher = LoopingCall(self._refresh_certificates)
        self._refresher.clock = reactor

    def _make_portal(self) -> Portal:
        return make_portal(self.config, UsersFile(self.config.users), self._reactor)
