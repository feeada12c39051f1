"""One delivery connection: the client engine on a Twisted transport.

Decides when octets are written (once for each turn of the engine, so that a body, its dot and the next envelope share a packet), when a
peer was too slow, and when the connection ends.  It does not choose the peer or the messages: whoever works with the connection (a
L{Worker}) is asked for jobs and told what became of them, by a L{Loader}.  There is no Deferred and no timer per message, but for one that
has to be looked at or converted before it can go to this peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.delivery.content import PIECE, ContentSender
from twistedrelay.delivery.deadlines import Deadlines
from twistedrelay.delivery.fit import Fitter
from twistedrelay.delivery.lastwords import read_before_failing
from twistedrelay.delivery.loader import Loader
from twistedrelay.delivery.prompt import Prompt
from twistedrelay.delivery.session import LEAST_RATE, LONGEST_DIALOGUE, Facts, SessionFailed, Worker, end_text, own_reply
from twistedrelay.interfaces import IContent
from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.tls.outbound import objection_of
from twistedrelay.tls.peer import server_bindings
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_values import (
    Broken,
    ClientEvent,
    Derive,
    Finished,
    Ready,
    SendContent,
    Stage,
    StartHandshake,
    Transaction,
    Untried,
)
from twistedrelay.wire.traced_client import TracedClient

#: Stages with no other limit than their own: behind the final dot waiting is better than not to know, and nothing is at hand in the others.
_UNHURRIED = frozenset((Stage.IDLE, Stage.END, Stage.QUIT, Stage.CLOSED))


@implementer(IHandshakeListener)
class Connection(protocol.Protocol):
    """A connection to one server, until it is lost.

    @ivar deadline: when patience ends, in seconds of the reactor's clock.
    @ivar established: fires with the connection once the session is ready, fails with L{SessionFailed}.
    @ivar was_ready: the session was set up, whatever came then.
    @ivar tls: C{"TLSv1.3 TLS_AES_256_GCM_SHA384"} or C{""}.
    @ivar untrusted: why the server's certificate does not do, whether that ended the session or not.
    """

    _write: Callable[[bytes], None]  # once it is made

    def __init__(
        self,
        clock: IReactorTime,
        deadlines: Deadlines,
        limits: Mapping[Stage, float],
        facts: Facts,
        fitter: Fitter,
        gone: Callable[[Connection, str], None],
    ) -> None:
        self.facts = facts
        self.deadline = 0.0
        self.tls = ""
        self.untrusted: UntrustedPeer | None = None
        self.was_ready = False
        self.established: Deferred[Connection] = Deferred()
        self._clock = clock
        self._deadlines = deadlines
        self._limits = limits
        self._gone = gone
        self._trace = facts.trace
        self._engine = SMTPClient(facts.settings) if facts.trace is None else TracedClient(facts.settings, facts.trace)
        self._loader = Loader(clock, self._engine, facts, fitter, self._turn)
        self._sender: ContentSender | None = None
        self._handshaking = False
        self._made = self._handshake_began = 0.0
        self._seen = (-1, Stage.CLOSED)
        self._patience_ends = 0.0  # of the message at hand, or of setting up the session
        self._ended_by = ""

    # What the worker asks.

    @property
    def completed(self) -> int:
        """How many transactions the server has ended by its replies."""
        return self._engine.completed

    @property
    def exhausted(self) -> bool:
        """It has carried as many messages as it may."""
        return self._loader.exhausted

    @property
    def usable(self) -> bool:
        """Whether work may begin on it now."""
        return self._engine.can_begin and self._engine.idle and not self.exhausted

    def work(self, worker: Worker, kept: bool = False) -> None:
        """Take jobs of a worker until there are none.  C{kept}: the connection was idle before."""
        self._loader.worker = worker
        if kept:
            self._engine.kept()
        self._loader.fill()
        self._turn()

    def quit(self) -> None:
        """End the session in good order."""
        if self._engine.ready and self._engine.idle and not self._engine.closed and self._engine.stage is Stage.IDLE:
            self._engine.quit()
            self._turn()
        else:
            self.abort()

    def abort(self, reply: Reply | None = None, give_back: bool = False) -> None:
        """Drop the connection now.  C{give_back}: messages before their final dot count as not tried."""
        self._engine.lost(reply or Reply(451, "4.4.2", "Connection dropped"), give_back)
        self._turn()

    # Transport.

    def connectionMade(self) -> None:
        """The peer answered."""
        transport = self._transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        read_before_failing(transport)
        if self._trace is not None:
            self._trace("+", end_text(transport.getHost()))
        self._write = Prompt(transport).write
        self._deadlines.add(self)
        self._made = self._clock.seconds()
        self._patience_ends = self._made + LONGEST_DIALOGUE
        if self.facts.settings.secure:
            self._start_tls()
        self._renew()

    @property
    def _transport(self) -> Any:  # the interfaces of a TCP transport with TLS, which no single type names
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        """Octets of the server."""
        self._engine.receive_data(data)
        self._turn()

    def handshakeCompleted(self) -> None:
        """TLS is on."""
        self._handshaking = False
        self.facts.measures.handshakes.observe(self._clock.seconds() - self._handshake_began)
        handle = self._transport.getHandle()
        self.untrusted = objection_of(handle)
        self.tls = f"{handle.get_protocol_version_name()} {handle.get_cipher_name()}"
        if self._trace is not None:
            self._trace("*", f"TLS protocol {handle.get_protocol_version_name()} negotiation succeeded using {handle.get_cipher_name()}")
        if self.facts.settings.credentials is not None:
            self._engine.bind(server_bindings(handle))
        if not self.facts.settings.secure:
            self._engine.tls_started()
        self._turn()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The connection is gone, for whatever reason."""
        self._deadlines.remove(self)
        self._stop_sender(lost=True)
        text = reason.getErrorMessage() or type(reason.value).__name__
        if self._handshaking:
            self.untrusted = reason.value if isinstance(reason.value, UntrustedPeer) else None
            self._engine.lost(own_reply(454, "4.7.5", f"TLS handshake failed: {text}"))
        else:
            why = "" if isinstance(reason.value, ConnectionDone) else f": {text}"
            self._engine.lost(own_reply(451, "4.4.2", f"Connection lost while waiting for {self._engine.stage.value}{why}"))
        self._turn()
        if self._trace is not None:
            self._trace("-", self._ended_by or text)
        self._gone(self, self._ended_by or text)

    def wait_on(self, seconds: float) -> None:
        """The clock was set: see L{Deadlines}."""
        self.deadline += seconds
        self._patience_ends += seconds

    def deadline_passed(self) -> None:
        """The peer took too long, or the connection was idle long enough."""
        stage = self._engine.stage
        if stage is Stage.IDLE and self._loader.worker is None:
            self.quit()
        elif stage is Stage.IDLE and self._loader.fitting:
            self._renew(anew=True)
        elif stage is Stage.CLOSED:
            self._transport.abortConnection()
        else:
            self.abort(Reply(451, "4.4.2", f"Timed out while waiting for {stage.value}"))

    # The engine's turn.

    def _turn(self) -> None:
        """Act on what the engine says, and write once."""
        engine = self._engine
        while (event := engine.next_event()) is not None:
            self._act(event)
        if not engine.closed and (output := engine.data_to_send()):
            self._write(output)
        self._renew()
        worker = self._loader.worker
        if worker is not None and engine.idle and not (self._loader.fitting or engine.closed):
            self._loader.worker = None
            worker.rested(self)

    def _renew(self, *, anew: bool = False) -> None:
        """A new stage or a reply: time counts anew.  Single octets do not buy time."""
        seen = (self._engine.replies, self._engine.stage)
        if seen != self._seen or anew:
            now, stage = self._clock.seconds(), seen[1]
            if self._seen[1] is Stage.IDLE:
                self._patience_ends = now + LONGEST_DIALOGUE
            self._seen = seen
            deadline = now + self._limits[stage]
            hurried = deadline > self._patience_ends and stage not in _UNHURRIED
            self.deadline = self._patience_ends if hurried else deadline

    def _act(self, event: ClientEvent) -> None:
        if isinstance(event, SendContent):
            self._send(event.transaction)
        elif isinstance(event, Finished):
            self._patience_ends = self._clock.seconds() + LONGEST_DIALOGUE
            self._loader.finished(event.transaction)
        elif isinstance(event, Untried):
            self._loader.untried(event.transaction)
        elif isinstance(event, Ready):
            now = self._clock.seconds()
            self.facts.measures.setups.observe(now - self._made)
            self._patience_ends = now + LONGEST_DIALOGUE
            self._loader.learn(self.tls)
            self.was_ready = True
            self.established.callback(self)
        elif isinstance(event, StartHandshake):
            self._start_tls()
        elif isinstance(event, Derive):
            reactor: Any = self._clock
            work = deferToThreadPool(reactor, reactor.getThreadPool(), event.work)
            work.addCallback(self._engine.derived).addCallback(lambda _: self._turn())
        else:
            self._broken(event)

    def _start_tls(self) -> None:
        self._handshaking = True
        self._handshake_began = self._clock.seconds()
        self._transport.startTLS(self.facts.creator)

    def _send(self, transaction: Transaction) -> None:
        content: IContent = transaction.content
        chunks = content.in_memory() if content.size <= PIECE else None
        if chunks is None:
            self._patience_ends += content.size / LEAST_RATE
            self._sender = sender = ContentSender(content, self._send_piece, self._content_sent, self.abort)
            self._transport.registerProducer(sender, True)
            sender.resumeProducing()
            return
        engine = self._engine
        for chunk in chunks:
            engine.content(chunk)
        engine.end_content()
        self._loader.fill()

    def _send_piece(self, piece: bytes) -> None:
        self._engine.content(piece)
        if self._engine.closed:  # it is not what the engine was told
            self._turn()
            return
        self.deadline = min(self._clock.seconds() + self._limits[Stage.CONTENT], self._patience_ends)
        self._write(self._engine.data_to_send())

    def _content_sent(self) -> None:
        self._stop_sender()
        self._engine.end_content()
        self._loader.fill()
        self._turn()

    def _stop_sender(self, *, lost: bool = False) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.stopProducing()
            if not lost:  # a TLS transport has nothing left that could forget a producer
                self._transport.unregisterProducer()

    def _broken(self, broken: Broken) -> None:
        self._ended_by = str(broken.reply)
        if broken.no_chunks:
            self.facts.no_chunks()
        self._stop_sender()
        if broken.own:
            self._transport.abortConnection()
        else:
            self._transport.loseConnection()
        worker = self._loader.end()
        if worker is not None:
            worker.lost(self, broken)
        elif not self.established.called:
            self.established.errback(SessionFailed(broken))
