"""How a session begins: which receive connector takes the peer, whether there is room for it, who it is, and the banner.

It begins once for the socket's ends (or those that a load balancer told), and again where a trusted host says by XCLIENT for whom it
speaks.  A health probe is neither logged nor counted as long as it says no more than a probe does.

Sources: Set-ReceiveConnector (limits); RFC 3207 (STARTTLS), RFC 8314 (implicit TLS).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IRelaySession
from twistedrelay.net.conversation import LINGER, Conversation, Handlers
from twistedrelay.net.ends import Ends
from twistedrelay.policy.credentials import RemoteHost
from twistedrelay.policy.realm import RelaySession, SessionFacts
from twistedrelay.tls.contexts import ServerCreator
from twistedrelay.tls.pem import CertificateError
from twistedrelay.tls.serverside import reason_text
from twistedrelay.values import events
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire import events as wire
from twistedrelay.wire.settings import ServerSettings

if TYPE_CHECKING:
    from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory

#: What a health probe may say (besides NOOP and RSET, which the engine answers).
PROBING = frozenset((wire.Hello, wire.StartTLS, wire.Reset, wire.Quit))

#: Which key made a handshake fail, by what OpenSSL says.
_TLS_KEYS = {
    "unsupported protocol": "tls_minimum_version",
    "no shared cipher": "tls_cipher_profile",
    "peer did not return a certificate": "domain_secure_enabled",
}

_session_ids = itertools.count(int(time.time() * 1_000_000) << 8)


@implementer(IHandshakeListener)
class Arrival(Conversation):
    """See the module."""

    __slots__ = ("_counted", "_handshake_seconds", "_headless", "_renewed", "ends", "started")

    ends: Ends
    started: float

    def __init__(self, binding: ESMTPFactory) -> None:
        super().__init__(binding)
        self._headless = False  # a health probe from where a PROXY header has to come
        self._counted = False  # among the connector's connections
        self._renewed = False  # by XCLIENT, to which the banner is the answer
        self._handshake_seconds = 0.0  # when it began; then how long it took

    # -- connect ---------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The peer speaks for itself."""
        self._arrive(Ends.of(self.transport))

    def arrive(self, transport: Any, ends: Ends, headless: bool) -> None:
        """A load balancer's connection becomes this session's.

        @param headless: it had no PROXY header, which only a health probe may do.
        """
        self.transport = transport
        self.connected = 1
        self._headless = headless
        self._arrive(ends)

    def _arrive(self, ends: Ends) -> None:
        relay = self.relay
        now = relay.clock.seconds()
        self.session = f"{next(_session_ids):016X}"
        self.peer_text = ends.peer_text
        self.deadline = now + LINGER
        self.binding.sessions.add(self)
        if not relay.counts.enter():
            self._turn_away("", "server.max_connections", replies.TOO_MANY_CONNECTIONS)
            return
        self._quiet = self._headless or self.binding.is_probe(ends.peer)
        rate = relay.connection_rate
        if rate.limit is not None and not self._quiet and not rate.admit(now):
            self._turn_away("", "max_connection_rate_per_minute", replies.CONNECTION_RATE_EXCEEDED)
            return
        site = self._find_site(ends)
        if site is None:
            return
        if self._quiet:
            self._handlers = self._probe_handlers()
        self._take(site, ends)
        self._peers_turn()
        self.engine = relay.engine(self._settings(site.is_trusted(ends.peer)), self.session, self._quiet)
        self.transport.registerProducer(self, True)
        self._log_in()

    def wait_on(self, seconds: float) -> None:
        """See L{Conversation.wait_on}."""
        super().wait_on(seconds)
        if self._ready:
            self.started += seconds
            self._idle += seconds
            self._absolute += seconds
            self._ceiling += seconds
            if self._pace is not None:
                self._pace.wait_on(seconds)

    def _find_site(self, ends: Ends) -> ConnectorFactory | None:
        """The connector for these ends, which let the peer in; or it was turned away."""
        site: ConnectorFactory | None = self.binding.choose(ends.local, ends.peer)
        if site is None:
            self._turn_away("", "no receive connector for this address", replies.SERVICE_NOT_AVAILABLE)
            return None
        limit = None if self._quiet else self.relay.counts.admit(site.name, site.connector, ends.peer)
        if limit is not None:
            self._turn_away(site.name, limit, replies.TOO_MANY_CONNECTIONS)
            return None
        self._counted = not self._quiet
        return site

    def _take(self, site: ConnectorFactory, ends: Ends) -> None:
        """The session belongs to this connector, and has these ends."""
        self.started = self.relay.clock.seconds()
        self.site = site
        self.ends = ends
        self.peer_text = ends.peer_text
        self.facts = SessionFacts(
            session=self.session,
            connector_name=site.name,
            connector=site.connector,
            peer=ends.peer,
            peer_port=ends.peer_port,
            local=ends.local,
            local_port=ends.local_port,
            proxy=ends.proxy,
        )
        self._idle_limit = site.connector.connection_inactivity_timeout
        self._absolute = self._ceiling = self.started + site.connector.connection_timeout
        self._ready = True
        self._emit(events.Connected, ends.local_text, ends.proxy)

    def _settings(self, xclient: bool) -> ServerSettings:
        """The engine's, for this peer."""
        settings = self.site.settings(self.facts.peer_text, self.started)
        return attrs.evolve(settings, xclient=True) if xclient else settings

    def _log_in(self) -> None:
        """Every session has an avatar, that of its connector's anonymous peers to begin with."""
        self._waiting = True
        login = self.relay.portal.login(RemoteHost(self.facts.peer), self.facts, IRelaySession)
        login.addCallbacks(self._connected, self._no_anonymous)
        login.addErrback(self._failed)

    def _connected(self, login: tuple[Any, RelaySession, Callable[[], None]]) -> None:
        """The session has its anonymous avatar: say the banner, behind the handshake where TLS is implicit."""
        if self._disconnected or self._closing:
            login[2]()
            return
        self._take_avatar(login)
        self._waiting = False
        if self._tls_started or not self.site.connector.implicit_tls:
            self._say_banner()
            return
        try:  # the banner waits for the handshake
            self._start_tls(self._server_creator())
        except CertificateError as error:
            self._emit(events.TLSFailed, str(error))
            self._close("no certificate")

    def _say_banner(self) -> None:
        banner = self.site.banner(self.relay.clock.seconds())
        if self._renewed:  # it answers XCLIENT, and the engine begins anew
            self._renewed = False
            self.engine.respond(banner)
        else:
            self.engine.greet(banner)
        if not self._pumping:
            self._pump()  # a client may have spoken first

    def _no_anonymous(self, failure: Failure) -> None:
        """The portal did not know what to make of the peer: our own fault, whatever it was."""
        self.log.failure("no avatar for {peer}", failure, peer=self.peer_text)
        self._goodbye(replies.SERVICE_NOT_AVAILABLE, "no avatar")

    def _take_avatar(self, login: tuple[Any, RelaySession, Callable[[], None]]) -> None:
        """The rights of the new avatar replace those of the old one."""
        if self._logout is not None:
            self._logout()
        _, self.avatar, self._logout = login
        limit = self.relay.acceptance.size_limit(self.avatar, self.site.connector)
        if limit != self.engine.settings.max_message_size:
            self.engine.settings = attrs.evolve(self.engine.settings, max_message_size=limit)
        self._emit(events.PermissionsSet, self.avatar.principal, self.avatar.rights.labels())

    def _turn_away(self, connector: str, limit: str, reply: Reply) -> None:
        """Refuse a connection before the banner, or the peer that a session turned out to have."""
        self.relay.events.emit(events.ConnectionRefused(self.session, connector, self.peer_text, limit, reply))
        if self._ready:
            self._goodbye(reply, limit)
            return
        self._closing = True
        if not self.binding.implicit_tls:  # a client that speaks TLS first could not read it
            self.transport.write(reply.wire)
        self.transport.loseConnection()

    # -- health probes ---------------------------------------------------------------------------------------------------

    @classmethod
    def _probe_handlers(cls) -> Handlers:
        """Those of a session that is not logged yet."""
        return {kind: handler if kind in PROBING else cls._speaks for kind, handler in cls.handlers.items()}

    def _speaks(self, event: Any) -> None:
        """A health probe that says more than a probe does is an ordinary session from now on."""
        if self._quiet and not self._reveal():
            return
        self.handlers[type(event)](self, event)

    def _reveal(self) -> bool:
        """Count and log this session after all; False where it may not be."""
        if self._headless:
            refused = events.ConnectionRefused(self.session, "", self.peer_text, "proxy_protocol_from (no header)", replies.SILENCE)
            self.relay.events.emit(refused)
            self._closing = True
            self.abort()
            return False
        limit = self.relay.counts.admit(self.site.name, self.site.connector, self.facts.peer)
        if limit is not None:
            self._turn_away(self.site.name, limit, replies.TOO_MANY_CONNECTIONS)
            return False
        self._quiet = False
        self._counted = True
        self._handlers = self.handlers
        self._emit(events.Connected, self.ends.local_text, self.ends.proxy)
        if self.facts.tls_version:
            self._emit(events.TLSStarted, self.facts.tls_version, self.facts.tls_cipher, self._handshake_seconds)
        self._emit(events.PermissionsSet, self.avatar.principal, self.avatar.rights.labels())
        return True

    # -- XCLIENT ---------------------------------------------------------------------------------------------------------

    def _become(self, ends: Ends) -> None:
        """The peer speaks for another one: everything begins anew for that one, but TLS, which is the peer's own."""
        old, was_counted = self.facts, self._counted
        site = self._find_site(ends)
        if site is None:
            return
        self._emit(events.Disconnected, "XCLIENT", self._messages, self.relay.clock.seconds() - self.started, self.facts.helo)
        if was_counted:
            self.relay.counts.release(old.connector_name, old.peer)
        self._messages = self._errors = self._failed_logons = 0
        self._renewed = True
        self._take(site, ends)
        self.facts.tls_version, self.facts.tls_cipher = old.tls_version, old.tls_cipher
        settings = self._settings(xclient=False)
        mechanisms = tuple(name for name in settings.auth_mechanisms if name != "EXTERNAL")  # the certificate is not this client's
        self.engine.settings = attrs.evolve(settings, auth_mechanisms=mechanisms)
        self._log_in()

    # -- TLS -------------------------------------------------------------------------------------------------------------

    def _server_creator(self) -> ServerCreator:
        """What TLS is made with.  L{CertificateError} where the connector has no certificate now."""
        return ServerCreator(self.relay.certificates.server_context(self.site.connector))

    def _start_tls(self, creator: ServerCreator) -> None:
        """Begin the handshake."""
        self._tls_started = True
        self._handshake_seconds = self.relay.clock.seconds()
        self.transport.startTLS(creator)
        self._unread = False  # the TLS layer tells anew

    def handshakeCompleted(self) -> None:
        """The TLS layer: remember what was agreed on."""
        connection = self.transport.getHandle()
        self.facts.tls_version = connection.get_protocol_version_name()
        self.facts.tls_cipher = connection.get_cipher_name() or ""
        self._handshake_seconds = self.relay.clock.seconds() - self._handshake_seconds
        self._emit(events.TLSStarted, self.facts.tls_version, self.facts.tls_cipher, self._handshake_seconds)
        if self.site.connector.implicit_tls:
            self._say_banner()

    # -- for all parts of a session -------------------------------------------------------------------------------------------

    def _emit(self, kind: type[events.SessionEvent], *arguments: Any) -> None:
        if self._quiet:
            return
        self.relay.events.emit(kind(self.session, self.site.name, self.peer_text, *arguments))

    def _drop_transaction(self) -> None:
        if self.transaction is not None:
            self.transaction.abort()
            self.transaction = None

    # -- disconnect ------------------------------------------------------------------------------------------------------

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The session is over; a message whose commit is under way stays accepted."""
        self._disconnected = True
        self.binding.sessions.discard(self)
        self.relay.counts.leave()
        if not self._ready:
            return
        if self._counted:
            self.relay.counts.release(self.site.name, self.facts.peer)
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        self._drop_transaction()
        self._forget_buffered()
        if self._logout is not None:
            self._logout()
            self._logout = None
        if self.facts.tls_version == "" and self._tls_started:
            self._emit(events.TLSFailed, _why_no_tls(reason))
        seconds = self.relay.clock.seconds() - self.started
        self._emit(events.Disconnected, self._reason, self._messages, seconds, self.facts.helo)


def _why_no_tls(reason: Failure) -> str:
    """What OpenSSL says of a handshake that failed, and the key to look at."""
    text = reason.getErrorMessage() if reason.value is None else reason_text(reason.value)
    key = _TLS_KEYS.get(text)
    return f"{text} ({key})" if key else text
