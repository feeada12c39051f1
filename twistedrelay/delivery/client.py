"""One delivery connection: the client engine on a Twisted transport.

Decides when octets are written (once for each turn of the engine, so that a body, its dot and the next envelope share a packet), when a
peer was too slow, and turns verdicts into outcomes.  It does not choose the peer or the messages: whoever works with the connection
(a L{Worker}) is asked for jobs and told what became of them.  There is no Deferred and no timer per message, but for one that has to be
looked at or converted before it can go to this peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.delivery.content import PIECE, ContentSender
from twistedrelay.delivery.deadlines import Deadlines
from twistedrelay.delivery.fit import Fitted, Fitter, ascii_path, close, must_look
from twistedrelay.delivery.session import Facts, SessionFailed, Worker, own_reply
from twistedrelay.delivery.success import success_action
from twistedrelay.interfaces import IContent, SpoolError
from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.tls.outbound import objection_of
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, Job, MailParameters, Outcome, OutcomeKind
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_values import (
    Broken,
    ClientEvent,
    Finished,
    Ready,
    SendContent,
    Stage,
    StartHandshake,
    Transaction,
    Untried,
    Verdict,
)


def _unfit(failure: Failure) -> Reply:
    """A message could not be read or converted: it waits."""
    if isinstance(failure.value, SpoolError):
        return failure.value.reply
    return own_reply(LOCAL_ERROR.code, LOCAL_ERROR.enhanced, f"The message could not be converted: {failure.getErrorMessage()}")


@implementer(IHandshakeListener)
class Connection(protocol.Protocol):
    """A connection to one server, until it is lost.

    @ivar deadline: when patience ends, in seconds of the reactor's clock.
    @ivar messages: how many messages were begun.
    @ivar established: fires with the connection once the session is ready, fails with L{SessionFailed}.
    @ivar was_ready: the session was set up, whatever came then.
    @ivar tls: C{"TLSv1.3 TLS_AES_256_GCM_SHA384"} or C{""}.
    @ivar untrusted: why the server's certificate does not do, whether that ended the session or not.
    """

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
        self.messages = 0
        self.tls = ""
        self.untrusted: UntrustedPeer | None = None
        self.was_ready = False
        self.established: Deferred[Connection] = Deferred()
        self._clock = clock
        self._deadlines = deadlines
        self._limits = limits
        self._fitter = fitter
        self._gone = gone
        self._engine = SMTPClient(facts.settings)
        self._worker: Worker | None = None
        self._sender: ContentSender | None = None
        self._fitting: Job | None = None  # waits to be looked at before it can begin
        self._handshaking = False
        self._seen = (-1, Stage.CLOSED)
        self._ended_by = ""

    # What the worker asks.

    @property
    def completed(self) -> int:
        """How many transactions the server has ended by its replies."""
        return self._engine.completed

    @property
    def exhausted(self) -> bool:
        """It has carried as many messages as it may."""
        return self.messages >= self.facts.max_messages

    @property
    def usable(self) -> bool:
        """Whether work may begin on it now."""
        return self._engine.can_begin and self._engine.idle and not self.exhausted

    def work(self, worker: Worker, kept: bool = False) -> None:
        """Take jobs of a worker until there are none.  C{kept}: the connection was idle before."""
        self._worker = worker
        if kept:
            self._engine.kept()
        self._fill()
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
        self._deadlines.add(self)
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
        handle = self._transport.getHandle()
        self.untrusted = objection_of(handle)
        self.tls = f"{handle.get_protocol_version_name()} {handle.get_cipher_name()}"
        if not self.facts.settings.secure:
            self._engine.tls_started()
        self._turn()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The connection is gone, for whatever reason."""
        self._deadlines.remove(self)
        self._stop_sender()
        text = reason.getErrorMessage() or type(reason.value).__name__
        if self._handshaking:
            self.untrusted = reason.value if isinstance(reason.value, UntrustedPeer) else None
            self._engine.lost(own_reply(454, "4.7.5", f"TLS handshake failed: {text}"))
        else:
            why = "" if isinstance(reason.value, ConnectionDone) else f": {text}"
            self._engine.lost(own_reply(451, "4.4.2", f"Connection lost while waiting for {self._engine.stage.value}{why}"))
        self._turn()
        self._gone(self, self._ended_by or text)

    def deadline_passed(self) -> None:
        """The peer took too long, or the connection was idle long enough."""
        stage = self._engine.stage
        if stage is Stage.IDLE and self._worker is None:
            self.quit()
        elif stage is Stage.IDLE and self._fitting is not None:
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
            self._transport.write(output)
        self._renew()
        worker = self._worker
        if worker is not None and engine.idle and self._fitting is None and not engine.closed:
            self._worker = None
            worker.rested(self)

    def _renew(self, *, anew: bool = False) -> None:
        """A new stage or a reply: time counts anew.  Single octets do not buy time."""
        seen = (self._engine.replies, self._engine.stage)
        if seen != self._seen or anew:
            self._seen = seen
            self.deadline = self._clock.seconds() + self._limits[seen[1]]

    def _act(self, event: ClientEvent) -> None:
        if isinstance(event, SendContent):
            self._send(event.transaction)
        elif isinstance(event, Finished):
            self._finished(event.transaction)
        elif isinstance(event, Untried):
            close(event.transaction.content)
            if self._worker is not None:
                self._worker.untried(event.transaction.tag)
        elif isinstance(event, Ready):
            self.was_ready = True
            self.established.callback(self)
        elif isinstance(event, StartHandshake):
            self._start_tls()
        else:
            self._broken(event)

    def _start_tls(self) -> None:
        self._handshaking = True
        self._transport.startTLS(self.facts.creator)

    def _fill(self) -> None:
        """Begin transactions while the engine can, also the next one behind a dot."""
        engine, worker = self._engine, self._worker
        while worker is not None and self._fitting is None and engine.can_begin and not self.exhausted:
            job = worker.take()
            if job is None:
                return
            self.messages += 1
            mail = job.message.parameters
            if mail is not NO_MAIL_PARAMETERS and must_look(mail, engine.offers):
                self._fitting = job
                fitted = Deferred.fromCoroutine(self._fitter.fit(job.message, engine.offers))
                fitted.addErrback(_unfit).addCallback(self._fitted, job)
            else:
                self._begin(job, job.message.content, mail)

    def _begin(self, job: Job, content: IContent, mail: MailParameters) -> None:
        message, offers = job.message, self._engine.offers
        if mail.deliver_by is not None:
            left = int(mail.deliver_by.seconds - (self._clock.seconds() - message.received_at))
            mail = attrs.evolve(mail, deliver_by=attrs.evolve(mail.deliver_by, seconds=left))
        if mail.auth and not message.origin.user:  # nobody here vouches for what was said
            mail = attrs.evolve(mail, auth="<>")
        paths = [recipient.address.text for recipient in job.recipients]
        sender = message.sender.text
        if not offers.utf8 and not (sender.isascii() and "".join(paths).isascii()):
            sender, paths = ascii_path(message.sender), [ascii_path(recipient.address) for recipient in job.recipients]
        rcpt = [recipient.parameters for recipient in job.recipients] if offers.dsn else ()
        self._engine.begin(Transaction(sender, paths, content.size, mail, rcpt, job, content))

    def _fitted(self, result: Fitted | Reply, job: Job) -> None:
        """A message was looked at."""
        if self._fitting is not job:  # the connection is gone, and the job was given back
            if isinstance(result, Fitted):
                close(result.content)
            return
        self._fitting = None
        if isinstance(result, Fitted):
            self._begin(job, result.content, result.mail)
        else:
            verdict = Verdict(result, own=True)
            assert self._worker is not None
            self._worker.done(job, [self._outcome(job, index, verdict) for index in range(len(job.recipients))])
        self._fill()
        self._turn()

    def _send(self, transaction: Transaction) -> None:
        content: IContent = transaction.content
        chunks = content.in_memory() if content.size <= PIECE else None
        if chunks is None:
            self._sender = sender = ContentSender(content, self._send_piece, self._content_sent, self.abort)
            self._transport.registerProducer(sender, True)
            sender.resumeProducing()
            return
        engine = self._engine
        for chunk in chunks:
            engine.content(chunk)
        engine.end_content()
        self._fill()

    def _send_piece(self, piece: bytes) -> None:
        self._engine.content(piece)
        self.deadline = self._clock.seconds() + self._limits[Stage.CONTENT]
        self._transport.write(self._engine.data_to_send())

    def _content_sent(self) -> None:
        self._stop_sender()
        self._engine.end_content()
        self._fill()
        self._turn()

    def _stop_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.stopProducing()
            self._transport.unregisterProducer()

    def _finished(self, transaction: Transaction) -> None:
        worker = self._worker
        assert worker is not None
        job: Job = transaction.tag
        converted = transaction.content is not job.message.content
        if converted:
            close(transaction.content)
        verdicts = transaction.verdicts
        worker.done(job, [self._outcome(job, index, verdict, converted) for index, verdict in enumerate(verdicts) if verdict])
        self._fill()

    def _outcome(self, job: Job, index: int, verdict: Verdict, converted: bool = False) -> Outcome:
        reply = verdict.reply
        kind = OutcomeKind.DELIVERED if reply.code < 300 else OutcomeKind.DEFERRED if reply.code < 500 else OutcomeKind.FAILED
        recipient, action = job.recipients[index], ""
        if kind is OutcomeKind.DELIVERED and (recipient.parameters.notify or job.message.parameters.deliver_by is not None):
            now = self._clock.seconds()
            action = success_action(job.message, recipient, self._engine.offers, now, final=self.facts.settings.lmtp)
        remote = "" if verdict.own else self.facts.remote
        return Outcome(recipient, kind, reply, remote, verdict.uncertain, self.tls, action, converted)

    def _broken(self, broken: Broken) -> None:
        self._ended_by = str(broken.reply)
        self._stop_sender()
        if broken.own:
            self._transport.abortConnection()
        else:
            self._transport.loseConnection()
        worker, self._worker = self._worker, None
        fitting, self._fitting = self._fitting, None
        if worker is not None and fitting is not None:
            worker.untried(fitting)
        if worker is not None:
            worker.lost(self, broken)
        elif not self.established.called:
            self.established.errback(SessionFailed(broken))
