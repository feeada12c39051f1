"""Getting a connection for a route: addresses, TLS level, login.

Decides which address is tried next and what is worth a second try.  Hosts are tried in the resolver's order, the next one after
a connection, greeting, EHLO or TLS failure; the addresses of one host compete (L{Race}); after a refused login none, since trying a
password around locks accounts.  All of it has one time budget: no other address is begun when it is over, and no connection waited for.
Where TLS may be left out a failed handshake is followed by one try in clear text at the same address; else there is TLS or nothing, and
mail waits.  Where all failed the first 4xx is the answer, since one of them may come back.

Where a server has offered CHUNKING and refused BDAT, it gets none for a day (L{NoChunks}).

Mail with REQUIRETLS goes only to a server with a valid certificate for its name that offers REQUIRETLS; the name must be ours by
configuration or by a signed DNS answer.  Where no address has all that for good, the mail returns.

Sources: RFC 5321 section 5.1, RFC 3207 section 4.1, RFC 7435 (opportunistic security), RFC 8305, RFC 8689 section 4.2.1.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from twistedrelay.delivery.client import Connection
from twistedrelay.delivery.deadlines import Deadlines
from twistedrelay.delivery.fit import Fitter
from twistedrelay.delivery.gate import Gate
from twistedrelay.delivery.measures import Measures
from twistedrelay.delivery.nochunks import NoChunks
from twistedrelay.delivery.reach import Race, same_host
from twistedrelay.delivery.session import Dialogues, Facts, NoConnection, SessionFailed, own_reply, waiting
from twistedrelay.delivery.starts import Starts
from twistedrelay.delivery.tlslevel import NO_TLS, allows_clear_text, policy_at, starttls_of, tls_outcome, tls_result
from twistedrelay.interfaces import IEventSink, ILogins, IResolver, LoginError, ResolutionError
from twistedrelay.tls.pem import CertificateError
from twistedrelay.values.events import Connectivity, TLSResult
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Login, Route, Target, TLSPolicy
from twistedrelay.wire.client_values import Broken, ClientSettings, Credentials, Stage

ClientCreator = Callable[[TLSPolicy, str], IOpenSSLClientConnectionCreator]

#: More addresses than this are not tried in one run; the next run begins again.
MAX_TARGETS = 20

#: Seconds for all addresses of a run together.  A session that has begun keeps its own limits.
BUDGET = 120.0

#: Numbers of connections, never those of sessions with clients.
_session_ids = itertools.count((1 << 63) + (int(time.time() * 1_000_000) << 8))

_NO_TARGETS = Reply(451, "4.4.4", "No address of the next hop is known")


@attrs.frozen(slots=True, eq=False)
class _Way:
    """How to speak at one address; C{target} is None for a UNIX socket."""

    route: Route
    target: Target | None
    policy: TLSPolicy
    facts: Facts


class Connector:
    """Makes connections.

    @param reactor: provides IReactorTCP, IReactorUNIX, IReactorTime, and a thread pool where a login has to hash.
    @param gone: called for each connection that was ready and ends.
    @ivar measures: how long it all takes.
    @ivar deadlines: of its connections.
    @param dialogues: asked for each connection who wants to know what is said in it.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: IResolver,
        client_creator: ClientCreator,
        events: IEventSink,
        limits: Mapping[Stage, float],
        connect_timeout: float,
        fitter: Fitter,
        gone: Callable[[Connection], None],
        logins: ILogins,
        dialogues: Dialogues = lambda session, connector, remote: None,
    ) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._client_creator = client_creator
        self._events = events
        self._limits = limits
        self._connect_timeout = connect_timeout
        self._gone = gone
        self.deadlines = Deadlines(reactor)
        self._fitter = fitter
        self._logins = logins
        self._dialogues = dialogues
        self._gate = Gate()
        self._starts = Starts(reactor)
        self._no_chunks = NoChunks(reactor)
        self.measures = Measures()

    async def connect(self, route: Route) -> Connection:
        """A connection that is ready for work.  Raises L{NoConnection}."""
        if not self._starts.may_go():
            await self._starts.turn()
        if route.login is None:
            return await self._connect(route)
        return await self._gate.through(route.key, partial(self._connect, route))

    async def _connect(self, route: Route) -> Connection:
        targets = (await self._targets(route))[:MAX_TARGETS]
        credentials = await self._credentials(route, route.login) if route.login is not None else None
        until = self._reactor.seconds() + BUDGET
        replies: list[Reply] = []
        while targets and (not replies or self._reactor.seconds() < until):
            ways, target = [], targets[0]
            for target in same_host(targets):
                try:
                    ways.append(self._way(route, target, credentials, policy_at(route, target)))
                except NoConnection as error:
                    replies.append(error.reply)
                    targets.remove(target)
            if not ways:
                continue
            failures, way, connection = await self._reach(ways, until)
            for failed in failures:
                replies.append(failures[failed])
                targets.remove(failed)
            if way is None or connection is None:
                continue
            targets.remove(way.target)
            try:
                return await self._session(way, connection, credentials, until)
            except SessionFailed as error:
                broken = error.broken
                # REQUIRETLS is refused by us for good; a server that refuses the session may think better of it.
                replies.append(broken.reply if broken.own or not route.require_tls else waiting(broken.reply))
                if broken.stage is Stage.AUTH:
                    break
                if way.target is not None:
                    self._resolver.failed(way.target)
            except NoConnection as error:
                replies.append(error.reply)
        reply = next((reply for reply in replies if not reply.is_permanent), replies[0] if replies else _NO_TARGETS)
        raise NoConnection(reply if route.require_tls else waiting(reply))

    async def _targets(self, route: Route) -> list[Target | None]:
        """Addresses to try; None stands for the route's UNIX socket."""
        if route.path:
            return [None]
        try:
            return list(await self._resolver.targets(route))
        except ResolutionError as error:
            if not error.reply.is_permanent:  # else each recipient is told of
                self._tell(route, "", "failed", str(error.reply))
            raise NoConnection(error.reply) from error

    async def _credentials(self, route: Route, login: Login) -> Credentials:
        try:
            found: Credentials = await self._logins.credentials(login)
        except LoginError as error:
            self._tell(route, "", "failed", str(error.reply))
            raise NoConnection(error.reply) from error
        return found

    def _way(self, route: Route, target: Target | None, credentials: Credentials | None, policy: TLSPolicy) -> _Way:
        """How to speak there.  Raises L{NoConnection} where it cannot be done as it must."""
        require = route.require_tls and target is not None
        if require and target is not None and not target.proven:
            raise NoConnection(own_reply(550, "5.7.10", f"REQUIRETLS: no signed DNS answer says that {target.host} is the next hop"))
        secure = route.implicit_tls and target is not None
        lmtp = route.kind == "lmtp"
        remote = str(target) if target is not None else route.path
        place = f"[{target.address}]:{target.port}" if target is not None else route.path  # whatever name led to it
        chunking = route.chunking and place not in self._no_chunks
        settings = ClientSettings(
            route.helo, lmtp, starttls_of(policy), secure, credentials, require, route.force_helo and not lmtp, chunking
        )
        creator = None
        if target is not None and (secure or settings.starttls != "never"):
            if policy.level == "none":  # implicit TLS with nothing to prove
                policy = attrs.evolve(policy, level="may")
            try:
                creator = self._client_creator(policy, target.host)
            except CertificateError as error:
                reply = own_reply(454, "4.7.5", f"No TLS: {error}")
                self._tell(route, remote, "failed", str(reply))
                raise NoConnection(reply) from error
        messages = route.max_messages_per_connection or math.inf
        refused = partial(self._no_chunks.add, place)
        session = f"{next(_session_ids):016X}"
        facts = Facts(remote, settings, creator, messages, route.rewrite, self.measures, session, no_chunks=refused)
        return _Way(route, target, policy, facts)

    async def _reach(self, ways: list[_Way], until: float) -> tuple[dict[Target | None, Reply], _Way | None, Connection | None]:
        """The first of some addresses that answers, if one does, and why those do not that have failed."""
        race = Race(self._reactor, [partial(self._open, way, until) for way in ways])
        won: tuple[int, Connection] | None
        try:
            won = await race.finished
        except (CancelledError, ConnectingCancelledError) as error:  # no other address is wanted either
            raise CancelledError from error
        except Exception:  # each kind of endpoint has its own; all mean that nobody answers there
            won = None
        failures: dict[Target | None, Reply] = {}
        for index, failure in race.failures.items():
            way = ways[index]
            reply = failures[way.target] = own_reply(451, "4.4.1", f"Cannot connect to {way.facts.remote}: {failure.getErrorMessage()}")
            self._tell(way.route, way.facts.remote, "failed", str(reply), way.facts.session)
            if way.target is not None:
                self._resolver.failed(way.target)
        return (failures, ways[won[0]], won[1]) if won is not None else (failures, None, None)

    async def _session(self, way: _Way, connection: Connection, credentials: Credentials | None, until: float) -> Connection:
        """A session over a connection; once more with other credentials where those were refused and there are others."""
        login = way.route.login
        try:
            return await self._begin(way, connection, until)
        except SessionFailed as error:
            if login is None or not error.broken.refused or not self._logins.refused(login, credentials):
                raise
            refused = error.broken
        try:
            credentials = await self._credentials(way.route, login)
        except NoConnection as error:  # nor is any other address tried with those that were refused
            raise SessionFailed(attrs.evolve(refused, reply=error.reply)) from error
        again = self._way(way.route, way.target, credentials, way.policy)
        return await self._begin(again, await self._once_more(again, until), until)

    async def _begin(self, way: _Way, connection: Connection, until: float) -> Connection:
        """A session over a connection, in clear text over another one where TLS did not work and may be left out."""
        route = way.route
        try:
            return await self._established(way, connection)
        except SessionFailed as error:
            if error.broken.stage is not Stage.HANDSHAKE:
                raise
            if route.require_tls:
                reply = own_reply(550, "5.7.10", f"Encryption needed: {error.broken.reply.text}")
                raise SessionFailed(attrs.evolve(error.broken, reply=reply)) from error
            if route.implicit_tls or not allows_clear_text(way.policy):
                raise
        clear = self._way(route, way.target, way.facts.settings.credentials, NO_TLS)
        return await self._established(clear, await self._once_more(clear, until))

    async def _once_more(self, way: _Way, until: float) -> Connection:
        failures, _, connection = await self._reach([way], until)
        if connection is None:
            raise NoConnection(failures[way.target])
        return connection

    async def _established(self, way: _Way, connection: Connection) -> Connection:
        route, remote = way.route, way.facts.remote
        try:
            await connection.established
        except SessionFailed as error:
            self._tell(route, remote, "failed", f"{error.broken.stage.value}: {error.broken.reply}", way.facts.session)
            self._tell_tls(way, connection, error.broken)
            if error.broken.refused:
                self._gate.refused(route.key)
            raise
        except CancelledError:
            connection.abort()
            raise
        self._tell(route, remote, "connected", connection.tls or "clear text", way.facts.session)
        if route.login is not None:
            self._gate.up(route.key)
        self._tell_tls(way, connection, None)
        if way.target is not None:
            self._resolver.worked(way.target)
        return connection

    def _open(self, way: _Way, until: float) -> Deferred[Connection]:
        route, target, remote = way.route, way.target, way.facts.remote
        session = way.facts.session
        facts = attrs.evolve(way.facts, trace=self._dialogues(session, route.connector, remote))
        limits = {stage: min(limit, route.idle_timeout) for stage, limit in self._limits.items()}

        def gone(connection: Connection, why: str) -> None:
            if connection.was_ready:
                self._tell(route, remote, "closed", f"{connection.completed} messages, {why}", session)
                self._gate.down(route.key)
                self._gone(connection)

        factory: Factory = Factory.forProtocol(lambda: Connection(self._reactor, self.deadlines, limits, facts, self._fitter, gone))
        factory.noisy = False
        began = self._reactor.seconds()
        timeout = max(1.0, min(self._connect_timeout, until - began))

        def made(connection: Connection) -> Connection:
            self.measures.connects.observe(self._reactor.seconds() - began)
            return connection

        endpoint: Any
        if target is None:
            endpoint = UNIXClientEndpoint(self._reactor, route.path, timeout=timeout)
            return _told(endpoint.connect(factory), facts).addCallback(made)
        is_v6 = ":" in target.address
        source = next(((address, 0) for address in route.sources if (":" in address) == is_v6), None)
        kind: Any = TCP6ClientEndpoint if is_v6 else TCP4ClientEndpoint
        endpoint = kind(self._reactor, target.address, target.port, timeout=timeout, bindAddress=source)
        return _told(endpoint.connect(factory), facts).addCallback(made)

    def _tell_tls(self, way: _Way, connection: Connection, broken: Broken | None) -> None:
        if outcome := tls_outcome(connection, broken):
            self.measures.tls[way.policy.source, way.policy.level, outcome] += 1
        result: TLSResult | None = tls_result(way.target, way.policy, connection, broken)
        if result is not None:
            self._events.emit(result)

    def _tell(self, route: Route, remote: str, what: str, detail: str, session: str = "") -> None:
        self._events.emit(Connectivity(route.next_hop, remote, what, detail, route.connector, session))


def _told(connecting: Any, facts: Facts) -> Deferred[Connection]:
    """The same; whoever wants to know what is said in the connection is told that there is none."""
    trace = facts.trace
    if trace is not None:

        def failed(failure: Failure) -> Failure:
            trace("-", failure.getErrorMessage())
            return failure

        connecting.addErrback(failed)
    return cast("Deferred[Connection]", connecting)
