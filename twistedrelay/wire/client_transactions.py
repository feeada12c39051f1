"""Mail transactions of a client session, from MAIL to the reply after the content.

Decides what to say next and what each reply means for each recipient.  With PIPELINING a whole envelope is one write, and the
next envelope may be said right behind the dot of the message before it (RFC 2920 section 3.1: content may come first in a
group).  Over LMTP it may not: a server that gives one reply too few after the dot would make the next MAIL's 250 pass for a delivery.
RSET is said only where a transaction was left open.  A recipient who was one too many is told apart from one who is refused.  It never
reports a recipient as taken without a 2xx to the whole content.

Content goes by DATA; only what was received as BINARYMIME, and is still binary, goes by BDAT, in a single chunk: its size is known, so
there is nothing to wait for in between.

Sources: RFC 5321 sections 3.3, 4.5.3.1.10 and 4.5.3.2, RFC 2920, RFC 2033 section 4.2, RFC 3030 section 2.
"""

from __future__ import annotations

from collections import deque

import attrs

from twistedrelay.values.envelope import NO_RCPT_PARAMETERS
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_fit import judge
from twistedrelay.wire.client_offers import NOTHING, Offers, mail_words, rcpt_words
from twistedrelay.wire.client_replies import RawReply
from twistedrelay.wire.client_values import (
    Broken,
    ClientEvent,
    Finished,
    Phase,
    SendContent,
    Stage,
    Transaction,
    Untried,
    Verdict,
)
from twistedrelay.wire.stuffing import Stuffer

#: What a reply is awaited for: the stage, the transaction, the recipient's index (-1: none in particular).
_Awaited = tuple[Stage, "Transaction | None", int]


#: Of a 452 or 552 (RFC 5321 section 4.5.3.1.10; RFC 3463 section 3.6), where there is one at all.
_TOO_MANY = frozenset(("4.5.3", "5.5.3"))


def _one_too_many(reply: Reply) -> bool:
    """Whether a recipient was refused only since others had been accepted before."""
    return reply.enhanced in _TOO_MANY or (reply.code in (452, 552) and not reply.enhanced)


def _doubtful(reply: Reply) -> Reply:
    """The same for a message that the server has whole, and of which it did not say whether it took it."""
    return attrs.evolve(reply, text=f"{reply.text}; all of the message was sent, so it may have been delivered")


class Transactions:
    """The transactions of one session.

    @ivar completed: how many have ended by replies of the server.
    @ivar kept: the connection was idle before: a transaction of which nothing was answered was not tried.
    @ivar broken: the session is over.
    @ivar offers: what the server can do.
    """

    def __init__(self, lmtp: bool, output: list[bytes], events: deque[ClientEvent]) -> None:
        self.completed = 0
        self.kept = False
        self.broken = False
        self.offers = NOTHING
        self._lmtp = lmtp
        self._output = output
        self._events = events
        self._logged_in = False
        self._pipelining = False
        self._quitting = False
        self._reset_needed = False
        self._delayed_mail = ""  # without PIPELINING: the MAIL that waits for the reply to RSET
        self._open: deque[Transaction] = deque()
        self._awaited: deque[_Awaited] = deque()
        self._stuffer: Stuffer | None = Stuffer()  # None: the content goes by BDAT, as it is

    def learn(self, offers: Offers, logged_in: bool) -> None:
        """What the server can do, and whether we have logged in."""
        self.offers = offers
        self._logged_in = logged_in
        self._pipelining = offers.pipelining

    @property
    def stage(self) -> Stage:
        """What is awaited now."""
        if self._awaited:
            return self._awaited[0][0]
        return Stage.CONTENT if self._open else Stage.IDLE

    @property
    def idle(self) -> bool:
        """No transaction is open."""
        return not self._open

    @property
    def can_begin(self) -> bool:
        """Whether a transaction may begin now: in idle state, or behind the dot of the one before."""
        if self.broken or self._quitting:
            return False
        if not self._open:
            return True
        return self._pipelining and not self._lmtp and len(self._open) == 1 and self._open[0].phase is Phase.END

    def begin(self, transaction: Transaction) -> None:
        """Say the envelope, or refuse the transaction at once where it cannot be said."""
        offers = self.offers
        refusal, utf8 = judge(transaction, offers, lmtp=self._lmtp)
        if refusal is not None:
            transaction.settle(refusal)
            self._events.append(Finished(transaction))
            return
        words = mail_words(offers, transaction.mail, transaction.size, utf8=utf8, logged_in=self._logged_in)
        self._open.append(transaction)
        await_ = self._awaited.append
        text = f"MAIL FROM:<{transaction.sender}>{words}\r\n"
        if self._reset_needed:
            self._reset_needed = False
            await_((Stage.RESET, transaction, -1))
            if self._pipelining:
                text = "RSET\r\n" + text
            else:
                self._delayed_mail, text = text, "RSET\r\n"
        if not self._delayed_mail:
            await_((Stage.MAIL, transaction, -1))
        if self._pipelining:
            for index in range(len(transaction.recipients)):
                if transaction.verdicts[index] is None:
                    text += self._rcpt(transaction, index)
                    await_((Stage.RCPT, transaction, index))
            if transaction.mail.body != "BINARYMIME":
                text += "DATA\r\n"
                await_((Stage.DATA, transaction, -1))
        self._output.append(text.encode("utf-8"))

    def _rcpt(self, transaction: Transaction, index: int) -> str:
        recipient = transaction.recipients[index]
        parameters = transaction.rcpt[index] if transaction.rcpt else NO_RCPT_PARAMETERS
        by = transaction.mail.deliver_by
        words = "" if parameters is NO_RCPT_PARAMETERS and by is None else rcpt_words(self.offers, recipient, parameters, by)
        return f"RCPT TO:<{recipient}>{words}\r\n"

    def content(self, chunk: bytes) -> None:
        """Send a chunk of the content of the transaction in front."""
        self._output.append(self._stuffer.feed(chunk) if self._stuffer is not None else chunk)

    def end_content(self) -> None:
        """Send the final dot; the chunk of BDAT ends by itself."""
        if self._stuffer is not None:
            self._output.append(self._stuffer.finish())
        self._stuffer = Stuffer()
        transaction = self._open[0]
        transaction.phase = Phase.END
        if self._lmtp:
            self._awaited.extend((Stage.END, transaction, index) for index in transaction.accepted)
        else:
            self._awaited.append((Stage.END, transaction, -1))

    def receive(self, raw: RawReply) -> None:
        """Take a reply."""
        if raw.code == 421:
            self._closing(raw)
            return
        if not self._awaited:
            self._unexpected(raw)
            return
        stage, transaction, index = self._awaited.popleft()
        if transaction is None or stage is Stage.QUIT:
            self._break(raw.parse(), False, Stage.QUIT)
            return
        if stage is Stage.RESET:
            self._reset_answered(transaction, raw)
            return
        transaction.answered += 1
        if stage is Stage.MAIL:
            self._mail_answered(transaction, raw)
        elif stage is Stage.RCPT:
            self._rcpt_answered(transaction, index, raw)
        elif stage is Stage.DATA:
            self._data_answered(transaction, raw)
        elif stage is Stage.END:
            self._end_answered(transaction, index, raw)

    def quit(self) -> None:
        """Say good-bye."""
        self._quitting = True
        self._output.append(b"QUIT\r\n")
        self._awaited.append((Stage.QUIT, None, -1))

    def _reset_answered(self, transaction: Transaction, raw: RawReply) -> None:
        if raw.code >= 300:  # what the server now thinks is unknown
            self.lost(Reply(451, "4.5.0", f"Unexpected reply to RSET: {raw.code}"), True, Stage.RESET)
        elif self._delayed_mail:
            self._output.append(self._delayed_mail.encode("utf-8"))
            self._awaited.append((Stage.MAIL, transaction, -1))
            self._delayed_mail = ""

    def _mail_answered(self, transaction: Transaction, raw: RawReply) -> None:
        if raw.code >= 300:
            if raw.code < 400:
                self._protocol_error(Stage.MAIL, raw)
                return
            transaction.refusal = Verdict(raw.parse())
        if not self._pipelining:
            if transaction.refusal is None:
                self._say_next_recipient(transaction, 0)
            else:
                self._finish(transaction)

    def _say_next_recipient(self, transaction: Transaction, index: int) -> None:
        """Without PIPELINING: one command at a time."""
        while index < len(transaction.recipients) and transaction.verdicts[index] is not None:
            index += 1
        if index < len(transaction.recipients):
            self._output.append(self._rcpt(transaction, index).encode())
            self._awaited.append((Stage.RCPT, transaction, index))
        elif transaction.mail.body == "BINARYMIME":
            self._begin_chunk(transaction)
        elif transaction.accepted:
            self._output.append(b"DATA\r\n")
            self._awaited.append((Stage.DATA, transaction, -1))
        else:
            self._reset_needed = True
            self._finish(transaction)

    def _rcpt_answered(self, transaction: Transaction, index: int, raw: RawReply) -> None:
        if raw.code < 300:
            transaction.accepted.append(index)
        elif raw.code < 400:
            self._protocol_error(Stage.RCPT, raw)
            return
        else:
            reply = raw.parse()
            transaction.verdicts[index] = Verdict(reply)
            if transaction.accepted and _one_too_many(reply):
                transaction.excess = [*transaction.excess, index]
        if not self._pipelining:
            self._say_next_recipient(transaction, index + 1)
        elif transaction.mail.body == "BINARYMIME" and not self._awaited:
            self._begin_chunk(transaction)

    def _begin_chunk(self, transaction: Transaction) -> None:
        """All recipients are answered: what DATA and its 354 are otherwise."""
        if transaction.accepted and transaction.refusal is None:
            transaction.phase = Phase.CONTENT
            self._stuffer = None
            self._output.append(f"BDAT {transaction.size} LAST\r\n".encode("ascii"))
            self._events.append(SendContent(transaction))
        else:
            self._reset_needed = transaction.refusal is None
            self._finish(transaction)

    def _data_answered(self, transaction: Transaction, raw: RawReply) -> None:
        if raw.code == 354:
            if transaction.accepted and transaction.refusal is None:
                transaction.phase = Phase.CONTENT
                self._events.append(SendContent(transaction))
            elif transaction.accepted or self._lmtp:  # nothing can be said that would surely not be a message
                self._protocol_error(Stage.DATA, raw)
            else:  # RFC 2920 section 3.1: a lone dot, whatever comes back
                self.end_content()
        elif raw.code < 400:
            self._protocol_error(Stage.DATA, raw)
        else:
            self._reset_needed = transaction.refusal is None
            if transaction.accepted:
                transaction.settle(Verdict(raw.parse()))
            self._finish(transaction)

    def _end_answered(self, transaction: Transaction, index: int, raw: RawReply) -> None:
        if 300 <= raw.code < 400:
            self._protocol_error(Stage.END, raw)
            return
        verdict = Verdict(raw.parse())
        if index >= 0:
            transaction.verdicts[index] = verdict
            if any(one is None for one in transaction.verdicts):
                return
        else:
            transaction.settle(verdict)
        self._finish(transaction)

    def _finish(self, transaction: Transaction) -> None:
        """The server has answered all of a transaction."""
        self.completed += 1
        self._close(transaction)

    def _close(self, transaction: Transaction) -> None:
        if transaction.refusal is not None:  # what came to its recipients then (503) says nothing
            transaction.verdicts = [transaction.refusal] * len(transaction.recipients)
        self._open.remove(transaction)
        self._events.append(Finished(transaction))

    def _closing(self, raw: RawReply) -> None:
        """421: the server ends the session, whatever was asked (RFC 5321 section 3.8)."""
        stage = self.stage
        reply = raw.parse()
        transaction = self._open[0] if self._open else None
        if transaction is not None and (transaction.answered or not (self.completed or self.kept)):
            if self._lmtp and transaction.phase is Phase.END and len(transaction.accepted) > 1:  # for whom it is nobody says
                transaction.settle(Verdict(_doubtful(reply), uncertain=True))
            transaction.settle(Verdict(reply))
            self._close(transaction)
        self._break(reply, False, stage)

    def _unexpected(self, raw: RawReply) -> None:
        """A reply that nothing was asked for: an early verdict on content that is being sent, or nonsense."""
        if self._open and raw.code >= 400:
            transaction = self._open[0]
            transaction.settle(Verdict(raw.parse()))
            self._finish(transaction)
            self._break(raw.parse(), False, Stage.CONTENT)
        else:
            self._protocol_error(self.stage, raw)

    def _protocol_error(self, stage: Stage, raw: RawReply) -> None:
        if self._open:
            self._open[0].distrust()
        self.lost(Reply(451, "4.5.0", f"Unexpected reply to {stage.value}: {raw.code}"), False, stage)

    def lost(self, reply: Reply, give_back: bool = False, stage: Stage | None = None) -> None:
        """The session ended without the server's word: the connection broke, or we break it.

        @param reply: our reason.
        @param give_back: what has not got as far as its final dot counts as not tried, whatever was answered.
        """
        stage = stage or self.stage
        first_on_connection = not (self.completed or self.kept)
        for place, transaction in enumerate(list(self._open)):
            if transaction.phase is Phase.END and transaction.accepted:
                transaction.settle(Verdict(_doubtful(reply), own=True, uncertain=True))
                self._close(transaction)
            elif not give_back and (transaction.answered or (first_on_connection and place == 0)):
                transaction.settle(Verdict(reply, own=True))
                self._close(transaction)
        self._break(reply, True, stage)

    def _break(self, reply: Reply, own: bool, stage: Stage) -> None:
        """End the session; what is still open was not tried."""
        self.broken = True
        for transaction in self._open:
            self._events.append(Untried(transaction))
        self._open.clear()
        self._awaited.clear()
        self._events.append(Broken(reply, own, stage))
