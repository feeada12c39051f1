"""One connection over which a next hop is asked about addresses: MAIL FROM:<>, RCPT TO, RSET, and never a message.

Decides what a reply says about the address and what it says about something else.  Only a refusal that is about the recipient makes one
unknown: a server that does not like us, is full or is away says nothing about its users, and neither does a refusal before RCPT.  Knows
no clock but for how long it is kept: who asks sets the time for an answer, by cancelling.

Sources: RFC 5321 section 4.2, RFC 3463 (X.1.x); Exchange Online, directory-based edge blocking (550 5.4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.delivery.fit import ascii_path
from twistedrelay.values.address import Address
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_replies import ReplyError, ReplyParser
from twistedrelay.wire.client_values import Broken, ClientSettings, Ready, StartHandshake

IDLE = 10.0  #: seconds that a connection is kept; servers close it later

_NO_USER_CODES = frozenset((550, 551, 553))
_NOT_OF_RECIPIENTS = frozenset(("5.1.7", "5.1.8"))  # of the sender
_ALSO_NO_USER = frozenset(("5.2.1", "5.4.1"))


class CallAheadFailed(Exception):
    """The next hop could not be asked; C{str()} says why."""


def verdict(reply: Reply) -> bool | None:
    """What the reply to RCPT says about the recipient; None: nothing."""
    if reply.code < 300:
        return True
    if not reply.is_permanent:
        return None
    status = reply.enhanced
    if status in ("", "5.0.0"):
        return False if reply.code in _NO_USER_CODES else None
    about_recipient = status in _ALSO_NO_USER or (status.startswith("5.1.") and status not in _NOT_OF_RECIPIENTS)
    return False if about_recipient else None


@implementer(IHandshakeListener)
class Probe(Protocol):
    """One connection.

    @ivar established: fires once it is ready to be asked.
    @ivar usable: it can be asked again.
    @ivar handshake_failed: it was lost in the TLS handshake.
    """

    transport: Any

    def __init__(self, clock: Any, settings: ClientSettings, creator: IOpenSSLClientConnectionCreator | None) -> None:
        self.established: Deferred[None] = Deferred(lambda _: self.abort())
        self.usable = False
        self.handshake_failed = False
        self._clock = clock
        self._creator = creator
        self._setup = SMTPClient(settings)
        self._parser = ReplyParser()
        self._handshaking = False
        self._reply: Deferred[Reply] | None = None
        self._resting: Any = None

    async def ask(self, address: Address) -> bool | None:
        """Whether the server takes mail for an address; None: it cannot tell.

        @raise CallAheadFailed: the connection was lost.
        """
        self._wake()
        text, utf8 = ascii_path(address), ""
        if not text.isascii():
            if not self._setup.offers.utf8:
                return False  # mail for it could not be handed over, and would go back to who knows whom
            utf8 = " SMTPUTF8"
        sender = await self._command(f"MAIL FROM:<>{utf8}")
        answer = verdict(await self._command(f"RCPT TO:<{text}>")) if sender.is_positive else None
        self.usable = (await self._command("RSET")).is_positive
        return answer

    def rest(self, gone: Callable[[Probe], None]) -> None:
        """Nobody asks now: say good-bye after a while.  C{gone}: called when it cannot be used any more."""
        self._gone = gone
        self._resting = self._clock.callLater(IDLE, self.quit)

    def quit(self) -> None:
        """End the session in good order; it need not be waited for."""
        self._leave()
        self.transport.write(b"QUIT\r\n")
        self.transport.loseConnection()

    def abort(self) -> None:
        """Drop the connection."""
        self._leave()
        if self.transport is not None:
            self.transport.abortConnection()

    def _wake(self) -> None:
        if self._resting is not None:
            if self._resting.active():
                self._resting.cancel()
            self._resting = None

    def _leave(self) -> None:
        self.usable = False
        if self._resting is not None:
            self._wake()
            self._gone(self)

    def _command(self, line: str) -> Deferred[Reply]:
        reply: Deferred[Reply] = Deferred()
        self._reply = reply
        self.transport.write(line.encode() + b"\r\n")
        return reply

    # -- transport -------------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Octets of the server."""
        if not self._setup.ready:
            self._setup.receive_data(data)
            self._set_up()
            return
        self._parser.feed(data)
        try:
            while (raw := self._parser.next()) is not None:
                waiting, self._reply = self._reply, None
                if waiting is None:  # it speaks unasked, and most often takes leave
                    self.abort()
                    return
                if raw.code == 421:
                    self.abort()
                waiting.callback(raw.parse())
        except ReplyError:
            self.abort()

    def _set_up(self) -> None:
        while (event := self._setup.next_event()) is not None:
            if isinstance(event, StartHandshake):
                assert self._creator is not None
                self._handshaking = True
                self.transport.startTLS(self._creator)
            elif isinstance(event, Ready):
                self.usable = True
                self.established.callback(None)
            elif isinstance(event, Broken):
                self._fail(str(event.reply))
                self.abort()
                return
        if output := self._setup.data_to_send():
            self.transport.write(output)

    def handshakeCompleted(self) -> None:
        """TLS is on."""
        self._handshaking = False
        self._setup.tls_started()
        self._set_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing more can be asked."""
        self._leave()
        self.handshake_failed = self._handshaking
        self._fail(reason.getErrorMessage())

    def _fail(self, why: str) -> None:
        error = CallAheadFailed(why)
        if not self.established.called:
            self.established.errback(error)
        waiting, self._reply = self._reply, None
        if waiting is not None:
            waiting.errback(error)
