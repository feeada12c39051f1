"""The sending half of a relay, put together: from the spool to the next hops and back to the senders.

It makes the objects of the rooms and hands them to each other; it decides what of them has to be made anew for another configuration, and
what stays as it is.  L{twistedrelay.service} makes the receiving half and starts and stops both.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
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
from twistedrelay.patience import Patience
from twistedrelay.pickup.place import Pickup
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.pressure import BackPressure
from twistedrelay.policy.recipients.build import Lookups, MakeProber, RecipientService
from twistedrelay.policy.srs import ReturnPaths
from twistedrelay.policy.watch import PressureWatch
from twistedrelay.routing.mx import Resolver
from twistedrelay.routing.ourselves import Ourselves
from twistedrelay.routing.rewrite import rewrite_of
from twistedrelay.routing.router import Router
from twistedrelay.routing.stskeeper import SecurityService
from twistedrelay.schedule.due import Scheduler
from twistedrelay.schedule.safetynet import SafetyNet
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.tls.store import CertificateStore


@attrs.frozen(eq=False)
class Outgoing:
    """What the sending half has of one configuration.

    @ivar ways: all that the router was made of.
    @ivar acceptance: the verdicts on MAIL and RCPT, which share recipients and return paths with this half.
    @ivar made: directories that were made for it.
    """

    config: Config
    ways: object
    router: Router
    lookups: Lookups | None
    acceptance: Acceptance
    reporter: Reporter
    ourselves: Ourselves
    made: tuple[str, ...] = ()


class Sending:
    """See the module.

    @ivar spool: where messages are kept.
    @ivar scheduler: what sends them.
    @ivar safety_net: what keeps those that were delivered.
    @ivar current: what it has of the configuration in use.
    @ivar pressure: whether resources run short.
    @ivar names: what asks the DNS.
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
        on_failure: Callable[[], None],
        made: Callable[[Path], None],
        make_directory: Callable[[Path], None],
        dialogues: Dialogues,
    ) -> None:
        """
        @param on_health: told that the spool is sick, with why, or well; C{on_failure}: that it will not be well before a new start.
        @param made: told of each file made here, so that it belongs to the right user.
        @param make_directory: makes a directory for that user.
        @param dialogues: who wants to know what is said in delivery connections.
        """
        self._reactor = reactor
        self._made = made
        self._patience = Patience(reactor, lambda: self._schedule(self.current))
        transport, server = config.transport, config.server
        hold = transport.safety_net_hold_time
        self.spool = SQLiteSpool(
            reactor,
            str(Path(server.state_directory) / "spool"),
            events,
            on_health=on_health,
            on_failure=on_failure,
            keep_delivered=hold > 0,
        )
        at_work = self.spool.blame.at_work
        self._contexts = ClientContexts(store)
        self.resolver = Resolver(reactor, server.external_dns_servers)
        self._security = SecurityService(reactor, config, self.resolver.names, self._contexts, events.emit)
        self.resolver.security = self._security.security
        self._recipients = RecipientService(config, reactor, self._prober(config), warn)
        self.current = self._outgoing(config, None, None)
        self.resolver.change(None, self.current.ourselves)
        logins = Logins(reactor, replace, functools.partial(reactor.callFromThread, lambda text: warn([text])))
        creator = self._contexts.creator
        self._agent = DeliveryAgent(reactor, self.resolver, creator, events, logins=logins, at_work=at_work, dialogues=dialogues)
        self.scheduler = Scheduler(
            reactor,
            self.spool,
            self.current.router,
            self._agent,
            self.current.reporter,
            events,
            transport,
            fqdn=server.fqdn,
            at_work=at_work,
        )
        self.pressure = BackPressure(transport.back_pressure)
        self.safety_net = SafetyNet(reactor, self.spool, self.scheduler.submit, events, hold, self.is_held)
        submit = self.scheduler.submit
        self._pickup = Pickup(config, reactor, self.spool, events, submit, lambda path: make_directory(Path(path)), self.is_held)
        names = ("message_tracking_log_path", "receive_protocol_log_path", "send_protocol_log_path", "connectivity_log_path")
        logs = [getattr(transport, name) for name in names]
        watch = PressureWatch(reactor, self.pressure, self.spool.gauge, self.scheduler, self.spool.count, events, logs)
        self.names = self.resolver.names
        self.services: tuple[IService, ...] = (self._security, self._recipients, self._pickup, watch)

    # -- configurations --------------------------------------------------------------------------------------------------

    def make(self, config: Config) -> Outgoing:
        """What this half needs under another configuration.  Blocks; nothing uses it before L{use}.

        @raise Exception: what the rooms raise where files cannot be read or directories cannot be made.
        """
        lookups = self._recipients.make(config, self._prober(config))
        outgoing = self._outgoing(config, lookups, self.current)
        return attrs.evolve(outgoing, made=tuple(self._pickup.make(config)))

    def drop(self, outgoing: Outgoing) -> None:
        """It is not wanted after all.  Blocks."""
        for path in outgoing.made:
            with contextlib.suppress(OSError):
                os.rmdir(path)

    def use(self, outgoing: Outgoing) -> Callable[[], None]:
        """Send by this configuration from now on.

        @return: to be called when no session asks any more that began before.
        """
        former, self.current = self.current, outgoing
        config, servers = outgoing.config, outgoing.config.server.external_dns_servers
        hold = config.transport.safety_net_hold_time
        self.spool.keep_delivered, self.safety_net.hold_time = hold > 0, hold
        self.resolver.change(None if servers == former.config.server.external_dns_servers else servers, outgoing.ourselves)
        self._security.change(config)
        self._pickup.change(config)
        self.pressure.use(config.transport.back_pressure)
        self._schedule(outgoing)
        return self._recipients.use(outgoing.lookups) if outgoing.lookups is not None else _nothing

    def _outgoing(self, config: Config, lookups: Lookups | None, former: Outgoing | None) -> Outgoing:
        server, transport = config.server, config.transport
        secrets = srs_secrets(config, self._made)
        receiving = config.receive_connectors.items()
        links = {name: connector.linked_send_connector for name, connector in receiving if connector.linked_send_connector}
        objects = (list(config.accepted_domains.items()), list(config.send_connectors.items()))
        logged = transport.intra_org_connector_protocol_logging_level
        ways = (objects, links, server.fqdn, transport.max_per_domain_outbound_connections, logged, secrets)
        if former is not None and former.ways == ways:
            router = former.router
        else:
            router = Router(config, functools.partial(rewrite_of, config=config, secrets=secrets, clock=self._reactor.seconds))
        recipients = self._recipients.recipients if lookups is None else lookups.recipients
        acceptance = Acceptance(config, ReturnPaths(config, secrets, self._reactor.seconds), recipients)
        returns = ReportSettings.of(transport, config.system_messages, acceptance.is_internal, acceptance.resolve_recipient)
        reporter = Reporter(server.fqdn, server.postmaster, self.spool, self._reactor, returns)
        return Outgoing(config, ways, router, lookups, acceptance, reporter, Ourselves(config))

    def _prober(self, config: Config) -> MakeProber:
        """What asks the next hops of accepted domains about recipients."""
        return call_ahead(self._reactor, self.resolver, self._contexts.creator, config.server.fqdn)

    # -- running ---------------------------------------------------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """Send what waits in the spool, which is open.  Fires when TLS is ready, which nothing has to wait for."""
        self.scheduler.start(self.spool.blame.suspects)
        self.safety_net.start()
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._contexts.warm)

    def is_held(self) -> bool:
        """Whether nothing of our own accord is put into the queue now, since resources run short."""
        return self.pressure.paused

    def set_health(self, healthy: bool) -> None:
        """A sick spool stops delivery too: a success that cannot be recorded would be repeated."""
        if healthy:
            self.scheduler.resume()
        else:
            self.scheduler.pause()

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back: who waits for so many seconds waits for as many."""
        scheduler = self.scheduler
        for each in (self._agent, scheduler.limits, scheduler.probes, scheduler.queues, self._patience):
            each.wait_on(seconds)

    def _schedule(self, outgoing: Outgoing) -> None:
        self.scheduler.change(outgoing.router, self._patience.of(outgoing.config.transport), outgoing.reporter)

    async def stop(self, seconds: float) -> None:
        """Begin nothing more; what runs may end in that time."""
        self._patience.stop()
        self.safety_net.stop()
        await self.scheduler.stop(seconds)


def _nothing() -> None:
    """There is nothing to let go."""
