"""The sending half of a relay, put together: from the spool to the next hops and back to the senders.

It decides nothing: it makes the objects of the rooms and hands them to each other.  L{twistedrelay.service} makes the receiving half and
starts and stops both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from twistedrelay.config import replace
from twistedrelay.config.schema import Config
from twistedrelay.config.srs_secret import srs_secrets
from twistedrelay.delivery.agent import DeliveryAgent
from twistedrelay.delivery.callahead import call_ahead
from twistedrelay.delivery.logins import Logins
from twistedrelay.delivery.session import Dialogues
from twistedrelay.dsn.report import Reporter
from twistedrelay.dsn.settings import ReportSettings
from twistedrelay.observe.fanout import EventSink
from twistedrelay.pickup.place import Pickup
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.recipients.build import RecipientService
from twistedrelay.policy.srs import ReturnPaths
from twistedrelay.routing.mx import Resolver
from twistedrelay.routing.ourselves import Ourselves
from twistedrelay.routing.rewrite import rewrite_of
from twistedrelay.routing.router import Router
from twistedrelay.routing.stskeeper import domain_security
from twistedrelay.schedule.due import Scheduler
from twistedrelay.schedule.safetynet import SafetyNet
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.tls.store import CertificateStore


class Sending:
    """See the module.

    @ivar spool: where messages are kept.
    @ivar scheduler: what sends them.
    @ivar safety_net: what keeps those that were delivered.
    @ivar acceptance: the verdicts on MAIL and RCPT, which share recipients and return paths with this half.
    @ivar services: what starts and stops with the relay.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        store: CertificateStore,
        events: EventSink,
        warn: Callable[[list[str]], None],
        on_health: Callable[[bool, str], None],
        made: Callable[[Path], None],
        make_directory: Callable[[Path], None],
        dialogues: Dialogues,
    ) -> None:
        """
        @param made: told of each file made here, so that it belongs to the right user.
        @param make_directory: makes a directory for that user.
        @param dialogues: who wants to know what is said in delivery connections.
        """
        self._reactor = reactor
        transport, server = config.transport, config.server
        hold = transport.safety_net_hold_time
        self.spool = SQLiteSpool(reactor, str(Path(server.state_directory) / "spool"), events, on_health=on_health, keep_delivered=hold > 0)
        at_work = self.spool.blame.at_work
        secrets = srs_secrets(config, made)
        self._contexts = ClientContexts(store)
        resolver = Resolver(reactor, server.external_dns_servers, Ourselves(config))
        resolver.security, keeper = domain_security(reactor, config, resolver.names, self._contexts, events.emit)
        recipients = RecipientService(config, reactor, call_ahead(reactor, resolver, self._contexts.creator, server.fqdn), warn)
        self.acceptance = Acceptance(config, ReturnPaths(config, secrets), recipients.recipients)
        returns = ReportSettings.of(transport, config.system_messages, self.acceptance.is_internal, self.acceptance.resolve_recipient)
        logins = Logins(reactor, replace, functools.partial(reactor.callFromThread, lambda text: warn([text])))
        self.scheduler = Scheduler(
            reactor,
            self.spool,
            Router(config, functools.partial(rewrite_of, config=config, secrets=secrets)),
            DeliveryAgent(reactor, resolver, self._contexts.creator, events, logins=logins, at_work=at_work, dialogues=dialogues),
            Reporter(server.fqdn, server.postmaster, self.spool, reactor, returns),
            events,
            transport,
            at_work=at_work,
        )
        self.safety_net = SafetyNet(reactor, self.spool, self.scheduler.submit, events, hold)
        pickup = Pickup(config, reactor, self.spool, events, self.scheduler.submit, lambda path: make_directory(Path(path)))
        self.services: tuple[IService, ...] = (keeper, recipients, pickup)

    def start(self) -> Deferred[None]:
        """Send what waits in the spool, which is open.  Fires when TLS is ready, which nothing has to wait for."""
        self.scheduler.start(self.spool.blame.suspects)
        self.safety_net.start()
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._contexts.warm)

    def set_health(self, healthy: bool) -> None:
        """A sick spool stops delivery too: a success that cannot be recorded would be repeated."""
        if healthy:
            self.scheduler.resume()
        else:
            self.scheduler.pause()

    async def stop(self, seconds: float) -> None:
        """Begin nothing more; what runs may end in that time."""
        self.safety_net.stop()
        await self.scheduler.stop(seconds)
