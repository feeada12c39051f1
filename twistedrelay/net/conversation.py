"""The conversation of an SMTP session: bytes in and out, time, and what is held in memory.

It carries octets to the sans-I/O engine and its events to the handlers of C{net.esmtp}, one at a time and never two at once.  It knows
no SMTP command, and nothing of how a session begins (C{net.arrival}).

Source: Set-ReceiveConnector (ConnectionTimeout, ConnectionInactivityTimeout).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.net.buffers import FEW
from twistedrelay.net.intake import FEW_RECIPIENTS, Transaction
from twistedrelay.net.pace import Pace
from twistedrelay.policy.realm import RelaySession, SessionFacts
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.server import SMTPServer

if TYPE_CHECKING:
    from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory

#: Received octets that may wait for the engine (pipelined commands behind a pending decision) before the session stops reading.
INPUT_BACKLOG = 128 * 1024

#: Seconds that a peer has to read our last words.
LINGER = 10.0
SHORT_LINGER = 2.0  # while the relay stops

Handlers = Mapping[type, Callable[[Any, Any], None]]  #: what an event of the engine calls for


@implementer(IPushProducer)
class Conversation(Protocol):
    """The flow of a session; L{twistedrelay.net.arrival.Arrival} adds how it begins, L{twistedrelay.net.esmtp.ESMTP} what the commands do.

    @ivar deadline: when L{deadline_passed} wants to be called.
    @ivar site: the receive connector's factory, once it is chosen.
    """

    __slots__ = (
        "_absolute",
        "_buffered",
        "_buffers",
        "_ceiling",
        "_closing",
        "_delayed",
        "_disconnected",
        "_draining",
        "_errors",
        "_failed_logons",
        "_handlers",
        "_held",
        "_idle",
        "_idle_limit",
        "_logout",
        "_messages",
        "_pace",
        "_paused",
        "_pumping",
        "_quiet",
        "_ready",
        "_reason",
        "_received",
        "_storing",
        "_tls_started",
        "_unparsed",
        "_unread",
        "_waiting",
        "avatar",
        "binding",
        "deadline",
        "engine",
        "facts",
        "peer_text",
        "relay",
        "session",
        "site",
        "transaction",
    )

    log: ClassVar[Logger] = Logger()

    session: str
    site: ConnectorFactory
    engine: SMTPServer
    facts: SessionFacts
    avatar: RelaySession
    peer_text: str
    _idle: float  # when the peer has been silent for too long
    _idle_limit: float
    _absolute: float  # when the connection is too old
    _ceiling: float  # the same, or when the pace of a message is to be looked at
    handlers: ClassVar[Handlers]
    transport: Any  # a TCP transport: more than ITransport

    def __init__(self, binding: ESMTPFactory) -> None:
        self.binding = binding
        self.relay = binding.relay
        self.deadline = float("inf")
        self.transaction: Transaction | None = None
        self._handlers: Handlers = self.handlers
        self._buffers = binding.relay.buffers
        self._ready = False  # a connector was chosen and its limits let the peer in
        self._quiet = False  # a health probe, which is not logged
        self._disconnected = False
        self._closing = False
        self._draining = ""  # why the session ends as soon as it may
        self._pumping = False
        self._held = False  # content waits for the disk
        self._unread = False  # the peer does not read our replies
        self._paused = False
        self._waiting = False  # for our own answer: the peer's time does not run
        self._storing = 0  # octets of a whole message of the peer, which the spool has
        self._received = 0  # octets in all
        self._unparsed = 0  # octets that the engine could not use yet
        self._buffered = 0  # octets held in all, as the sum of all sessions has them
        self._pace: Pace | None = None  # while a message arrives
        self._delayed: Any = None
        self._logout: Callable[[], None] | None = None
        self._reason = "connection lost"
        self._errors = 0
        self._failed_logons = 0
        self._messages = 0
        self._tls_started = False

    # -- the end ---------------------------------------------------------------------------------------------------------

    def _goodbye(self, reply: Reply, reason: str) -> None:
        """Say something unasked (421), then close."""
        if self._closing or self._disconnected:
            return
        if self._tls_started and not self.facts.tls_version:  # in the handshake nobody can hear it
            self._closing = True
            self._reason = reason
            self.abort()
            return
        self.engine.dismiss(reply)
        self._flush()
        self._close(reason)

    def _close(self, reason: str) -> None:
        """Close once all that was said is sent, or after L{LINGER} seconds."""
        if self._closing or self._disconnected:
            return
        self._closing = True
        self._reason = reason
        self.deadline = self.relay.clock.seconds() + (SHORT_LINGER if self._draining else LINGER)
        self.transport.unregisterProducer()
        if self._paused:  # under TLS the connection ends when the peer's answer to our close is read
            self.transport.resumeProducing()
        if self._is_peer_sending():
            self.transport.lingering_close()
        else:
            self.transport.loseConnection()

    def _is_peer_sending(self) -> bool:
        """Whether more may be under way in clear text.  Behind QUIT nothing may come; the TLS layer reads on by itself."""
        if self._tls_started or self._reason == "QUIT":
            return False
        return self._pumping or self._paused or self._unparsed > 0 or self.transaction is not None

    # -- time ------------------------------------------------------------------------------------------------------------

    def _peers_turn(self) -> None:
        """The peer's time begins anew."""
        idle = self._idle = self.relay.clock.seconds() + self._idle_limit
        self.deadline = idle if idle < self._ceiling else self._ceiling

    def _peers_turn_again(self) -> None:
        """What was ours to do is done, and the time that it took is not the peer's."""
        if self._pace is not None:
            self._pace.restart(self._received, self.relay.clock.seconds())
            self._ceiling = min(self._absolute, self._pace.until)
        self._peers_turn()

    def wait_on(self, seconds: float) -> None:
        """The clock was set: each of its times is so much later."""
        self.deadline += seconds

    def deadline_passed(self, now: float) -> None:
        """Idle for too long, too slow, connected for too long, or not reading our last words."""
        if self._closing:
            self.transport.abortConnection()
        elif self._delayed is not None and now >= self._absolute:  # many tarpits, one after the other
            self._goodbye(replies.TIMED_OUT, "connection_timeout")
        elif self._waiting or self._held or (self._paused and self._buffers.full):  # the time that we take is not the peer's
            self.deadline = now + 1.0
        elif now >= self._absolute:
            self._goodbye(replies.TIMED_OUT, "connection_timeout")
        elif self._pace is None or now >= self._idle:
            self._goodbye(replies.TIMED_OUT, "connection_inactivity_timeout")
        elif self._pace.is_kept(self._received, now):
            self._ceiling = min(self._absolute, self._pace.until)
            self.deadline = min(self._idle, self._ceiling)
        else:
            self._goodbye(replies.TOO_SLOW, "min_data_rate")

    def drain(self) -> None:
        """The relay stops: end now, or after the message that is arriving."""
        self._draining = self._draining or "shutdown"
        if self._closing:
            self.deadline = min(self.deadline, self.relay.clock.seconds() + SHORT_LINGER)
        in_content = self._storing or (self.transaction is not None and self.transaction.content is not None)
        if self._ready and not in_content:
            self._goodbye(replies.SERVICE_NOT_AVAILABLE, self._draining)

    def abort(self) -> None:
        """The relay has no more time."""
        self.transport.abortConnection()

    # -- bytes -----------------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Octets of the peer.  A command counts as a sign of life when it is whole."""
        if self._closing:
            return
        self._received += len(data)
        unread = self._unparsed + len(data)
        self.engine.receive_data(data)
        if not self._pumping:
            self._pump()
        if self._unparsed != unread and not self._closing:
            self._peers_turn()

    def _pump(self) -> None:
        """Carry events to their handlers until one of them has to wait."""
        engine = self.engine
        handlers = self._handlers
        self._pumping = True
        try:
            while not self._held and not self._unread and not self._closing:
                event = engine.next_event()
                if event is not None:
                    handlers[type(event)](self, event)
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
        elif not self._disconnected:
            self._hold_back()

    def _hold_back(self) -> None:
        """Count what is held, and stop or go on reading."""
        waiting = self._unparsed = self.engine.buffered
        held = waiting + self._storing
        transaction = self.transaction
        if transaction is not None and transaction.content is not None:
            held += transaction.held()
            if self._pace is None and held:  # most messages come in one piece, and are not measured at all
                self._measure_pace()
        elif self._pace is not None:
            self._pace = None
            self._ceiling = self._absolute
        if transaction is not None and len(transaction.recipients) >= FEW_RECIPIENTS:
            held += transaction.envelope()
        buffers = self._buffers
        if held != self._buffered:
            change = held - self._buffered
            self._buffered = held
            buffers.add(change)
        stop = self._held or self._unread or waiting > INPUT_BACKLOG or (buffers.full and held > FEW)
        if stop is not self._paused:
            self._pause(stop)

    def _measure_pace(self) -> None:
        """A message begins to arrive."""
        rate = self.site.connector.min_data_rate
        if rate:
            self._pace = Pace(rate, self._received, self.relay.clock.seconds())
            self._ceiling = min(self._absolute, self._pace.until)

    def buffers_changed(self) -> None:
        """The relay holds too much, or no longer: stop reading where this session has a share in it, or go on."""
        if self._ready and not self._pumping and not self._closing and not self._disconnected:
            was_paused = self._paused
            self._hold_back()
            if was_paused and not self._paused:
                self._peers_turn_again()

    def _forget_buffered(self) -> None:
        """The session has ended: it holds nothing any more but a message that the spool still has to write."""
        change = self._storing - self._buffered
        self._buffered = self._storing
        self._buffers.add(change)

    @property
    def is_delayed(self) -> bool:
        """Whether its reply is held back."""
        return self._delayed is not None

    @property
    def spare(self) -> int:
        """Octets that would be free without this session; none while the spool has its message, which would come a second time."""
        return 0 if self._storing else self._buffered

    def send_away(self) -> None:
        """There is no more room for what this session holds."""
        self._goodbye(replies.BUFFERS_FULL, "max_buffered_size")

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
