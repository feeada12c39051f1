"""The server side of ESMTP without I/O: octets in, events out, replies in order.

Takes the stream apart into commands and messages and says what the client asks.  It decides nothing about policy: whoever drives it
answers each event that waits by L{SMTPServer.respond}, now or later, and until then nothing behind that command is looked at.  So
replies are always in the order of the commands (RFC 2920), and no decision can be overtaken.

Every error reply that the engine itself wants goes through L{ProtocolError}, so that the session can count, delay and log it.

Sources: RFC 5321, RFC 2920, RFC 3207, RFC 4954, RFC 2033 (LMTP); www.postfix.org, XCLIENT_README.
"""

from __future__ import annotations

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire.auth import AUTHENTICATED, Exchange
from twistedrelay.wire.body import DataReceiver
from twistedrelay.wire.chunking import Chunking
from twistedrelay.wire.commands import READERS, RESET, refuse, unknown
from twistedrelay.wire.events import (
    Authenticate,
    Bdat,
    Content,
    Data,
    EndOfContent,
    Event,
    Hello,
    Mail,
    ProtocolError,
    Quit,
    Rcpt,
    ScramChallenge,
    StartTLS,
    XClient,
)
from twistedrelay.wire.lines import LineTooLong
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.state import SessionState
from twistedrelay.wire.stream import MANY_REPLIES

_OWN_WORDS = frozenset((Hello, StartTLS, Bdat, XClient, Authenticate, ScramChallenge))  # acceptance is more than a reply

#: First words of HTTP.  A browser was made to talk to us, and what follows is what some web page wants to be done.
_HTTP = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"))


class SMTPServer(Chunking):
    """One connection.

    Call L{greet}; feed L{receive_data}; call L{next_event} until it gives None; then send L{data_to_send}, in one write.  After each
    round look at L{closing} and L{awaiting_tls}.

    @ivar settings: may be replaced at any time; the next command is read by the new ones.
    @ivar closing: nothing is read any more: send what is left and close.
    @ivar awaiting_tls: STARTTLS was accepted: send what is left, start TLS, and call L{tls_started}.
    """

    __slots__ = ("_auth_refused", "_exchange")

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self._exchange: Exchange | None = None  # inside AUTH
        self._auth_refused = False  # lines that follow a refused AUTH may be secrets

    def next_event(self) -> Event | None:
        """What the client asked next, or None: more octets or a reply are needed first."""
        if self._waiting is not None or self.closing or self.awaiting_tls or not self._greeted or len(self._out) >= MANY_REPLIES:
            return None
        queued = self._queued
        if queued is not None:
            self._queued = None
            if queued is not RESET and queued is not AUTHENTICATED:
                self._waiting = queued
            return queued
        while True:
            receiver = self._receiver
            if receiver is not None:
                event = self._read_data(receiver) if isinstance(receiver, DataReceiver) else self._read_chunk(receiver)
                if event is not None or self._receiver is not None:
                    return event
            else:
                try:
                    line = self._lines.line(response=self._exchange is not None)
                except LineTooLong as error:
                    self._auth_refused = self._exchange is not None or error.verb == b"AUTH"
                    self._exchange = None
                    event = refuse(replies.LINE_TOO_LONG, b"")
                    # What follows such a BDAT is content, and nobody knows how much of it.
                    return self._wait(self._cut_off(event) if error.verb == b"BDAT" else event)
                if line is None:
                    return None
                event = self._read_command(line) if self._exchange is None else self._auth_event(self._exchange, self._exchange.step(line))
                if event is not None:
                    return event
            if self.congested:
                return None

    def respond(self, reply: Reply) -> None:
        """Answer the event that waits.  421 closes, whatever it answers.

        @raise RuntimeError: no event waits.
        """
        event = self._waiting
        if event is None:
            raise RuntimeError("no event waits for a reply")
        self._waiting = None
        state = self._state
        kind = type(event)
        code = reply.code
        if kind in _OWN_WORDS and self._accept(event, reply):
            return
        if kind is EndOfContent:
            self._end_message(reply)
        else:
            self._say(reply)
            if kind is Rcpt:
                state.recipients += code < 400
            elif isinstance(event, Mail):
                if code < 400:
                    state.begin_transaction(event.parameters)
            elif kind is Data and code == 354:
                self._receiver = DataReceiver(self.settings.max_message_size, self.settings.bare_linefeed_rejection_enabled)
        if code == 421 or kind is Quit or self._close_after_reply:
            self._close()

    def _accept(self, event: Event, reply: Reply) -> bool:
        """Answer an event whose acceptance is more than a reply, unless the reply is all."""
        if isinstance(event, Bdat):
            if reply.code == 421:
                return False
            self._answer_bdat(event, reply)
        elif isinstance(event, Authenticate | ScramChallenge):
            assert self._exchange is not None
            self._queued = self._auth_event(self._exchange, self._exchange.judged(reply))
            if reply.code == 421:
                self._close()
        elif not reply.is_positive:
            return False
        elif isinstance(event, Hello):
            self._accept_hello(event)
        elif isinstance(event, StartTLS):
            self._accept_tls(reply)
        else:
            self._state = SessionState(secure=self._state.secure)
            self._queued = RESET
            self._say(reply)
        return True

    def challenge(self, verifier: ScramVerifier, binding: bytes) -> None:
        """Answer L{ScramChallenge}.

        @param binding: the octets of the channel binding that it names, C{b""} for none.
        @raise RuntimeError: no such event waits.
        """
        if self._exchange is None or type(self._waiting) is not ScramChallenge:
            raise RuntimeError("no SCRAM exchange waits")
        self._waiting = None
        self._exchange.challenge(verifier, binding)

    def tls_started(self) -> None:
        """What arrives from now on came under TLS.  All that the client said before is forgotten (RFC 3207 section 4.2)."""
        self.awaiting_tls = False
        self._state.begin_tls()
        self._queued = RESET

    def _read_data(self, receiver: DataReceiver) -> Event | None:
        if not self._lines:
            return None
        chunk = receiver.feed(self._lines.take())
        if receiver.finished:
            self._receiver = None
            self._lines.put_back(receiver.rest)
            end = EndOfContent(receiver.fault)
            if not chunk:
                return self._wait(end)
            self._queued = end
        return Content(chunk) if chunk else None

    def _read_command(self, line: bytes) -> Event | None:
        line = line.rstrip(b" \t")
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        reader = READERS.get(verb)
        if reader is None:
            return self._read_other(verb, argument, line)
        self._auth_refused = False
        asked = reader(self._state, self.settings, argument, line)
        if isinstance(asked, Reply):
            self._say(asked)
            return None
        if asked is RESET:
            self._state.forget_transaction()
            self._say(replies.RESET)
            return asked
        self._waiting = asked
        return asked

    def _read_other(self, verb: bytes, argument: bytes, line: bytes) -> Event | None:
        if verb == b"AUTH":
            return self._read_auth(argument)
        if verb == b"BDAT":
            self._auth_refused = False
            event = self._read_bdat(argument, line)
            return event if event is None or event is RESET else self._wait(event)
        if verb == b"STARTTLS":
            return self._read_starttls(argument, line)
        error = ProtocolError(replies.UNRECOGNIZED, "" if self._auth_refused else unknown(line))
        if verb.lstrip().startswith(b"AUTH"):  # misspelled: what follows may be its secrets all the same
            self._auth_refused = True
        # What follows a BDAT with a tab, say, may be content as well.
        return self._wait(self._cut_off(error) if verb in _HTTP or verb.startswith(b"BDAT") else error)

    def _accept_hello(self, event: Hello) -> None:
        state = self._state
        state.hello = event.verb
        if state.in_transaction:
            self._queued = RESET
        state.forget_transaction()
        self._say(state.greeting(self.settings))

    def _read_starttls(self, argument: bytes, line: bytes) -> Event:
        if self._lines:
            # The client may not send a word before the handshake.  What it sent goes no further, and neither does the session.
            return self._wait(self._cut_off(refuse(replies.BAD_SEQUENCE, line)))
        refusal = replies.BAD_ARGUMENTS if argument else self._state.refuse_starttls(self.settings)
        return self._wait(StartTLS() if refusal is None else refuse(refusal, line))

    def _accept_tls(self, reply: Reply) -> None:
        if self._lines:  # arrived while the decision was pending
            self._say(replies.BAD_SEQUENCE)
            self._close()
        else:
            self._say(reply)
            self.awaiting_tls = True

    def _read_auth(self, argument: bytes) -> Event | None:
        word, _, initial = argument.partition(b" ")
        name = word.decode("ascii", "replace").upper()
        refusal = self._state.refuse_auth(self.settings, name)
        if refusal is not None:
            return self._refuse_auth(refusal)
        exchange = self._exchange = Exchange(name, self.settings, self._state, self._say)
        return self._auth_event(exchange, exchange.start(initial))

    def _auth_event(self, exchange: Exchange, event: Event | None) -> Event | None:
        if exchange.over:
            self._exchange = None
            self._auth_refused = exchange.refused
        if event is not None and event is not AUTHENTICATED:
            self._waiting = event
        return event

    def _refuse_auth(self, reply: Reply) -> Event:
        self._auth_refused = True
        return self._wait(refuse(reply, b"AUTH"))
