"""Getting a connection for a route: addresses, TLS level, login.

Decides which address is tried next and what is worth a second try.  Addresses are tried in the resolver's order, the next one after
a connection, greeting, EHLO or TLS failure; after a refused login none, since trying a password around locks accounts.  At TLS level
C{may} a failed handshake is followed by one try in clear text at the same address; at any other level there is TLS or nothing, and mail
waits.  Where all failed the first 4xx is the answer, since one of them may come back.

Mail with REQUIRETLS goes only to a server with a valid certificate for its name that offers REQUIRETLS; the name must be ours by
configuration or by a signed DNS answer.  Where no address has all that for good, the mail returns.

Sources: RFC 5321 section 5.1, RFC 3207 section 4.1, RFC 7435 (opportunistic security), RFC 8689 section 4.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool

from twistedrelay.delivery.client import Connection
from twistedrelay.delivery.deadlines import Deadlines
from twistedrelay.delivery.fit import Fitter
from twistedrelay.delivery.session import Facts, SessionFailed, own_reply, waiting
from twistedrelay.delivery.tlslevel import NO_TLS, allows_clear_text, policy_at, starttls_of, tls_result
from twistedrelay.interfaces import IEventSink, IResolver, ResolutionError
from twistedrelay.tls.pem import CertificateError
from twistedrelay.values.events import Connectivity, TLSResult
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Login, Route, Target, TLSPolicy
from twistedrelay.wire.client_values import ClientSettings, Credentials, Stage

ClientCreator = Callable[[TLSPolicy, str], IOpenSSLClientConnectionCreator]

#: More addresses than this are not tried in one run; the next run begins again.
MAX_TARGETS = 20

_NO_TARGETS = Reply(451, "4.4.4", "No address of the next hop is known")


class NoConnection(Exception):
    """There is no connection for a route; C{reply} says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def _password(path: str) -> str:
    """The first line of a password file.  Blocks."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readline().rstrip("\r\n")


class Connector:
    """Makes connections.

    @param reactor: provides IReactorTCP, IReactorUNIX, IReactorTime and the thread pool that reads password files.
    @param gone: called for each connection that was ready and ends.
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
    ) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._client_creator = client_creator
        self._events = events
        self._limits = limits
        self._connect_timeout = connect_timeout
        self._gone = gone
        self._deadlines = Deadlines(reactor)
        self._fitter = fitter

    async def connect(self, route: Route) -> Connection:
        """A connection that is ready for work.  Raises L{NoConnection}."""
        targets = await self._targets(route)
        credentials = await self._credentials(route.login) if route.login is not None else None
        replies: list[Reply] = []
        for target in targets[:MAX_TARGETS]:
            try:
                return await self._at(route, target, credentials)
            except SessionFailed as error:
                broken = error.broken
                # REQUIRETLS is refused by us for good; a server that refuses the session may think better of it.
                replies.append(broken.reply if broken.own or not route.require_tls else waiting(broken.reply))
                if broken.stage is Stage.AUTH:
                    break
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
            raise NoConnection(error.reply) from error

    async def _credentials(self, login: Login) -> Credentials:
        try:
            password = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _password, login.password_file)
        except OSError as error:
            text = f"Password file of the next hop cannot be read: {error.strerror}"
            raise NoConnection(own_reply(454, "4.7.0", text)) from error
        return Credentials(login.username, password, login.requires_tls)

    async def _at(self, route: Route, target: Target | None, credentials: Credentials | None) -> Connection:
        """A connection to one address; in clear text after TLS where the route allows it."""
        policy = policy_at(route, target)
        if route.require_tls and target is not None and not target.proven:
            raise NoConnection(own_reply(550, "5.7.10", f"REQUIRETLS: no signed DNS answer says that {target.host} is the next hop"))
        try:
            return await self._with(route, target, credentials, policy)
        except SessionFailed as error:
            if error.broken.stage is not Stage.HANDSHAKE:
                raise
            if route.require_tls:
                reply = own_reply(550, "5.7.10", f"Encryption needed: {error.broken.reply.text}")
                raise SessionFailed(attrs.evolve(error.broken, reply=reply)) from error
            if not allows_clear_text(policy):
                raise
        return await self._with(route, target, credentials, NO_TLS)

    async def _with(self, route: Route, target: Target | None, credentials: Credentials | None, policy: TLSPolicy) -> Connection:
        secure = route.implicit_tls and target is not None
        require = route.require_tls and target is not None
        settings = ClientSettings(route.helo, route.kind == "lmtp", starttls_of(policy), secure, credentials, require)
        wants_tls = secure or settings.starttls != "never"
        remote = str(target) if target is not None else route.path
        try:
            creator = self._client_creator(policy, target.host) if wants_tls and target is not None else None
        except CertificateError as error:
            reply = own_reply(454, "4.7.5", f"No TLS: {error}")
            self._tell(route, remote, "failed", str(reply))
            raise NoConnection(reply) from error
        facts = Facts(remote, settings, creator, route.max_messages_per_connection)

        def gone(connection: Connection, why: str) -> None:
            if connection.was_ready:
                self._tell(route, remote, "closed", f"{connection.completed} messages, {why}")
                self._gone(connection)

        factory: Factory = Factory.forProtocol(lambda: Connection(self._reactor, self._deadlines, self._limits, facts, self._fitter, gone))
        factory.noisy = False
        connection: Connection | None = None
        try:
            connection = await self._endpoint(route, target).connect(factory)
            assert connection is not None
            await connection.established
        except SessionFailed as error:
            self._tell(route, remote, "failed", f"{error.broken.stage.value}: {error.broken.reply}")
            self._tell_tls(tls_result(target, policy, connection, error.broken))
            raise
        except (CancelledError, ConnectingCancelledError) as error:  # no other address is wanted either
            if connection is not None:
                connection.abort()
            raise CancelledError from error
        except Exception as error:  # each kind of endpoint has its own; all mean that nobody answers there
            reply = own_reply(451, "4.4.1", f"Cannot connect to {remote}: {error}")
            self._tell(route, remote, "failed", str(reply))
            raise NoConnection(reply) from error
        self._tell(route, remote, "connected", connection.tls or "clear text")
        self._tell_tls(tls_result(target, policy, connection, None))
        return connection

    def _endpoint(self, route: Route, target: Target | None) -> Any:
        if target is None:
            unix: Any = UNIXClientEndpoint
            return unix(self._reactor, route.path, timeout=self._connect_timeout)
        kind = TCP6ClientEndpoint if ":" in target.address else TCP4ClientEndpoint
        return kind(self._reactor, target.address, target.port, timeout=self._connect_timeout)

    def _tell_tls(self, result: TLSResult | None) -> None:
        if result is not None:
            self._events.emit(result)

    def _tell(self, route: Route, remote: str, what: str, detail: str) -> None:
        self._events.emit(Connectivity(route.next_hop, remote, what, detail))
