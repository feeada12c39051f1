"""The connection of an SMTP session: connect, bytes in and out, time, TLS.

It carries octets to the sans-I/O engine and its events to the handlers of C{net.esmtp}, one at a time and never two at once.  It knows
no SMTP command.

Sources: Set-ReceiveConnector (limits, time-outs); RFC 3207 (STARTTLS), RFC 8314 (implicit TLS).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IRelaySession
from twistedrelay.net.intake import Transaction
from twistedrelay.policy.credentials import RemoteHost
from twistedrelay.policy.realm import RelaySession, SessionFacts
from twistedrelay.tls.contexts import ServerCreator
from twistedrelay.tls.pem import CertificateError
from twistedrelay.values import events
from twistedrelay.values import reply as replies
from twistedrelay.values.netrange import parse_ip
from twistedrelay.values.printable import host_port
from twistedrelay.values.reply import Reply
from twistedrelay.wire.server import SMTPServer

if TYPE_CHECKING:
    from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory

#: Received octets that may wait for the engine (pipelined commands behind a pending decision) before the session stops reading.
INPUT_BACKLOG = 128 * 1024

#: Seconds that a peer has to read our last words.
LINGER = 10.0

_session_ids = itertools.count(int(time.time() * 1_000_000) << 8)


@implementer(IHandshakeListener, IPushProducer)
class Conversation(Protocol):
    """The connection side of a session; L{ESMTP<twistedrelay.net.esmtp.ESMTP>} adds what the commands do.

    @ivar deadline: when L{deadline_passed} wants to be called.
    @ivar site: the receive connector's factory, once it is chosen.
    """

    log: ClassVar[Logger] = Logger()

    site: ConnectorFactory
    engine: SMTPServer
    facts: SessionFacts
    avatar: RelaySession
    handlers: ClassVar[dict[type, Callable[[Any, Any], None]]]
    transport: Any  # a TCP transport: more than ITransport

    def __init__(self, binding: ESMTPFactory) -> None:
        self.binding = binding
        self.relay = binding.relay
        self.deadline = float("inf")
        self.transaction: Transaction | None = None
        self._ready = False  # a connector was chosen and its limits let the peer in
        self._disconnected = False
        self._closing = False
        self._draining = False
        self._pumping = False
        self._held = False  # content waits for the disk
        self._unread = False  # the peer does not read our replies
        self._paused = False
        self._waiting = False  # for our own answer: the peer's time does not run
        self._storing = False  # for the spool, which has a whole message of the peer
        self._delayed: Any = None
        self._logout: Callable[[], None] | None = None
        self._reason = "connection lost"
        self._errors = 0
        self._failed_logons = 0
        self._messages = 0
        self._tls_started = False

    # -- connect and disconnect ------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Find the connector, let it judge the peer, greet."""
        peer, host = self.transport.getPeer(), self.transport.getHost()
        now = self.relay.clock.seconds()
        self.started = now
        self.session = f"{next(_session_ids):016X}"
        self.peer_text = host_port(peer.host, peer.port)
        address = parse_ip(peer.host)
        local = parse_ip(host.host)
        site = self.binding.choose(local, address)
        self.deadline = now + LINGER
        self.binding.sessions.add(self)
        if site is None:
            self._turn_away("", "no receive connector for this address", replies.SERVICE_NOT_AVAILABLE)
            return
        self.site = site
        self.facts = SessionFacts(
            session=self.session,
            connector_name=site.name,
            connector=site.connector,
            peer=address,
            peer_port=peer.port,
            local=local,
            local_port=host.port,
        )
        limit = self.relay.counts.admit(site.name, address)
        if limit is not None:
            self._turn_away(site.name, limit, replies.TOO_MANY_CONNECTIONS)
            return
        self._ready = True
        self._idle_limit = site.connector.connection_inactivity_timeout
        self._absolute = now + site.connector.connection_timeout
        self.deadline = min(self._absolute, now + self._idle_limit)
        self.relay.events.emit(events.Connected(self.session, site.name, self.peer_text, host_port(host.host, host.port)))
        self.engine = SMTPServer(site.settings(str(address)))
        self.transport.registerProducer(self, True)
        self._waiting = True
        login = self.relay.portal.login(RemoteHost(address), self.facts, IRelaySession)
        login.addCallbacks(self._connected, self._no_anonymous)
        login.addErrback(self._failed)

    def _connected(self, login: tuple[Any, RelaySession, Callable[[], None]]) -> None:
        """The session has its anonymous avatar: say the banner, behind the handshake where TLS is implicit."""
        if self._disconnected or self._closing:
            login[2]()
            return
        self._take_avatar(login)
        self._waiting = False
        if not self.site.connector.implicit_tls:
            self._say_banner()
            return
        try:  # the banner waits for the handshake
            self._start_tls(self._server_creator())
        except CertificateError as error:
            self._emit(events.TLSFailed, str(error))
            self._close("no certificate")

    def _say_banner(self) -> None:
        self.engine.greet(self.site.banner(self.relay.clock.seconds()))
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
        """Refuse a connection before the banner."""
        self.relay.events.emit(events.ConnectionRefused(self.session, connector, self.peer_text, limit, reply))
        self._closing = True
        if not self.binding.implicit_tls:  # a client that speaks TLS first could not read it
            self.transport.write(reply.wire)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The session is over; a message whose commit is under way stays accepted."""
        self._disconnected = True
        self.binding.sessions.discard(self)
        if not self._ready:
            return
        self.relay.counts.release(self.site.name, self.facts.peer)
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        self._drop_transaction()
        if self._logout is not None:
            self._logout()
            self._logout = None
        if self.facts.tls_version == "" and self._tls_started:
            self._emit(events.TLSFailed, reason.getErrorMessage())
        seconds = self.relay.clock.seconds() - self.started
        self._emit(events.Disconnected, self._reason, self._messages, seconds)

    def _goodbye(self, reply: Reply, reason: str) -> None:
        """Say something unasked (421), then close."""
        if self._closing or self._disconnected:
            return
        if self._tls_started and not self.facts.tls_version:  # in the handshake nobody can hear it
            self._closing = True
            self._reason = reason
            self.abort()
            return
        self._flush()
        self.transport.write(reply.wire)
        self._close(reason)

    def _close(self, reason: str) -> None:
        """Close once all that was said is sent, or after L{LINGER} seconds."""
        if self._closing or self._disconnected:
            return
        self._closing = True
        self._reason = reason
        self.deadline = self.relay.clock.seconds() + LINGER
        self.transport.unregisterProducer()
        if self._paused:  # under TLS the connection ends when the peer's answer to our close is read
            self.transport.resumeProducing()
        self.transport.loseConnection()

    # -- time ------------------------------------------------------------------------------------------------------------

    def _peers_turn(self) -> None:
        """The peer's time begins anew."""
        idle = self.relay.clock.seconds() + self._idle_limit
        self.deadline = idle if idle < self._absolute else self._absolute

    def deadline_passed(self, now: float) -> None:
        """Idle for too long, connected for too long, or not reading our last words."""
        if self._closing:
            self.transport.abortConnection()
        elif self._waiting or self._held:  # the time that we take is not the peer's
            self.deadline = now + 1.0
        else:
            limit = "connection_timeout" if now >= self._absolute else "connection_inactivity_timeout"
            self._goodbye(replies.TIMED_OUT, limit)

    def drain(self) -> None:
        """The relay stops: end now, or after the message that is arriving."""
        self._draining = True
        in_content = self._storing or (self.transaction is not None and self.transaction.content is not None)
        if self._ready and not in_content:
            self._goodbye(replies.SERVICE_NOT_AVAILABLE, "shutdown")

    def abort(self) -> None:
        """The relay has no more time."""
        self.transport.abortConnection()

    # -- bytes -----------------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Octets of the peer."""
        if self._closing:
            return
        self._peers_turn()
        self.engine.receive_data(data)
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        """Carry events to their handlers until one of them has to wait."""
        engine = self.engine
        self._pumping = True
        try:
            while not self._held and not self._unread and not self._closing:
                event = engine.next_event()
                if event is not None:
                    self.handlers[type(event)](self, event)
                elif engine.congested:
                    self._flush()
                else:
                    break
        except Exception:
            self._failed(Failure())
        finally:
            self._pumping = False
        self._flush()
        if engine.closing and not self._closing:
            self._close(self._reason if self._reason != "connection lost" else "protocol violation")
        elif (self._held or self._unread or engine.buffered > INPUT_BACKLOG) is not self._paused:
            self._pause(not self._paused)

    def _failed(self, failure: Failure) -> None:
        """A defect of ours ends its session, and no other."""
        self.log.failure("session {session} of {peer} failed", failure, session=self.session, peer=self.peer_text)
        self._goodbye(replies.INTERNAL_ERROR, "internal error")

    def _flush(self) -> None:
        """Send what the engine has to say, in one piece."""
        data = self.engine.data_to_send()
        if data and not self._closing:
            self.transport.write(data)

    def _pause(self, paused: bool) -> None:
        """Stop or go on reading the socket."""
        if self._closing or self._disconnected:
            return
        self._paused = paused
        if paused:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        """The transport: the peer does not read our replies, so we do not read its commands."""
        self._unread = True
        if not self._paused:
            self._pause(True)

    def resumeProducing(self) -> None:
        """The transport: it does again."""
        self._unread = False
        if not self._pumping and not self._disconnected:
            self._pump()

    def stopProducing(self) -> None:
        """The transport: it is gone; L{connectionLost} follows."""

    def _emit(self, kind: type[events.SessionEvent], *arguments: Any) -> None:
        self.relay.events.emit(kind(self.session, self.site.name, self.peer_text, *arguments))

    def _drop_transaction(self) -> None:
        if self.transaction is not None:
            self.transaction.abort()
            self.transaction = None

    # -- TLS -------------------------------------------------------------------------------------------------------------

    def _server_creator(self) -> ServerCreator:
        """What TLS is made with.  L{CertificateError} where the connector has no certificate now."""
        return ServerCreator(self.relay.certificates.server_context(self.site.connector))

    def _start_tls(self, creator: ServerCreator) -> None:
        """Begin the handshake."""
        self._tls_started = True
        self.transport.startTLS(creator)
        self._unread = False  # the TLS layer tells anew

    def handshakeCompleted(self) -> None:
        """The TLS layer: remember what was agreed on."""
        connection = self.transport.getHandle()
        self.facts.tls_version = connection.get_protocol_version_name()
        self.facts.tls_cipher = connection.get_cipher_name() or ""
        self._emit(events.TLSStarted, self.facts.tls_version, self.facts.tls_cipher)
        if self.site.connector.implicit_tls:
            self._say_banner()
