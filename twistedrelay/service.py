"""The composition root: makes every part of the relay, ties them together, starts and stops them in order.

The only module that knows every room.  Start: bind while still privileged, then (as the user that twistd changed to) open the spool,
resume what waits in it.  Stop: no new connections, finish what arrives, finish what is being delivered until C{shutdown_timeout}, close
the spool.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from twistedrelay import __version__
from twistedrelay.answers.check import load_checked
from twistedrelay.config.schema import Config
from twistedrelay.config.simulated import lasting_secret
from twistedrelay.config.users import UsersError, UsersFile
from twistedrelay.control.api import ControlAPI
from twistedrelay.control.live import Relay
from twistedrelay.control.server import ControlService, ControlSocketError
from twistedrelay.interfaces import SpoolError
from twistedrelay.net.buffers import Buffers
from twistedrelay.net.descriptors import Reserve, raise_limit
from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory, Reception
from twistedrelay.net.listening import ListenError, listen
from twistedrelay.net.sessions import Sessions
from twistedrelay.net.transport import ListeningPort, Turn
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.login_store import FILE as LOGINS
from twistedrelay.observe.login_store import LoginStore
from twistedrelay.observe.logins import LoginRecord
from twistedrelay.observe.logs import LogSink
from twistedrelay.observe.tlsreport import TLSReports
from twistedrelay.observe.trace import Trace
from twistedrelay.observe.tracking.sink import Tracking, make_tracking
from twistedrelay.observe.written import WrittenLogs
from twistedrelay.policy.checkers import make_portal
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.policy.lockout import Lockout
from twistedrelay.policy.mechanisms import mechanism_checkers
from twistedrelay.policy.passwords import ThreadedUsers
from twistedrelay.policy.throttle import ConnectionCounts, MessageRates
from twistedrelay.sending import Sending
from twistedrelay.tls.contexts import ServerContexts
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.events import ServiceEvent

#: Seconds between two looks at the sessions' deadlines.
SWEEP_INTERVAL = 1.0

#: Seconds between two looks at the certificate files.
CERTIFICATE_INTERVAL = 5.0

#: A thread that comes back from the disk waits at most this long for the interpreter (by default 5 ms, which group commit would feel).
SWITCH_INTERVAL = 0.0005

#: When the garbage collector runs.  What the code itself consists of is never looked at again; cycles are rare.  Measured with 10,000
#: messages waiting and 30,000 flowing: half the collector's time and a quarter of its longest pause.
GC_THRESHOLDS = (2_000, 20, 100)

#: The (uid, gid) that twistd will change to; None where it stays.
Owner = tuple[int | None, int | None]


#: Makes what logs are written by, from the value of log_format.
MakeObserver = Callable[[str], ILogObserver | None]


class StartError(Exception):
    """The relay cannot start; C{str()} says why and what to do."""


def make_state(path: Path, owner: Owner) -> None:
    """Make a state directory for the user that the relay will run as.

    @raise StartError: it cannot be made.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        for made in missing:
            give(made, owner)
    except OSError as error:
        raise StartError(f"cannot make the directory {path}: {error.strerror}; make it, or set server.state_directory") from None


def give(path: Path, owner: Owner) -> None:
    """Let a file or directory that root made belong to the user that the relay will run as."""
    if owner != (None, None):
        os.chown(path, -1 if owner[0] is None else owner[0], -1 if owner[1] is None else owner[1], follow_symlinks=False)


class RelayService(MultiService):
    """A whole relay as one Twisted service.

    @ivar config: what it was made of.
    """

    log = Logger()

    def __init__(self, config: Config, owner: Owner, reactor: Any, observer: ILogObserver | None = None) -> None:
        super().__init__()
        self._observer = observer
        self.setName("twistedrelay")
        self.config = config
        self._owner = owner
        self._reactor = reactor
        self._ports: list[ListeningPort] = []
        self._turn = Turn(reactor)
        state = Path(config.server.state_directory)
        make_state(state, owner)
        store = CertificateStore(config.certificates, str(state))
        unreadable = store.load()
        self._contexts = ServerContexts(store)
        certificate_notices = [ServiceEvent("error", text) for text in unreadable] + self._contexts.prepare(config)
        notices = []
        secret = b""
        try:
            secret = lasting_secret(str(state / "login.secret"))
            give(state / "login.secret", owner)
        except OSError as error:
            notices.append(f"login names can be guessed by SCRAM: {state / 'login.secret'}: {error.strerror}")
        report = functools.partial(reactor.callFromThread, lambda text: self._warn([text]))
        users = UsersFile(config.users, report=report, secret=secret)
        try:
            users.load()
        except UsersError as error:
            notices.append(f"nobody can log in: {error}")
        counters = Counters()
        self._lines = LogSink(reactor)
        self._written = WrittenLogs(config, reactor, lambda text: self._warn([text]))
        self._logins = LoginRecord(reactor, LoginStore(str(state / LOGINS)), users.address_of)
        reports = [TLSReports(path, self._lines.emit)] if (path := config.transport.tls_report_socket) else []
        self._tracking = self._make_tracking()
        tracking = [] if self._tracking is None else [self._tracking]
        self._events = EventSink([self._lines, counters, self._logins, *reports, *self._written.sinks, *tracking])
        trace = Trace(self._events)
        self._warn(notices)
        self._tell(certificate_notices)
        made, make = functools.partial(give, owner=owner), functools.partial(make_state, owner=owner)
        said = self._written.sending(trace)
        self._sending = Sending(config, reactor, store, self._events, self._warn, self._spool_health, made, make, said)
        for service in self._sending.services:
            service.setServiceParent(self)
        self._spool, scheduler = self._sending.spool, self._sending.scheduler
        self._users = ThreadedUsers(reactor, users)
        table = ConnectorTable(config)
        room, advice = raise_limit(config.server.max_connections, config.transport.max_outbound_connections)
        self._warn([advice] if advice else [])
        buffers = Buffers(config.server.max_buffered_size)
        reception = Reception(
            hostname=config.server.fqdn,
            clock=reactor,
            portal=make_portal(config, self._users, mechanism_checkers(config, self._users, reactor), clock=reactor),
            users=self._users,
            lockout=Lockout(reactor, config.server),
            acceptance=self._sending.acceptance,
            counts=ConnectionCounts(table, room),
            rates=MessageRates(reactor),
            certificates=self._contexts,
            spool=self._spool,
            events=self._events,
            buffers=buffers,
            submit=scheduler.submit,
            protocol_log=self._written.receiving(trace),
        )
        sites = {name: ConnectorFactory(name, connector) for name, connector in config.receive_connectors.items()}
        self._factories = [ESMTPFactory(binding, table, sites, reception) for binding in table.bindings]
        self._sessions = Sessions(self._factories, buffers)
        self._reserve = Reserve(reactor, lambda text: self._events.emit(ServiceEvent("error", text)))
        self._relay = Relay(
            config=config,
            spool=self._spool,
            scheduler=scheduler,
            sessions=self._sessions,
            counters=counters,
            started_at=reactor.seconds(),
            version=__version__,
            clock=reactor,
            safety_net=self._sending.safety_net,
            tracking=self._tracking,
            trace=trace,
        )
        control = ControlService(reactor, config.server.control_socket, ControlAPI(self._relay), self._socket_owner())
        control.setServiceParent(self)
        if config.acme is not None:
            from twistedrelay.tls.acme.renewal import Renewal  # needs a package that is only there for it

            Renewal(reactor, config, store, self._refresh_certificates, self._events.emit).setServiceParent(self)
        self._loops = [LoopingCall(self._sweep), LoopingCall(self._refresh_certificates)]
        for loop in self._loops:
            loop.clock = reactor

    def _make_tracking(self) -> Tracking | None:
        keys = self.config.transport
        age, size, subjects = keys.tracking_max_age, keys.tracking_max_size, keys.message_tracking_log_subject_logging_enabled
        make = functools.partial(make_tracking, self._reactor, keys.message_tracking_log_path, max_age=age, max_size=size)
        return make(subjects=subjects, report=lambda text: self._warn([text])) if keys.message_tracking_log_enabled else None

    def _socket_owner(self) -> tuple[int, int] | None:
        uid, gid = self._owner
        return None if uid is None and gid is None else (-1 if uid is None else uid, -1 if gid is None else gid)

    def setServiceParent(self, parent: Any) -> None:
        """Join the application, and let it log by our observer where there is one."""
        if self._observer is not None:
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    # -- start -----------------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind everything; a relay that silently does not listen is the worst of all.

        @raise StartError: an address cannot be had.
        """
        try:
            super().privilegedStartService()
            for factory in self._factories:
                self._ports.append(listen(factory, self._turn, self._reserve, self._reactor))
        except (ControlSocketError, ListenError) as error:
            raise StartError(str(error)) from None

    def startService(self) -> None:
        """Open the spool, resume what waits in it, let sessions begin.

        @raise StartError: the spool cannot be opened.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if not self._ports:
            self.privilegedStartService()
        try:
            self._spool.open(watch=True)
        except SpoolError as error:
            raise StartError(str(error)) from None
        super().startService()
        self._sending.start().addErrback(self._loop_failed)
        for loop, interval in zip(self._loops, (SWEEP_INTERVAL, CERTIFICATE_INTERVAL), strict=True):
            loop.start(interval, now=False).addErrback(self._loop_failed)
        places = ", ".join(f"{port.interface}:{port.port}" for port in self._ports)
        self._events.emit(ServiceEvent("info", f"twistedrelay {__version__} serves {self.config.server.fqdn} on {places}"))

    def _loop_failed(self, failure: Failure) -> None:
        self.log.failure("a periodic task failed", failure)

    # -- while it runs ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._sessions.sweep(self._reactor.seconds())
        self._spool.alive()

    def _refresh_certificates(self) -> Deferred[None]:
        """Read changed certificate files again; a bad one leaves the old in use."""
        work = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._contexts.refresh)
        return work.addCallback(self._tell).addErrback(self._loop_failed)

    def _tell(self, notices: list[ServiceEvent]) -> None:
        for notice in notices:
            self._events.emit(notice)

    def _warn(self, notices: list[str]) -> None:
        for notice in notices:
            self._events.emit(ServiceEvent("warn", notice))

    def _spool_health(self, healthy: bool, reason: str) -> None:
        self._sending.set_health(healthy)
        if healthy:
            self._events.emit(ServiceEvent("info", "the spool works again"))
        else:
            self._events.emit(ServiceEvent("error", f"the spool is sick, intake and delivery pause: {reason}"))

    # -- stop ------------------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Drain: see the module."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        deadline = self._reactor.seconds() + self.config.transport.shutdown_timeout
        self._events.emit(ServiceEvent("info", "shutting down: finishing what is under way"))
        await DeferredList([maybeDeferred(port.stopListening) for port in self._ports], consumeErrors=True)
        self._ports.clear()
        self._reserve.release()
        self._sessions.drain()
        while self._sessions.count() and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, 0.05)
        self._sessions.abort()
        await self._sending.stop(max(deadline - self._reactor.seconds(), 0.1))
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._users.stop()
        await self._logins.stop()
        await super().stopService()
        await self._spool.close()
        await self._written.stop()
        if self._tracking is not None:
            await self._tracking.stop()
        self._events.emit(ServiceEvent("info", "stopped"))
        self._lines.flush()


def end_on_signals(reactor: Any) -> None:
    """Let SIGTERM and Ctrl-C drain the relay and end the process with exit status 0; a second one ends it at once.

    twistd by itself would end with the signal's status, which supervisors take for a crash.  Before the reactor runs, the end waits for it.
    """

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(stop)

    def stop() -> None:
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def make_relay(path: str, owner: Owner, reactor: Any, observer: MakeObserver = lambda style: None) -> RelayService:
    """The relay of a configuration file.

    @param observer: makes what the application is to log by, from log_format.
    @raise ConfigError: the configuration is not good.
    @raise StartError: a state directory cannot be had.
    """
    config = load_checked(path)
    return RelayService(config, owner, reactor, observer(config.server.log_format))
