"""The server side of ESMTP without I/O: octets in, events out, replies in order.

Takes the stream apart into commands and messages and says what the client asks.  It decides nothing about policy: whoever drives it
answers each event that waits by L{SMTPServer.respond}, now or later, and until then nothing behind that command is looked at.  So
replies are always in the order of the commands (RFC 2920), and no decision can be overtaken.

Every error reply that the engine itself wants goes through L{ProtocolError}, so that the session can count, delay and log it.

Sources: RFC 5321, RFC 2920, RFC 3207, RFC 4954.
"""

from __future__ import annotations

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire.auth import AUTHENTICATED, Exchange
from twistedrelay.wire.body import DataReceiver
from twistedrelay.wire.commands import READERS, RESET, refuse
from twistedrelay.wire.events import (
    Authenticate,
    Content,
    Data,
    EndOfContent,
    Event,
    Hello,
    Mail,
    Quit,
    Rcpt,
    ScramChallenge,
    StartTLS,
)
from twistedrelay.wire.lines import LineBuffer, LineTooLong
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.state import SessionState

_OWN_WORDS = frozenset((Hello, StartTLS))  # acceptance is more than a reply
_OF_AUTH = frozenset((Authenticate, ScramChallenge))

#: Replies that are given before they have to be sent: a flood of short commands is answered in portions, so that it can be stopped.
_MANY_REPLIES = 256

#: First words of HTTP.  A browser was made to talk to us, and what follows is what some web page wants to be done.
_HTTP = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"))


class SMTPServer:
    """One connection.

    Call L{greet}; feed L{receive_data}; call L{next_event} until it gives None; then send L{data_to_send}, in one write.  After each
    round look at L{closing} and L{awaiting_tls}.

    @ivar settings: may be replaced at any time; the next command is read by the new ones.
    @ivar closing: nothing is read any more: send what is left and close.
    @ivar awaiting_tls: STARTTLS was accepted: send what is left, start TLS, and call L{tls_started}.
    """

    __slots__ = (
        "_auth_refused",
        "_close_after_reply",
        "_exchange",
        "_greeted",
        "_lines",
        "_out",
        "_queued",
        "_receiver",
        "_state",
        "_waiting",
        "awaiting_tls",
        "closing",
        "settings",
    )

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.closing = False
        self.awaiting_tls = False
        self._state = SessionState(secure=settings.implicit_tls)
        self._lines = LineBuffer()
        self._out: list[bytes] = []
        self._greeted = False
        self._waiting: Event | None = None
        self._queued: Event | None = None  # follows the last event, before anything more is read
        self._close_after_reply = False
        self._receiver: DataReceiver | None = None  # inside DATA
        self._exchange: Exchange | None = None  # inside AUTH
        self._auth_refused = False  # lines that follow a refused AUTH may be secrets

    @property
    def buffered(self) -> int:
        """Octets received and not used yet: stop reading from the client above a bound."""
        return len(self._lines)

    @property
    def congested(self) -> bool:
        """Many replies were not taken by L{data_to_send} yet; until then no event follows."""
        return len(self._out) >= _MANY_REPLIES

    @property
    def secure(self) -> bool:
        """The connection is under TLS."""
        return self._state.secure

    @property
    def authenticated(self) -> bool:
        """AUTH succeeded."""
        return self._state.authenticated

    @property
    def in_transaction(self) -> bool:
        """MAIL was accepted, and the message has not ended."""
        return self._state.in_transaction

    @property
    def in_content(self) -> bool:
        """The client is sending a message."""
        return self._receiver is not None

    def greet(self, reply: Reply) -> None:
        """Say the first word; a negative one is also the last.  Commands that came before it are read from now on."""
        self._out.append(reply.wire)
        self._greeted = True
        if not reply.is_positive:
            self._close()

    def receive_data(self, data: bytes) -> None:
        """Take octets from the client."""
        if self.awaiting_tls and data:
            # In the clear behind STARTTLS: someone wants it executed as if it had come under TLS.
            self._close()
        elif not self.closing:
            self._lines.feed(data)

    def data_to_send(self) -> bytes:
        """All replies since the last call."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def next_event(self) -> Event | None:
        """What the client asked next, or None: more octets or a reply are needed first."""
        if self._waiting is not None or self.closing or self.awaiting_tls or not self._greeted:
            return None
        if len(self._out) >= _MANY_REPLIES:
            return None
        queued = self._queued
        if queued is not None:
            self._queued = None
            if queued is not RESET and queued is not AUTHENTICATED:
                self._waiting = queued
            return queued
        if self._receiver is not None:
            return self._read_content(self._receiver)
        while True:
            try:
                line = self._lines.line(response=self._exchange is not None)
            except LineTooLong:
                self._exchange = None
                return self._wait(refuse(replies.LINE_TOO_LONG, b""))
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
        positive = code < 400
        if kind in _OWN_WORDS and positive:
            if isinstance(event, Hello):
                self._accept_hello(event)
            else:
                self._accept_tls(reply)
            return
        if kind in _OF_AUTH:
            assert self._exchange is not None
            self._queued = self._auth_event(self._exchange, self._exchange.judged(reply))
        else:
            self._out.append(reply.wire)
        if kind is Mail:
            state.in_transaction = positive
        elif kind is Rcpt:
            state.recipients += positive
        elif kind is Data:
            if code == 354:
                self._receiver = DataReceiver(self.settings.max_message_size, self.settings.bare_linefeed_rejection_enabled)
        elif kind is EndOfContent:
            state.forget_transaction()
        if code == 421 or kind is Quit or self._close_after_reply:
            self._close()

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

    def _close(self) -> None:
        self.closing = True
        self.awaiting_tls = False
        self._queued = None
        self._receiver = None
        self._exchange = None
        self._lines.clear()

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.wire)

    def _wait(self, event: Event) -> Event:
        self._waiting = event
        return event

    def _read_content(self, receiver: DataReceiver) -> Event | None:
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
            self._out.append(asked.wire)
            return None
        if asked is RESET:
            self._state.forget_transaction()
            self._out.append(replies.RESET.wire)
            return asked
        self._waiting = asked
        return asked

    def _read_other(self, verb: bytes, argument: bytes, line: bytes) -> Event | None:
        if verb == b"AUTH":
            return self._read_auth(argument)
        if verb == b"STARTTLS":
            return self._read_starttls(argument, line)
        if verb in _HTTP:
            self._lines.clear()
            self._close_after_reply = True
        return self._wait(refuse(replies.UNRECOGNIZED, b"" if self._auth_refused else line))

    def _accept_hello(self, event: Hello) -> None:
        state = self._state
        state.hello = event.verb
        if state.in_transaction:
            state.forget_transaction()
            self._queued = RESET
        self._out.append(state.greeting(self.settings).wire)

    def _read_starttls(self, argument: bytes, line: bytes) -> Event:
        if self._lines:
            # The client may not send a word before the handshake.  What it sent goes no further, and neither does the session.
            self._lines.clear()
            self._close_after_reply = True
            return self._wait(refuse(replies.BAD_SEQUENCE, line))
        refusal = replies.BAD_ARGUMENTS if argument else self._state.refuse_starttls(self.settings)
        return self._wait(StartTLS() if refusal is None else refuse(refusal, line))

    def _accept_tls(self, reply: Reply) -> None:
        if self._lines:  # arrived while the decision was pending
            self._out.append(replies.BAD_SEQUENCE.wire)
            self._close()
        else:
            self._out.append(reply.wire)
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
