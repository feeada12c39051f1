"""The jobs of one connection: into transactions, and their verdicts back into outcomes.

Decides which job begins when (also the next one behind a dot), which recipients of it go in one transaction, whether its content must be
looked at before, and when a session has carried enough.  It says nothing and does no I/O but for content that has to be converted; how a
transaction goes is the engine's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twistedrelay.delivery.fit import Fitted, Fitter, Unfit, close, must_look
from twistedrelay.delivery.parcel import Receipt, Rewritten
from twistedrelay.delivery.parcel import transaction as transaction_of
from twistedrelay.delivery.parts import UNSENT, Cutter
from twistedrelay.delivery.session import LONGEST_SESSION, Facts, Worker
from twistedrelay.interfaces import IContent
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, Job, MailParameters
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_offers import NOTHING
from twistedrelay.wire.client_values import Transaction, Verdict


class Loader:
    """See the module.

    @param turn: called where something happened outside of the connection's turn.
    @ivar worker: whose jobs they are, None while the connection is idle.
    """

    def __init__(self, clock: IReactorTime, engine: SMTPClient, facts: Facts, fitter: Fitter, turn: Callable[[], None]) -> None:
        self.worker: Worker | None = None
        self._clock = clock
        self._engine = engine
        self._facts = facts
        self._fitter = fitter
        self._turn = turn
        self._messages = 0
        self._max_messages = facts.max_messages
        self._full = False  # the server takes no more domains
        self._until = math.inf
        self._receipt = Receipt(facts.remote, "", NOTHING, facts.settings.lmtp, clock.seconds)
        self._fitting: Job | None = None  # waits to be looked at before it can begin
        self._rewrites_content = facts.rewrite is not None and facts.rewrite.changes_content
        self._rewritten: dict[Job, Rewritten] = {}
        self._measures = facts.measures
        self._cutter: Cutter | None = None  # where the server takes only so much

    @property
    def exhausted(self) -> bool:
        """The session has carried as much as it may."""
        messages = self._messages
        return self._full or messages >= self._max_messages or (messages > 0 and self._clock.seconds() >= self._until)

    @property
    def fitting(self) -> bool:
        """A job waits to be looked at."""
        return self._fitting is not None

    def learn(self, tls: str) -> None:
        """The session is set up: what it is like, and what the server takes."""
        offers = self._engine.offers
        self._until = self._clock.seconds() + LONGEST_SESSION
        self._receipt = Receipt(self._facts.remote, tls, offers, self._facts.settings.lmtp, self._clock.seconds)
        if offers.recipients_most or offers.domains_most:
            self._cutter = Cutter(offers.recipients_most, offers.domains_most)
        if offers.transactions_most:
            self._max_messages = min(self._max_messages, offers.transactions_most)

    def fill(self) -> None:
        """Begin transactions while the engine can."""
        engine, worker = self._engine, self.worker
        while worker is not None and self._fitting is None and engine.can_begin and not self.exhausted:
            job = worker.take()
            if job is not None and self._cutter is not None:
                job = self._cut(job, self._cutter, worker)
            if job is None:
                return
            self._messages += 1
            job.remote = self._facts.remote
            message = job.message
            mail = message.parameters
            if self._rewrites_content or (mail is not NO_MAIL_PARAMETERS and must_look(mail, engine.offers)):
                self._fitting = job
                rewrite = self._facts.rewrite if self._rewrites_content else None
                fitted = Deferred.fromCoroutine(self._fitter.fit(message, engine.offers, rewrite))
                fitted.addErrback(Unfit.by).addCallback(self._fitted, job)
            else:
                self._begin(job, message.content, mail)

    def finished(self, transaction: Transaction) -> None:
        """The server has answered a transaction."""
        job: Job = transaction.tag
        self._measures.transactions.observe(self._clock.seconds() - job.began)
        verdicts: Sequence[Verdict | None] = transaction.verdicts
        excess: Sequence[int] = transaction.excess
        converted = transaction.content is not job.message.content
        if converted:
            close(transaction.content)
        if self._rewritten and (rewritten := self._rewritten.pop(job, None)) is not None:
            verdicts, excess = rewritten.spread(verdicts), rewritten.those(excess)
        if excess:
            job, verdicts = self._without(job, verdicts, set(excess), len(transaction.accepted))
        self._settle(job, verdicts, converted)
        self.fill()

    def untried(self, transaction: Transaction) -> None:
        """A transaction could not begin."""
        close(transaction.content)
        self._rewritten.pop(transaction.tag, None)
        if self.worker is not None:
            self.worker.untried(transaction.tag)

    def end(self) -> Worker | None:
        """The session is over: whose jobs they were."""
        worker, self.worker = self.worker, None
        fitting, self._fitting = self._fitting, None
        if worker is not None and fitting is not None:
            worker.untried(fitting)
        return worker

    # Into transactions.

    def _cut(self, job: Job, cutter: Cutter, worker: Worker) -> Job | None:
        """The part of a job that goes now; None where this session takes nothing of it any more."""
        now, later = cutter.cut(job.recipients)
        if now:
            return worker.divide(job, now, later, UNSENT) if later else job
        self._full = True
        worker.untried(job)
        return None

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
        self.fill()
        self._turn()

    def _begin(self, job: Job, content: IContent, mail: MailParameters) -> None:
        offers, rewrite = self._engine.offers, self._facts.rewrite
        now = job.began = self._clock.seconds()
        if not job.recipients[0].attempts:
            self._measures.waits.observe(now - job.message.received_at)
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
            self._settle(job, rewritten.spread(()))

    # Into outcomes.

    def _refuse(self, job: Job, unfit: Unfit) -> None:
        """A job does not get as far as the server."""
        verdict = Verdict(unfit.reply, own=True)
        self._settle(job, [verdict] * len(job.recipients), defect=unfit.defect)

    def _settle(self, job: Job, verdicts: Sequence[Verdict | None], converted: bool = False, defect: bool = False) -> None:
        """Tell the worker what became of a job."""
        assert self.worker is not None
        outcome = self._receipt.outcome
        decided = zip(job.recipients, verdicts, strict=True)
        self.worker.done(job, [outcome(job, recipient, verdict, converted, defect) for recipient, verdict in decided if verdict])

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
        assert self.worker is not None
        return self.worker.divide(job, now, later, reason), left
