"""The receiving half of a relay, put together: listeners, sessions, and what these ask.

Decides what lasts over changes of the configuration and what each of them has of its own.  All that counts or locks lasts (connections,
messages a minute, failed logins, octets in memory), so that nobody gets a fresh allowance by a change; what only follows from the
configuration is a L{Generation}, which sessions keep that began under it, and which is let go when the last of them is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.task import deferLater

from twistedrelay.answers.explain.live import Running
from twistedrelay.config.replace import stamp_of
from twistedrelay.config.schema import Config
from twistedrelay.config.users import UsersError, UsersFile
from twistedrelay.interfaces import ICertificates, IProtocolLog
from twistedrelay.net.buffers import Buffers
from twistedrelay.net.descriptors import Reserve, raise_limit
from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory, Reception
from twistedrelay.net.listening import Listeners, Opening
from twistedrelay.net.sessions import Sessions
from twistedrelay.net.transport import Turn
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.checkers import ChainingChecker, make_chain, portal_of
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.policy.lockout import Lockout
from twistedrelay.policy.mechanisms import mechanism_checkers
from twistedrelay.policy.passwords import ThreadedUsers
from twistedrelay.policy.realm import RelayRealm
from twistedrelay.policy.throttle import ConnectionCounts, ConnectionRate, MessageRates
from twistedrelay.sending import Sending
from twistedrelay.values.events import ServiceEvent


@attrs.frozen(eq=False)
class Accounts:
    """Who may log in, and who is asked about it.

    @ivar key: all that the checkers were made of.
    """

    file: UsersFile
    users: ThreadedUsers
    chain: ChainingChecker
    key: object


@attrs.frozen(eq=False)
class Generation:
    """What sessions have of one configuration.

    @ivar notices: what an administrator should know of it.
    """

    config: Config
    accounts: Accounts
    reception: Reception
    factories: tuple[ESMTPFactory, ...]
    notices: tuple[str, ...]


class Receiving:
    """See the module.

    @ivar current: what sessions have that begin now.
    @ivar sessions: all of them.
    @ivar listeners: all of them.
    @ivar accounts: those in use.
    @ivar counts: how many connections each connector has.
    @ivar buffers: what all sessions hold in memory.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        sending: Sending,
        events: EventSink,
        secret: bytes,
        counters: Counters,
        said: IProtocolLog,
    ) -> None:
        """
        @param secret: what the answers about names that do not exist are made of.
        @param counters: where replies are counted.
        @param said: who wants to know what is said in sessions.
        """
        self._counters = counters
        self._reactor = reactor
        self._sending = sending
        self._events = events
        self._secret = secret
        self._lockout = Lockout(reactor, config.server)
        self.counts = ConnectionCounts()
        self._rates = MessageRates(reactor)
        self._connection_rate = ConnectionRate()
        self.buffers = Buffers(config.server.max_buffered_size)
        self._said = said
        self.reserve = Reserve(reactor, lambda text: events.emit(ServiceEvent("error", text)))
        self.sessions = Sessions((), self.buffers)
        self.listeners = Listeners(Turn(reactor), self.reserve, reactor, lambda text: events.emit(ServiceEvent("error", text)))
        self.current: Generation
        self.accounts: Accounts | None = None
        self._advice = ""  # what was said of the limit of open files
        self._first: tuple[ESMTPFactory, ...] = ()

    # -- generations -----------------------------------------------------------------------------------------------------

    def make(self, config: Config, acceptance: Acceptance, certificates: ICertificates) -> Generation:
        """What sessions need under a configuration.  Blocks; nothing uses it before L{use}.

        @raise ValueError: the credential checkers cannot be had.
        """
        accounts, notices = self._accounts(config)
        reception = Reception(
            hostname=config.server.fqdn,
            clock=self._reactor,
            portal=portal_of(accounts.chain, RelayRealm(config)),
            users=accounts.users,
            lockout=self._lockout,
            acceptance=acceptance,
            counts=self.counts,
            rates=self._rates,
            certificates=certificates,
            spool=self._sending.spool,
            events=self._events,
            buffers=self.buffers,
            submit=self._sending.scheduler.submit,
            protocol_log=self._said,
            pressure=self._sending.pressure,
            connection_rate=self._connection_rate,
        )
        table = ConnectorTable(config)
        sites = {
            name: ConnectorFactory(name, connector, self._counters.replies(name)) for name, connector in config.receive_connectors.items()
        }
        factories = tuple(ESMTPFactory(binding, table, sites, reception) for binding in table.bindings)
        return Generation(config, accounts, reception, factories, tuple(notices))

    def begin(self, generation: Generation) -> None:
        """The first one: nobody listens yet."""
        self._take(generation)
        self.sessions.change(generation.factories, lambda: None)
        self._first = generation.factories

    def open(self) -> None:
        """Listen.

        @raise ListenError: an address cannot be had; nothing listens then.
        """
        self.listeners.prepare(self._first).commit()

    def use(self, generation: Generation, opening: Opening, released: Callable[[], None]) -> None:
        """Sessions that begin from now on are of this generation.

        @param released: called when no session is left that began before.
        """
        accounts, former = generation.accounts, self.accounts
        self._take(generation)

        def over() -> None:
            released()
            _let_go(former, accounts)

        self.sessions.change(generation.factories, over)
        opening.commit()

    def _take(self, generation: Generation) -> None:
        """What lasts, as this generation has it."""
        config = generation.config
        room, advice = raise_limit(config.server.max_connections, config.transport.max_outbound_connections)
        if advice and advice != self._advice:
            self._events.emit(ServiceEvent("warn", advice))
        self._advice = advice
        self.counts.max_connections = room
        self._connection_rate.limit = config.transport.max_connection_rate_per_minute
        self._lockout.change(config.server)
        self.buffers.change(config.server.max_buffered_size)
        self.current, self.accounts = generation, generation.accounts

    def running(self) -> Running:
        """What sessions and their mail have now, for explanations."""
        current, sending = self.current, self._sending
        return Running(config=current.config, reception=current.reception, router=sending.current.router, resolver=sending.resolver)

    def _accounts(self, config: Config) -> tuple[Accounts, list[str]]:
        """Who may log in: the same as before, where nothing of it has changed."""
        former, notices = self.accounts, []
        same = former is not None and former.file.path == config.users
        if former is not None and same:
            file, users = former.file, former.users
        else:
            file = UsersFile(config.users, report=self._report, secret=self._secret)
            users = ThreadedUsers(self._reactor, file)
            try:
                file.load()
            except UsersError as error:
                notices.append(f"nobody can log in: {error}")
        offered = {mechanism for connector in config.receive_connectors.values() for mechanism in connector.auth_mechanism}
        described = [(description, _stamp(description)) for description in config.credential_checkers]
        key = (config.users, described, config.oauth_providers, offered & {"External", "XOAuth2"}, config.accepted_domains)
        if former is not None and former.key == key:
            return former, notices
        chain = make_chain(config, users, mechanism_checkers(config, users, self._reactor), clock=self._reactor)
        return Accounts(file, users, chain, key), notices

    def _report(self, text: str) -> None:
        """From any thread."""
        self._reactor.callFromThread(self._events.emit, ServiceEvent("warn", text))

    # -- the end ---------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Let nobody in any more; sessions end, those with a message on its way after it."""
        await self.listeners.stop()
        self.reserve.release()
        self.sessions.drain()

    async def end_sessions(self, deadline: float) -> None:
        """Let sessions end until a time, then cut them off."""
        while self.sessions.count() and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, 0.05)
        self.sessions.abort()

    def end_checks(self) -> None:
        """Nobody logs in any more."""
        if self.accounts is not None:
            self.accounts.users.stop()


def _let_go(former: Accounts | None, current: Accounts) -> None:
    """The last session is over that could ask these.  Who is asked now goes on."""
    if former is None or former is current:
        return
    former.chain.stop()
    if former.users is not current.users:
        former.users.retire()


def _stamp(description: str) -> object:
    """What tells whether the file changed that a credential checker is described by, if any."""
    try:
        return stamp_of(description.partition(":")[2].partition(":")[0])
    except OSError:
        return None
