"""When certificates are asked for by ACME: those that are missing at once, the others when a third of their life is left.

The names are the fqdn of each enabled connector with TLS that names no certificate and has none of an administrator's, and those of the
configuration.  Each name has a certificate of its own, so that one that cannot be had keeps no other from being had.  What fails is an
alarm and is tried again, ever later; the relay goes on with what it has.

Sources: RFC 8555; the authorities' advice on when to renew and how often to ask.
"""

from __future__ import annotations

import datetime
import random
import threading
from collections.abc import Callable
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from twistedrelay.config.schema import Config
from twistedrelay.tls.acme.client import AcmeClient, AcmeError, ClientFactory, certificate_file
from twistedrelay.tls.acme.responder import Challenges, challenge_site
from twistedrelay.tls.serverside import wants_rsa
from twistedrelay.tls.store import CertificateStore, is_rsa
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.printable import public_url

#: Seconds until the second attempt, and at most between two: the authority could not be asked; it refused, which it counts.
UNREACHABLE = (10.0, 3600.0)
REFUSED = (900.0, 86400.0)

#: Seconds after which files and names are looked at again in any case.
LONGEST_WAIT = 3600.0


@attrs.define
class _Attempts:
    """What became of asking for one name."""

    failures: int = 0
    next: float = 0.0


class Renewal(Service):
    """Keeps the certificates of ACME there and fresh.

    @param store: where they come to be; it is refreshed by C{obtained}.
    @param obtained: called when there is a new one: C{ServerContexts.refresh}, which may fire a Deferred.
    @param emit: takes what has to be said.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        store: CertificateStore,
        obtained: Callable[[], Any],
        emit: Callable[[ServiceEvent], None],
        client: ClientFactory = AcmeClient,
        chance: Callable[[], float] = random.random,
    ) -> None:
        assert config.acme is not None
        self._reactor = reactor
        self._config = config
        self._settings = config.acme
        self._store = store
        self._obtained = obtained
        self._emit = emit
        self._chance = chance
        self._challenges = Challenges()
        self._client = client(config.acme, store.acme_directory, self._challenges)
        self._attempts: dict[str, _Attempts] = {}
        self._early: dict[str, float] = {}  # by thumbprint: how much earlier, so that not all relays renew at once
        self._port: Any = None
        self._call: Any = None

    # -- start and stop --------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Listen for the authority while that is allowed."""
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Look for what is missing, as soon as the reactor runs."""
        super().startService()
        self._schedule(0.0)

    def stopService(self) -> Deferred[None] | None:
        """Stop asking.  A thread that waits for the authority is left alone; what it gets is used at the next start."""
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        port, self._port = self._port, None
        return None if port is None else maybeDeferred(port.stopListening)

    def _listen(self) -> str:
        """Listen, where we do not yet; why we cannot, or nothing."""
        if self._port is None:
            binding = self._settings.http_listen
            try:
                site = challenge_site(self._challenges, self._reactor)
                self._port = self._reactor.listenTCP(binding.port, site, interface=binding.host)
            except CannotListenError as error:
                return f"cannot listen on {binding}: {getattr(error.socketError, 'strerror', None) or error.socketError}"
        return ""

    def change(self, config: Config) -> None:
        """The names are those of another configuration from now on; how they are asked for is read at a start only."""
        self._config = config
        if self._call is not None:
            self._call.reset(0.0)

    # -- what is due -----------------------------------------------------------------------------------------------------

    def names(self) -> dict[str, bool]:
        """The hosts that need a certificate, and whether old clients are among those that see it."""
        found = {name.lower().rstrip("."): False for name in self._settings.names}
        for connector in self._config.receive_connectors.values():
            if connector.enabled and "Tls" in connector.auth_mechanism and not connector.tls_certificate_name:
                name = connector.fqdn.lower().rstrip(".")
                if name in found or not self._has_other(name):
                    found[name] = found.get(name, False) or wants_rsa(connector)
        return found

    def _has_other(self, name: str) -> bool:
        """Whether an administrator has put a certificate there."""
        pair = self._store.for_fqdn(name)
        return pair is not None and not self._store.made_here(pair) and not self._store.from_acme(pair)

    def due(self, name: str, old_clients: bool) -> float:
        """When to ask for a certificate, in seconds since the epoch."""
        file = certificate_file(self._store.acme_directory, name)
        pair = next((pair for pair in self._store.pairs() if pair.info.file == file), None)
        if pair is None or (old_clients and not is_rsa(pair)):
            moment = 0.0
        else:
            life = (pair.info.not_after - pair.info.not_before).total_seconds()
            early = self._early.setdefault(pair.info.thumbprint, self._chance())
            moment = pair.info.not_after.timestamp() - life / 3 - early * life / 20
        return max(moment, self._attempts.setdefault(name, _Attempts()).next)

    def _schedule(self, delay: float) -> None:
        if self.running:
            self._call = self._reactor.callLater(delay, self._look)

    def _look(self) -> None:
        self._call = None
        work = Deferred.fromCoroutine(self._ask_for_due())
        work.addErrback(lambda failure: self.log.failure("asking for certificates failed", failure))
        work.addCallback(lambda _: self._schedule(self._wait()))

    def _wait(self) -> float:
        now: float = self._reactor.seconds()
        moments = [self.due(name, old_clients) for name, old_clients in self.names().items()]
        return min(max(min(moments, default=now + LONGEST_WAIT) - now, 1.0), LONGEST_WAIT)

    # -- asking ----------------------------------------------------------------------------------------------------------

    async def _ask_for_due(self) -> None:
        for name, old_clients in self.names().items():
            if self.running and self.due(name, old_clients) <= self._reactor.seconds():
                await self._ask(name, old_clients)

    async def _ask(self, name: str, old_clients: bool) -> None:
        attempts = self._attempts.setdefault(name, _Attempts())
        try:
            if problem := self._listen():
                raise AcmeError(problem)
            await in_thread(self._reactor, lambda: self._client.obtain(name, old_clients))
        except Exception as error:
            attempts.failures += 1
            wait = self._back_off(attempts.failures, error)
            attempts.next = self._reactor.seconds() + wait
            if not isinstance(error, AcmeError):
                self.log.failure("asking for a certificate for {name} failed", name=name)
            authority = public_url(self._settings.directory_url)
            text = f"no certificate for {name} could be had from {authority}: {error}; tried again in {_span(wait)}"
            self._emit(ServiceEvent("error", text))
            return
        attempts.failures, attempts.next = 0, 0.0
        await maybeDeferred(self._obtained)
        text = f"{public_url(self._settings.directory_url)} has given a certificate for {name}"
        self._emit(ServiceEvent("info", text))
        if self.due(name, old_clients) <= self._reactor.seconds():  # whatever the reason, it would be asked for again and again
            attempts.next = self._reactor.seconds() + UNREACHABLE[1]

    def _back_off(self, failures: int, error: Exception) -> float:
        first, most = REFUSED if getattr(error, "refused", False) else UNREACHABLE
        wait: float = min(first * 2.0 ** min(failures - 1, 30), most)
        return wait * (0.75 + self._chance() / 2)


def in_thread(reactor: Any, work: Callable[[], None]) -> Deferred[None]:
    """Run something that may take minutes in a thread that nobody waits for when the process ends."""
    done: Deferred[None] = Deferred()

    def run() -> None:
        try:
            work()
        except Exception as error:
            reactor.callFromThread(done.errback, error)
        else:
            reactor.callFromThread(done.callback, None)

    threading.Thread(target=run, name="acme", daemon=True).start()
    return done


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
