"""How transactions end, and what is known of them where the session does.

Decides what becomes of each open transaction at a 421, at a reply that nothing was asked for, and where the connection breaks: it is
answered, in doubt, given up for now, or was not tried at all.  It never reports a recipient as taken, and says nothing to the server.

Sources: RFC 5321 sections 3.8 and 4.5.3.2, RFC 2033 section 4.2, RFC 3030 section 2 (a chunk that is refused).
"""

from __future__ import annotations

from collections import deque

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_meaning import doubtful, is_no_chunk, no_chunk
from twistedrelay.wire.client_offers import NOTHING
from twistedrelay.wire.client_replies import RawReply
from twistedrelay.wire.client_values import Broken, ClientEvent, Finished, Phase, Stage, Transaction, Untried, Verdict

#: What a reply is awaited for: the stage, the transaction, the recipient's index (-1: none in particular).
_Awaited = tuple[Stage, "Transaction | None", int]


class Ends:
    """The open transactions of a session.

    @ivar completed: how many have ended by replies of the server.
    @ivar kept: the connection was idle before: a transaction of which nothing was answered was not tried.
    @ivar broken: the session is over.
    @ivar offers: what the server can do.
    """

    def __init__(self, lmtp: bool, events: deque[ClientEvent]) -> None:
        self.completed = 0
        self.kept = False
        self.broken = False
        self.offers = NOTHING
        self._lmtp = lmtp
        self._events = events
        self._open: deque[Transaction] = deque()
        self._awaited: deque[_Awaited] = deque()
        self._reset_needed = False
        self._refused_behind = False  # a chunk was refused when the next MAIL was already said

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

    def _by_chunk(self, transaction: Transaction) -> bool:
        return self.offers.chunking and not transaction.by_data

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
                transaction.settle(Verdict(doubtful(reply), uncertain=True))
            transaction.settle(Verdict(reply))
            self._close(transaction)
        self._break(reply, False, stage)

    def _unexpected(self, raw: RawReply) -> None:
        """A reply that nothing was asked for: an early verdict on content that is being sent, or nonsense."""
        if self._open and raw.code >= 400:
            transaction, reply = self._open[0], raw.parse()
            if self._by_chunk(transaction) and not self._understood(transaction, reply):
                return
            transaction.settle(Verdict(reply))
            self._finish(transaction)
            self._break(reply, False, Stage.CONTENT)
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
                transaction.settle(Verdict(doubtful(reply), own=True, uncertain=True))
                self._close(transaction)
            elif not give_back and (transaction.answered or (first_on_connection and place == 0)):
                transaction.settle(Verdict(reply, own=True))
                self._close(transaction)
        self._break(reply, True, stage)

    def _break(self, reply: Reply, own: bool, stage: Stage, *, no_chunks: bool = False) -> None:
        """End the session; what is still open was not tried."""
        self.broken = True
        for transaction in self._open:
            self._events.append(Untried(transaction))
        self._open.clear()
        self._awaited.clear()
        self._events.append(Broken(reply, own, stage, no_chunks=no_chunks))

    def _understood(self, transaction: Transaction, refusal: Reply) -> bool:
        """Whether a refusal is one of the message, not of the command: what follows that is lost, and told for all recipients."""
        if any(transaction.verdicts[index] is not None for index in transaction.accepted):
            return True  # LMTP: it was for another recipient
        if is_no_chunk(refusal):
            reply = no_chunk(refusal)
            transaction.settle(Verdict(reply, own=True))
            self._finish(transaction)
            self._break(reply, True, Stage.END, no_chunks=True)
            return False
        self._refused_behind = len(self._open) > 1
        self._reset_needed = not self._refused_behind  # not all servers end the transaction then
        return True
