"""How a relay is watched from outside: the listener for metrics and health, and what the service manager is told.

It decides when the listener is opened (with the others, before privileges are shed) and when a sign of life is given: from the reactor,
and only while the spool's thread and the schedule work.  Who stops giving it is killed and started again, which is all that helps then.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twistedrelay.observe.health import Health
from twistedrelay.observe.metrics import Metrics
from twistedrelay.observe.metrics_site import monitoring_factory
from twistedrelay.observe.systemd import ServiceManager
from twistedrelay.values.histogram import Histogram

#: Seconds between two looks at how late the reactor is.
LAG_INTERVAL = 1.0
#: Seconds between two lines for C{systemctl status}.
STATUS_INTERVAL = 10.0


class MonitoringError(Exception):
    """The listener cannot be opened; C{str()} says why and what to do."""


class Monitoring(Service):
    """See the module.

    @ivar health: whether the relay is fit for work.
    @ivar lag: how late the reactor's timers are.
    @ivar metrics: all of them.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        listen: str,
        health: Health,
        lag: Histogram,
        metrics: Metrics,
        status: Callable[[], str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param listen: C{"address:port"}, C{"unix:/path"}, or C{""} for no listener.
        @param status: a line about the relay.
        @param now: a clock that is never set.
        """
        self.health = health
        self.lag = lag
        self._reactor = reactor
        self._listen = listen
        self.metrics = metrics
        self._factory = monitoring_factory(metrics, health, reactor)
        self._status = status
        self._now = now
        self._manager = ServiceManager()
        self._port: IListeningPort | None = None
        self._due = 0.0
        self._silent = False
        self._told = -STATUS_INTERVAL
        self._loop = LoopingCall(self._turn)
        self._loop.clock = reactor

    # -- the listener ----------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Listen.

        @raise MonitoringError: the address cannot be had.
        """
        super().privilegedStartService()
        if self._listen and self._port is None:
            try:
                self._port = self._opened(self._listen)
            except (CannotListenError, OSError) as error:
                reason = getattr(getattr(error, "socketError", error), "strerror", None) or error
                raise MonitoringError(f"metrics.listen: {self._listen}: {reason}; free it, or give another one") from error

    def _opened(self, listen: str) -> IListeningPort:
        opened: IListeningPort
        if listen.startswith("unix:"):
            path = listen.removeprefix("unix:")
            _make_room(path)
            opened = self._reactor.listenUNIX(path, self._factory, mode=0o660)
        else:
            host, _, number = listen.rpartition(":")
            opened = self._reactor.listenTCP(int(number), self._factory, interface=host.strip("[]"))
        return opened

    # -- life ------------------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Listen, where that was not done before; measure."""
        super().startService()
        self.privilegedStartService()
        interval = min(LAG_INTERVAL, self._manager.watchdog / 4) if self._manager.watchdog else LAG_INTERVAL
        self._due = self._now() + interval
        self._loop.start(interval, now=False).addErrback(lambda failure: self.log.failure("watching failed", failure))

    def stopService(self) -> Deferred[Any] | None:
        """Close; to be called last, since the shutdown wants to be watched, too."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._manager.close()
        port, self._port = self._port, None
        return None if port is None else maybeDeferred(port.stopListening)

    def ready(self) -> None:
        """The relay is bound and open."""
        self.health.started = True
        self._manager.status(self._status())
        self._manager.ready()

    def reloading(self) -> None:
        """A change of the configuration begins; L{ready} follows."""
        self._manager.reloading()

    def stopping(self) -> None:
        """The shutdown begins."""
        self.health.stopping = True
        self._manager.stopping()
        self._manager.status("shutting down: finishing what is under way")

    def _turn(self) -> None:
        now = self._now()
        interval = self._loop.interval or LAG_INTERVAL
        self.lag.observe(now - self._due)
        self._due = now + interval
        patience = self._manager.watchdog / 2
        stuck = self.health.stuck(patience) if patience else self.health.stuck()
        if stuck and not self.health.stopping:
            if not self._silent:
                self._silent = True
                self.log.error("{reason}: no more signs of life for the service manager", reason=stuck)
                self._manager.status(stuck)
            return
        self._silent = False
        if self._manager.watchdog:
            self._manager.notify()
        if now - self._told >= STATUS_INTERVAL and self.health.started and not self.health.stopping:
            self._told = now
            self._manager.status(self._status())


def _make_room(path: str) -> None:
    """Remove a socket that was left behind, and make its directory."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        return
