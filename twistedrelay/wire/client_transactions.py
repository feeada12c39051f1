"""Mail transactions of a client session, from MAIL to the reply after the content.

Decides what to say next and what each reply means for each recipient.  With PIPELINING a whole envelope is one write, and the
next envelope may be said right behind the dot of the message before it (RFC 2920 section 3.1: content may come first in a
group).  Over LMTP it may not: a server that gives one reply too few after the dot would make the next MAIL's 250 pass for a delivery.
RSET is said only where a transaction was left open.  A recipient who was one too many is told apart from one who is refused.  It never
reports a recipient as taken without a 2xx to the whole content.

Where the server offers CHUNKING content goes by BDAT, in a single chunk behind the replies to RCPT: its size is known, so there is nothing
to wait for in between, and nothing is sent where nobody was accepted.  Else it goes by DATA.  Content that does not have its size, or holds
what text must not hold, ends the session before the message is whole.  A server that refuses BDAT as a command may take the content for
commands, so the session ends at once, and the message waits.  BDAT has no 354 that shows where a server gives a reply too many: a message
whose replies to RCPT have not the enhanced code of such, though the server offers those codes, goes by DATA.

Sources: RFC 5321 sections 3.3 and 4.5.3.2, RFC 2920, RFC 2033 section 4.2, RFC 3030 section 2.
"""

from __future__ import annotations

from collections import deque

from twistedrelay.values.envelope import NO_RCPT_PARAMETERS
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_ends import Ends
from twistedrelay.wire.client_fit import judge
from twistedrelay.wire.client_meaning import is_for_recipient, one_too_many
from twistedrelay.wire.client_offers import Offers, mail_words, rcpt_words
from twistedrelay.wire.client_replies import RawReply
from twistedrelay.wire.client_values import ClientEvent, Finished, Phase, SendContent, Stage, Transaction, Verdict
from twistedrelay.wire.stuffing import Stuffer
from twistedrelay.wire.textguard import ContentError, TextGuard


class Transactions(Ends):
    """The transactions of one session.  How they end is in L{Ends}."""

    def __init__(self, lmtp: bool, output: list[bytes], events: deque[ClientEvent]) -> None:
        super().__init__(lmtp, events)
        self._output = output
        self._logged_in = False
        self._pipelining = False
        self._quitting = False
        self._delayed_mail = ""  # without PIPELINING: the MAIL that waits for the reply to RSET
        self._left = 0  # octets of the content that are still to come
        self._form: Stuffer | TextGuard | None = None  # what the content passes through; None: it is binary

    def learn(self, offers: Offers, logged_in: bool) -> None:
        """What the server can do, and whether we have logged in."""
        self.offers = offers
        self._logged_in = logged_in
        self._pipelining = offers.pipelining

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
            if not self._by_chunk(transaction):
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
        self._left -= len(chunk)
        try:
            if self._left < 0:
                raise ContentError("it is longer than its size")
            self._output.append(chunk if self._form is None else self._form.feed(chunk))
        except ContentError as error:
            self._spoil(error)

    def end_content(self) -> None:
        """Send what ends the content: the final dot; a chunk of BDAT ends by itself."""
        try:
            if self._left:
                raise ContentError("it is shorter than its size")
            if self._form is not None:
                self._output.append(self._form.finish())
        except ContentError as error:
            self._spoil(error)
        else:
            self._await_end(self._open[0])

    def _spoil(self, error: ContentError) -> None:
        """The content is not what was said: the server must not get a whole message."""
        self.lost(Reply(451, "4.3.0", f"The content of the message cannot be sent: {error}"), stage=Stage.CONTENT)

    def _await_end(self, transaction: Transaction) -> None:
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
            if self._refused_behind:  # it may be for the transaction before, which has not ended there, or for a line of its content
                self.lost(Reply(451, "4.5.0", f"MAIL was refused behind a refused BDAT: {raw.code}"), True, Stage.MAIL)
                return
            transaction.refusal = Verdict(raw.parse())
        self._refused_behind = False
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
        elif self._by_chunk(transaction):
            self._begin_chunk(transaction)
        elif transaction.accepted:
            self._say_data(transaction)
        else:
            self._reset_needed = True
            self._finish(transaction)

    def _rcpt_answered(self, transaction: Transaction, index: int, raw: RawReply) -> None:
        if raw.code < 300:
            transaction.accepted.append(index)
            if self.offers.enhanced and not is_for_recipient(raw):
                self._distrust_order(transaction)
        elif raw.code < 400:
            self._protocol_error(Stage.RCPT, raw)
            return
        else:
            reply = raw.parse()
            transaction.verdicts[index] = Verdict(reply)
            if transaction.accepted and one_too_many(reply):
                transaction.excess = [*transaction.excess, index]
        if not self._pipelining:
            self._say_next_recipient(transaction, index + 1)
        elif not self._awaited:  # else it was not the last one, or DATA was said
            self._begin_chunk(transaction)

    def _distrust_order(self, transaction: Transaction) -> None:
        """Replies may be those to other commands: DATA shows that by its 354, BDAT would not."""
        if transaction.mail.body != "BINARYMIME":
            transaction.by_data = True

    def _begin_chunk(self, transaction: Transaction) -> None:
        """All recipients are answered: what DATA and its 354 are otherwise."""
        if not transaction.accepted or transaction.refusal is not None:
            self._reset_needed = transaction.refusal is None
            self._finish(transaction)
        elif transaction.by_data:
            self._say_data(transaction)
        else:
            self._output.append(b"BDAT %d LAST\r\n" % transaction.size)
            self._begin_content(transaction, None if transaction.mail.body == "BINARYMIME" else TextGuard())

    def _say_data(self, transaction: Transaction) -> None:
        self._output.append(b"DATA\r\n")
        self._awaited.append((Stage.DATA, transaction, -1))

    def _begin_content(self, transaction: Transaction, form: Stuffer | TextGuard | None) -> None:
        transaction.phase = Phase.CONTENT
        self._left, self._form = transaction.size, form
        self._events.append(SendContent(transaction))

    def _data_answered(self, transaction: Transaction, raw: RawReply) -> None:
        if raw.code == 354:
            if transaction.accepted and transaction.refusal is None:
                self._begin_content(transaction, Stuffer())
            elif transaction.accepted or self._lmtp:  # nothing can be said that would surely not be a message
                self._protocol_error(Stage.DATA, raw)
            else:  # RFC 2920 section 3.1: a lone dot, whatever comes back
                self._output.append(b".\r\n")
                self._await_end(transaction)
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
        if raw.code < 300:
            self._reset_needed = False
        elif self._by_chunk(transaction) and not self._understood(transaction, verdict.reply):
            return
        if index >= 0:
            transaction.verdicts[index] = verdict
            if any(one is None for one in transaction.verdicts):
                return
        else:
            transaction.settle(verdict)
        self._finish(transaction)
