"""The client engine: one SMTP or LMTP session as bytes in, events out.

Decides the order of things: replies go to L{Setup} until the session is ready, then to L{Transactions}; a session that is over
says nothing more.  It does no I/O, knows no clock (C{stage} tells which time limit applies), and keeps no text of the session.

Use: C{receive_data}, then C{next_event} until None, then send C{data_to_send}.  After C{StartHandshake} call C{tls_started}; after C{Ready}
and whenever C{can_begin}, C{begin}; after C{SendContent}, C{content} and C{end_content}; where the connection ended, C{lost}.

Sources: RFC 5321, RFC 2033, RFC 2920, RFC 3207, RFC 4954, RFC 3030.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_offers import Offers
from twistedrelay.wire.client_replies import ReplyError, ReplyParser
from twistedrelay.wire.client_setup import Setup
from twistedrelay.wire.client_transactions import Transactions
from twistedrelay.wire.client_values import Broken, ClientEvent, ClientSettings, Ready, Stage, Transaction


class SMTPClient:
    """One session with a server.

    @ivar ready: the session is set up.
    @ivar replies: how many replies have come; grows with each, so that progress can be seen.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.ready = False
        self.replies = 0
        self._settings = settings
        self._output: list[bytes] = []
        self._events: deque[ClientEvent] = deque()
        self._parser = ReplyParser()
        self._setup = Setup(settings, self._output)
        self._transactions = Transactions(settings.lmtp, self._output, self._events)

    @property
    def stage(self) -> Stage:
        """What is awaited now."""
        if self._transactions.broken:
            return Stage.CLOSED
        return self._transactions.stage if self.ready else self._setup.stage

    @property
    def closed(self) -> bool:
        """The session is over."""
        return self._transactions.broken

    @property
    def features(self) -> dict[str, str]:
        """EHLO keywords in upper case with their parameters."""
        return self._setup.features

    @property
    def offers(self) -> Offers:
        """What the server can do, once the session is ready."""
        return self._transactions.offers

    @property
    def idle(self) -> bool:
        """No transaction is open."""
        return self._transactions.idle

    @property
    def can_begin(self) -> bool:
        """Whether a transaction may begin now."""
        return self.ready and self._transactions.can_begin

    @property
    def completed(self) -> int:
        """How many transactions have ended by replies of the server."""
        return self._transactions.completed

    def receive_data(self, data: bytes) -> None:
        """Take octets from the server."""
        if self._transactions.broken:
            return
        if self._setup.stage is Stage.HANDSHAKE:
            self.lost(Reply(451, "4.7.5", "Octets behind the reply to STARTTLS: response injection"))
            return
        self._parser.feed(data)
        parser, transactions = self._parser, self._transactions
        try:
            while not transactions.broken and (raw := parser.next()) is not None:
                self.replies += 1
                if self.ready:
                    transactions.receive(raw)
                else:
                    self._set_up(self._setup.receive(raw, parser.pending))
        except ReplyError as error:
            self.lost(Reply(451, "4.5.0", f"Protocol error of the server: {error}"))

    def _set_up(self, event: ClientEvent | None) -> None:
        if event is None:
            return
        if isinstance(event, Ready):
            self.ready = True
            offers = Offers.of(self._setup.features, proven=self._settings.require_tls, chunking=self._settings.chunking)
            self._transactions.learn(offers, self._setup.logged_in)
        elif isinstance(event, Broken):
            self._transactions.broken = True
        self._events.append(event)

    def next_event(self) -> ClientEvent | None:
        """What has happened, in order; None: nothing more."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """The octets to send now, to be written at once."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def bind(self, bindings: Mapping[str, bytes]) -> None:
        """What binds a login to the TLS channel, by name; to be told as soon as TLS is on."""
        self._setup.bindings = bindings

    def derived(self, answer: bytes) -> None:
        """The work of C{Derive} is done."""
        if not self.closed:
            self._setup.derived(answer)

    def tls_started(self) -> None:
        """The handshake has begun; what is sent from now on is encrypted."""
        self._setup.tls_started()

    def begin(self, transaction: Transaction) -> None:
        """Begin a transaction; only where C{can_begin}."""
        self._transactions.begin(transaction)

    def content(self, chunk: bytes) -> None:
        """Send a chunk of the content of the transaction that C{SendContent} named, not dot-stuffed.

        Nothing is sent where the session has ended meanwhile: a server may say too much behind its 354, in the same packet.
        """
        if not self._transactions.broken:
            self._transactions.content(chunk)

    def end_content(self) -> None:
        """That was all of it."""
        if not self._transactions.broken:
            self._transactions.end_content()

    def kept(self) -> None:
        """The connection is used again after it was idle: a transaction of which nothing is answered was then not tried."""
        self._transactions.kept = True

    def quit(self) -> None:
        """Say good-bye; only where C{idle}.  The reply ends the session."""
        self._transactions.quit()

    def lost(self, reply: Reply, give_back: bool = False) -> None:
        """The connection broke, or is about to be broken by us, for the reason C{reply}.

        @param give_back: transactions before their final dot count as not tried.
        """
        if not self.closed:
            self._transactions.lost(reply, give_back, self.stage)
