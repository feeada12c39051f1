"""The composition root: makes every part of the relay, ties them together, starts and stops them in order.

The only module that knows every room.  Start: bind while still privileged, then (as the user that twistd changed to) open the spool,
resume what waits in it.  Stop: no new connections, finish what arrives, finish what is being delivered until C{shutdown_timeout}, close
the spool.
"""

from __future__ import annotations

import datetime
import functools
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

import twisted
import twistedrelay
from twistedrelay import __version__
from twistedrelay.answers.audit.auditor import Auditor
from twistedrelay.answers.check import load_checked
from twistedrelay.applying import Applying
from twistedrelay.config.edit_change import settle
from twistedrelay.config.history import DIRECTORY as HISTORY
from twistedrelay.config.history import History
from twistedrelay.config.problems import ConfigError
from twistedrelay.config.schema import Config
from twistedrelay.config.simulated import lasting_secret
from twistedrelay.control.api import ControlAPI
from twistedrelay.control.applying import ApplyError
from twistedrelay.control.live import Relay
from twistedrelay.control.server import ControlService, ControlSocketError
from twistedrelay.garbage import Garbage
from twistedrelay.interfaces import SpoolError
from twistedrelay.monitor import make_monitoring
from twistedrelay.net.listening import ListenError
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.logs import LogSink
from twistedrelay.observe.monitoring import MonitoringError
from twistedrelay.observe.tlsreport import TLSReports
from twistedrelay.observe.trace import Trace
from twistedrelay.observing import Observing
from twistedrelay.receiving import Receiving
from twistedrelay.sending import Sending
from twistedrelay.signals import end_in_failure
from twistedrelay.state import Owner as Owner
from twistedrelay.state import StartError as StartError
from twistedrelay.state import give, hidden_code, make_private, make_state, take_over
from twistedrelay.steady import SteadyClock
from twistedrelay.tls.contexts import ServerContexts
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.events import ServiceEvent

#: Seconds between two looks at the sessions' deadlines.
SWEEP_INTERVAL = 1.0

#: Seconds between two looks at the certificate files.
CERTIFICATE_INTERVAL = 5.0

#: Seconds between two looks at the ages of log files.
LOG_INTERVAL = 3600.0

#: A thread that comes back from the disk waits at most this long for the interpreter (by default 5 ms, which group commit would feel).
SWITCH_INTERVAL = 0.0005

#: Seconds to stop where nothing can be written: enough to say so, and a transaction that cannot be recorded is better cut off than ended.
LAST_WORDS = 1.0

#: Makes what logs are written by, from the value of log_format.
MakeObserver = Callable[[str], ILogObserver | None]


class RelayService(MultiService):
    """A whole relay as one Twisted service."""

    log = Logger()

    def __init__(self, config: Config, owner: Owner, reactor: Any, observer: ILogObserver | None = None, *, file: str = "") -> None:
        """
        @param file: where the configuration was read from, and is read from again.
        """
        super().__init__()
        self._observer = observer
        self.setName("twistedrelay")
        self._owner = owner
        self._reactor = reactor
        self._garbage = Garbage()
        self._failed = False
        self._steady = SteadyClock()
        self._steady.install(reactor)
        state = Path(config.server.state_directory)
        make_state(state, owner)
        take_over(state, owner)
        make_private(state / HISTORY, owner)
        utc_now = lambda: datetime.datetime.fromtimestamp(reactor.seconds(), datetime.UTC)  # noqa: E731
        store = CertificateStore(config.certificates, str(state), utc_now)
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
        counters = Counters(reactor.seconds)
        self._lines = LogSink(reactor)
        self._reports = TLSReports(config.transport.tls_report_socket, self._lines.emit)
        self._observing = Observing(config, reactor, self._steady.settled, self._address_of, self._tell, counters)
        self._events = EventSink([self._lines, counters, *self._observing.consumers])
        self._observing.begin(self._events)
        self._report_tls(config)
        trace = Trace(self._events, reactor.seconds)
        self._tell(certificate_notices)
        made, make = functools.partial(give, owner=owner), functools.partial(make_state, owner=owner)
        said = self._observing.written.sending(trace)
        self._sending = Sending(config, reactor, store, self._events, self._warn, self._spool_health, self._spool_failed, made, make, said)
        for service in self._sending.services:
            service.setServiceParent(self)
        self._spool, scheduler = self._sending.spool, self._sending.scheduler
        heard = self._observing.written.receiving(trace)
        self._receiving = Receiving(config, reactor, self._sending, self._events, secret, counters, heard)
        generation = self._receiving.make(config, self._sending.current.acceptance, self._contexts.current)
        self._receiving.begin(generation)
        self._warn([*notices, *generation.notices])
        self._monitoring = make_monitoring(config, reactor, self._sending, counters, self._receiving, store, self._observing.threads)
        self._monitoring.setServiceParent(self)
        self._applying = Applying(
            os.path.abspath(file), reactor, self._sending, self._receiving, self._contexts, store, self._events.emit, self._changed
        )
        self._auditor = Auditor(reactor, os.path.abspath(file), lambda: self._relay, self._events.emit, self._observing.ledger.own)
        self._auditor.setServiceParent(self)
        self._relay = self._applying.relay = Relay(
            config=config,
            spool=self._spool,
            scheduler=scheduler,
            sessions=self._receiving.sessions,
            counters=counters,
            started_at=reactor.seconds(),
            version=__version__,
            clock=reactor,
            safety_net=self._sending.safety_net,
            health=self._monitoring.health,
            metrics=self._monitoring.metrics,
            pressure=self._sending.pressure,
            applying=self._applying,
            running=self._receiving.running,
            tracking=self._observing.tracking,
            ledger=self._observing.ledger,
            usage=self._observing.ledger.usage,
            webhooks=self._observing.webhooks,
            reverse_names=self._observing.reverse_names,
            audit=self._auditor.audit,
            trace=trace,
            write_logs=self._observing.written.flush,
        )
        control = ControlService(reactor, config.server.control_socket, ControlAPI(self._relay), self._socket_owner())
        control.setServiceParent(self)
        self._renewal: Any = None
        if config.acme is not None:
            from twistedrelay.tls.acme.renewal import Renewal  # needs a package that is only there for it

            self._renewal = Renewal(reactor, config, store, self._refresh_certificates, self._events.emit)
            self._renewal.setServiceParent(self)
        self._steady.when_set(self._sending.wait_on)
        self._steady.when_set(self._receiving.sessions.wait_on)
        self._loops = [LoopingCall(self._sweep), LoopingCall(self._refresh_certificates), LoopingCall(self._observing.written.prune)]
        for loop in self._loops:
            loop.clock = reactor

    @property
    def config(self) -> Config:
        """What it runs with now."""
        return self._relay.config

    def _address_of(self, name: str) -> str | None:
        """The account that a login name means.  Blocks."""
        accounts = self._receiving.accounts
        return None if accounts is None else accounts.file.address_of(name)

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
            self._receiving.open()
        except (ControlSocketError, ListenError, MonitoringError) as error:
            raise StartError(str(error)) from None

    def startService(self) -> None:
        """Open the spool, resume what waits in it, let sessions begin.

        @raise StartError: the spool cannot be opened.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._garbage.begin()
        if not self._receiving.listeners:
            self.privilegedStartService()
        try:
            self._spool.open(watch=True)
        except SpoolError as error:
            raise StartError(str(error)) from None
        super().startService()
        self._sending.start().addErrback(self._loop_failed)
        for loop, interval in zip(self._loops, (SWEEP_INTERVAL, CERTIFICATE_INTERVAL, LOG_INTERVAL), strict=True):
            loop.start(interval, now=False).addErrback(self._loop_failed)
        self._warn(hidden_code(os, twisted, twistedrelay))
        self._monitoring.ready()
        places = self._receiving.listeners
        self._events.emit(ServiceEvent("info", f"twistedrelay {__version__} serves {self.config.server.fqdn} on {places}", "started"))

    def _loop_failed(self, failure: Failure) -> None:
        self.log.failure("a periodic task failed", failure)

    # -- while it runs ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._tell([ServiceEvent(level, text) for level, text in self._steady.look(self._reactor)])
        self._receiving.sessions.sweep(self._reactor.seconds())
        self._spool.alive()

    def _refresh_certificates(self) -> Deferred[None]:
        """Read changed certificate files again; a bad one leaves the old in use."""
        refresh = functools.partial(deferToThreadPool, self._reactor, self._reactor.getThreadPool(), self._contexts.refresh)
        return self._applying.while_nothing_changes(refresh).addCallback(self._tell).addErrback(self._loop_failed)

    def _changed(self, config: Config) -> None:
        """Another configuration is in use."""
        self._report_tls(config)
        self._observing.change(config)
        self._auditor.changed()
        if self._renewal is not None:
            self._renewal.change(config)

    def _report_tls(self, config: Config) -> None:
        """Tell how TLS went where somebody wants to know."""
        self._reports.change(config.transport.tls_report_socket)
        if config.transport.tls_report_socket:
            self._events.add(self._reports)

    def reload(self) -> None:
        """Read the configuration again, and use it where it is good (SIGHUP); the log tells what came of it."""
        self._monitoring.reloading()
        self._applying.reload().addErrback(self._not_reloaded).addBoth(lambda _: self._monitoring.ready())

    def _not_reloaded(self, failure: Failure) -> None:
        if not failure.check(ConfigError, ApplyError):  # of which the log knows
            self._loop_failed(failure)

    def _tell(self, notices: list[ServiceEvent]) -> None:
        for notice in notices:
            self._events.emit(notice)

    def _warn(self, notices: list[str]) -> None:
        for notice in notices:
            self._events.emit(ServiceEvent("warn", notice))

    def _spool_health(self, healthy: bool, reason: str) -> None:
        self._sending.set_health(healthy)
        if healthy:
            self._events.emit(ServiceEvent("info", "the spool works again", "spool_well"))
        else:
            self._events.emit(ServiceEvent("error", f"the spool is sick, intake and delivery pause: {reason}", "spool_sick"))

    def _spool_failed(self) -> None:
        """Better no relay than one that can only say 451: a new process can write again, and other relays get the mail meanwhile."""
        self._failed = True
        text = "nothing can be written to the spool any more: the relay ends with exit status 1, to be started again"
        self._events.emit(ServiceEvent("error", text, "spool_sick"))
        end_in_failure(self._reactor)

    # -- stop ------------------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Drain: see the module."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._steady.hold()
        timeout = self.config.transport.shutdown_timeout
        deadline = self._reactor.seconds() + (min(timeout, LAST_WORDS) if self._failed else timeout)
        self._events.emit(ServiceEvent("info", "shutting down: finishing what is under way", "stopping"))
        self._monitoring.stopping()
        self._applying.stop()
        steps: tuple[Callable[[], Awaitable[object]], ...] = (
            self._receiving.close,
            functools.partial(self._receiving.end_sessions, deadline),
            lambda: self._sending.stop(max(deadline - self._reactor.seconds(), 0.1)),
            self._stop_services,
            self._spool.close,
            lambda: self._observing.stop(deadline - self._reactor.seconds()),
        )
        for step in steps:
            try:
                await step()
            except Exception:  # a defect, or a disk that fails; above all the spool is closed
                self.log.failure("a part of the relay could not be stopped")
        self._events.emit(ServiceEvent("info", "stopped"))
        self._lines.flush()
        self._garbage.end()
        self._steady.remove(self._reactor)

    async def _stop_services(self) -> None:
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._receiving.end_checks()
        await super().stopService()


def make_relay(path: str, owner: Owner, reactor: Any, observer: MakeObserver = lambda style: None) -> RelayService:
    """The relay of a configuration file.

    @param observer: makes what the application is to log by, from log_format.
    @raise ConfigError: the configuration is not good.
    @raise StartError: a state directory cannot be had.
    """
    config = load_checked(path)
    if settle(os.path.realpath(path), History(config.server.state_directory)):
        config = load_checked(path)
    return RelayService(config, owner, reactor, observer(config.server.log_format), file=path)
