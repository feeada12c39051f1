"""One delivery connection: the client engine on a Twisted transport.

Decides when octets are written (once for each turn of the engine, so that a body, its dot and the next envelope share a packet), when a
peer was too slow, and which recipients of a job go in one transaction.  It does not choose the peer or the messages: whoever works with the
connection (a L{Worker}) is asked for jobs and told what became of them.  There is no Deferred and no timer per message, but for one that has to be
looked at or converted before it can go to this peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.delivery.content import PIECE, ContentSender
from twistedrelay.delivery.deadlines import Deadlines
from twistedrelay.delivery.fit import Fitted, Fitter, Unfit, close, must_look
from twistedrelay.delivery.lastwords import read_before_failing
from twistedrelay.delivery.parcel import Receipt, Rewritten, asks_for_less
from twistedrelay.delivery.parcel import transaction as transaction_of
from twistedrelay.delivery.parts import UNSENT, Cutter
from twistedrelay.delivery.session import Facts, SessionFailed, Worker, own_reply
from twistedrelay.interfaces import IContent
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, Job, MailParameters, Outcome, OutcomeKind
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_offers import NOTHING, Offers
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


@implementer(IHandshakeListener)
class Connection(protocol.Protocol):
    """A connection to one server, until it is lost.

    @ivar deadline: when patience ends, in seconds of the reactor's clock.
    @ivar messages: how many messages were begun.
    @ivar established: fires with the connection once the session is ready, fails with L{SessionFailed}.
    @ivar was_ready: the session was set up, whatever came then.
    @ivar tls: C{"TLSv1.3 TLS_AES_256_GCM_SHA384"} or C{""}.
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
        self._receipt = Receipt(facts.remote, "", NOTHING, facts.settings.lmtp)
        self._max_messages = facts.max_messages
        self._rewrites_content = facts.rewrite is not None and facts.rewrite.changes_content
        self._rewritten: dict[Job, Rewritten] = {}
        self._cutter: Cutter | None = None  # where the server takes only so much
        self._full = False  # it takes no more domains
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
        return self._full or self.messages >= self._max_messages

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
        read_before_failing(transport)
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
            self._rewritten.pop(event.transaction.tag, None)
            if self._worker is not None:
                self._worker.untried(event.transaction.tag)
        elif isinstance(event, Ready):
            self._learn(self._engine.offers)
            self.was_ready = True
            self.established.callback(self)
        elif isinstance(event, StartHandshake):
            self._start_tls()
        else:
            self._broken(event)

    def _start_tls(self) -> None:
        self._handshaking = True
        self._transport.startTLS(self.facts.creator)

    def _learn(self, offers: Offers) -> None:
        """What the server takes."""
        self._receipt = Receipt(self.facts.remote, self.tls, offers, self.facts.settings.lmtp)
        if offers.recipients_most or offers.domains_most:
            self._cutter = Cutter(offers.recipients_most, offers.domains_most)
        if offers.transactions_most:
            self._max_messages = min(self._max_messages, offers.transactions_most)

    def _fill(self) -> None:
        """Begin transactions while the engine can, also the next one behind a dot."""
        engine, worker = self._engine, self._worker
        while worker is not None and self._fitting is None and engine.can_begin and not self.exhausted:
            job = worker.take()
            if job is not None and self._cutter is not None:
                job = self._cut(job, self._cutter, worker)
            if job is None:
                return
            self.messages += 1
            message = job.message
            mail = message.parameters
            if self._rewrites_content or (mail is not NO_MAIL_PARAMETERS and must_look(mail, engine.offers)):
                self._fitting = job
                rewrite = self.facts.rewrite if self._rewrites_content else None
                fitted = Deferred.fromCoroutine(self._fitter.fit(message, engine.offers, rewrite))
                fitted.addErrback(Unfit.by).addCallback(self._fitted, job)
            else:
                self._begin(job, message.content, mail)

    def _cut(self, job: Job, cutter: Cutter, worker: Worker) -> Job | None:
        """The part of a job that goes now; None where this session takes nothing of it any more."""
        now, later = cutter.cut(job.recipients)
        if now:
            return worker.divide(job, now, later, UNSENT) if later else job
        self._full = True
        worker.untried(job)
        return None

    def _begin(self, job: Job, content: IContent, mail: MailParameters) -> None:
        offers, now, rewrite = self._engine.offers, self._clock.seconds(), self.facts.rewrite
        if rewrite is None:
            self._engine.begin(transaction_of(job, content, mail, offers, now))
            return
        try:
            rewritten = Rewritten.of(job, rewrite)
        except Exception:
            close(content)
            self._refuse(job, Unfit.by(Failure()))
            return
        if rewritten.recipients:
            self._rewritten[job] = rewritten
            self._engine.begin(rewritten.transaction(job, content, mail, offers, now))
        else:
            close(content)
            self._settle(job, rewritten.spread(()), now)

    def _refuse(self, job: Job, unfit: Unfit) -> None:
        """A job does not get as far as the server."""
        verdict = Verdict(unfit.reply, own=True)
        self._settle(job, [verdict] * len(job.recipients), self._clock.seconds(), defect=unfit.defect)

    def _settle(self, job: Job, verdicts: Sequence[Verdict | None], now: float, **more: bool) -> list[Outcome]:
        """Tell the worker."""
        assert self._worker is not None
        outcome = self._receipt.outcome
        outcomes = [outcome(job, index, verdict, now, **more) for index, verdict in enumerate(verdicts) if verdict]
        self._worker.done(job, outcomes)
        return outcomes

    def _fitted(self, result: Fitted | Reply | Unfit, job: Job) -> None:
        """A message was looked at."""
        if self._fitting is not job:  # the connection is gone, and the job was given back
            if isinstance(result, Fitted):
                close(result.content)
            return
        self._fitting = None
        if isinstance(result, Fitted):
            self._begin(job, result.content, result.mail)
        else:
            self._refuse(job, Unfit(result) if isinstance(result, Reply) else result)
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
        job: Job = transaction.tag
        verdicts: Sequence[Verdict | None] = transaction.verdicts
        excess: Sequence[int] = transaction.excess
        converted = transaction.content is not job.message.content
        if converted:
            close(transaction.content)
        if self._rewritten and (rewritten := self._rewritten.pop(job, None)) is not None:
            verdicts, excess = rewritten.spread(verdicts), rewritten.those(excess)
        if excess:
            job, verdicts = self._without(job, verdicts, set(excess), len(transaction.accepted))
        [first, *_] = self._settle(job, verdicts, self._clock.seconds(), converted=converted)
        if first.kind is OutcomeKind.DEFERRED and self._worker is not None and (less := asks_for_less(transaction)) is not None:
            self._worker.slow_down(less)
        self._fill()

    def _without(
        self, job: Job, verdicts: Sequence[Verdict | None], excess: set[int], accepted: int
    ) -> tuple[Job, Sequence[Verdict | None]]:
        """A job without those who were more than the server takes at once: their turn comes, and no more than that are said again."""
        if self._cutter is None:
            self._cutter = Cutter(0, 0)
        self._cutter.most = accepted
        now, later, left, reason = [], [], [], UNSENT
        for index, (recipient, verdict) in enumerate(zip(job.recipients, verdicts, strict=True)):
            if index in excess:
                later.append(recipient)
                reason = Reply(452, "4.5.3", verdict.reply.text) if verdict is not None else reason
            else:
                now.append(recipient)
                left.append(verdict)
        assert self._worker is not None
        return self._worker.divide(job, now, later, reason), left

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
