"""A small model of an SMTP session: one octet stream, one command after the other, no packets and no time.

It is written from the RFCs and shares no code with the engine.  It takes a stream and says for each command either which reply it gets or
what the session is asked; a question must be answered before the next command is looked at.  That is all there is to "replies in order":
whatever the packets and whenever the answers come, a server must do as this model does.

Sources: RFC 5321 sections 4.1.1 and 4.1.4, RFC 3207, RFC 4954, RFC 2920, RFC 3030, RFC 2033 (LMTP).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from tests.proof.logins import LOGINS, Login

MAIL = b"MAIL FROM:<a@client.example>"
RCPT = b"RCPT TO:<user@akkaya.local>"

#: What clients say, by name.  A content is sent whole, whether or not it was asked for: then its lines are commands.
SAYINGS: dict[str, bytes] = {
    "EHLO": b"EHLO client.example\r\n",
    "HELO": b"HELO client.example\r\n",
    "LHLO": b"LHLO client.example\r\n",
    "EHLO two words": b"EHLO two words\r\n",
    "MAIL": MAIL + b"\r\n",
    "MAIL null": b"mail from:<>\r\n",
    "MAIL binary": MAIL + b" BODY=BINARYMIME\r\n",
    "MAIL refused": b"MAIL FROM:<refused@client.example>\r\n",
    "MAIL malformed": b"MAIL FROM:<\r\n",
    "RCPT": RCPT + b"\r\n",
    "RCPT other": b"Rcpt To:<other@akkaya.local>\r\n",
    "RCPT refused": b"RCPT TO:<user@outside.example>\r\n",
    "RCPT malformed": b"RCPT TO:<user@>\r\n",
    "DATA": b"DATA\r\n",
    "DATA now": b"DATA now\r\n",
    "content": b"Subject: x\r\n\r\n..hello\r\n.\r\n",
    "empty content": b".\r\n",
    "bare line end": b"one\ntwo\r\n.\r\n",
    "false end": b"one\r\n.\n..\r\n\n.\r\n.\r\n",
    "BDAT": b"BDAT 7\r\nhello\r\n",
    "BDAT of commands": b"BDAT 12\r\nRSET\r\nQUIT\r\n",
    "BDAT last": b"BDAT 7 LAST\r\nworld\r\n",
    "BDAT nothing more": b"bdat 0 last\r\n",
    "BDAT bare": b"BDAT 4\r\na\nb\n",
    "BDAT to the CR": b"BDAT 3\r\nab\r",
    "BDAT from the LF": b"BDAT 3 LAST\r\n\nab",
    "BDAT unfinished": b"BDAT 40\r\nabc",
    "BDAT malformed": b"BDAT -1\r\nabc\r\n",
    "RSET": b"RSET\r\n",
    "RSET now": b"RSET now\r\n",
    "NOOP": b"NOOP\r\n",
    "HELP": b"HELP\r\n",
    "VRFY": b"VRFY user\r\n",
    "EXPN": b"EXPN staff\r\n",
    "unknown": b"WHATISTHIS\r\n",
    "nothing": b"\r\n",
    "too long": b"NOOP " + b"x" * 600 + b"\r\n",
    **LOGINS,
    "STARTTLS": b"STARTTLS\r\n",
    "XCLIENT": b"XCLIENT ADDR=192.0.2.77\r\n",
    "QUIT": b"QUIT\r\n",
}

_ADDRESS = re.compile(rb"(?:MAIL FROM|RCPT TO):<((?:[a-z]+@[a-z]+\.[a-z]+)?)>( BODY=BINARYMIME)?", re.IGNORECASE)
_CHUNK = re.compile(rb"(\d+)( LAST)?", re.IGNORECASE)


@attrs.frozen
class Asked:
    """What the session has to decide.

    @ivar about: C{Hello}, C{Mail}, C{Rcpt}, C{Data}, C{Bdat}, C{EndOfContent}, C{ScramChallenge}, C{Authenticate}, C{StartTLS},
        C{XClient}, C{Vrfy}, C{Quit} or C{ProtocolError}.
    @ivar code: the reply that the protocol calls for, or 0: any.
    @ivar argument: the address, or C{user:password}.
    """

    about: str
    code: int = 0
    argument: str = ""


@attrs.define
class Chunk:
    """Octets that BDAT announced.

    @ivar then: what follows them: C{None} for content, the question or the replies where they are thrown away.
    """

    size: int
    last: bool
    then: Asked | list[int] | None = None


@attrs.define
class Model:
    """One session.  L{receive} octets, L{step} until it gives None, L{answer} what it asks.

    @ivar lmtp: it is LMTP: LHLO, and at the end a reply for each recipient.
    @ivar trusted: XCLIENT is offered.
    @ivar trusted_again: and offered again behind it.
    @ivar mechanisms: what AUTH takes.
    @ivar said: the codes of all replies.
    @ivar logins: how often a client logged in.
    @ivar stored: the messages that were accepted: sender, recipients, content.
    @ivar chunk: the octets that come next, where they are no commands.
    @ivar chunks: the content of the message that comes by BDAT.
    @ivar refused: the reply to all further chunks of a message that was refused, and how often the last one gets it.
    """

    max_message_size: int = 1_000_000
    lmtp: bool = False
    trusted: bool = False
    trusted_again: bool = True
    mechanisms: tuple[str, ...] = ("LOGIN", "PLAIN", "SCRAM-SHA-256")
    said: list[int] = attrs.Factory(list)
    logins: int = 0
    unread: bytes = b""
    hello: str = ""
    secure: bool = False
    awaiting_tls: bool = False
    authenticated: bool = False
    sender: str | None = None
    rcpt_tried: bool = False
    recipients: list[str] = attrs.Factory(list)
    closed: bool = False
    pending: Asked | None = None
    binary: bool = False
    content: list[bytes] | None = None
    chunk: Chunk | None = None
    chunks: bytes | None = None
    refused: tuple[int, int] | None = None
    stored: list[tuple[str, tuple[str, ...], bytes]] = attrs.Factory(list)
    _login: Login | None = None
    _late: bool = False
    _last: bool = False
    _asked_binary: bool = False

    def receive(self, octets: bytes) -> None:
        """More of the stream.  Octets that come before the TLS handshake close the session."""
        if self.awaiting_tls and octets:
            self._close()
        elif not self.closed:
            self.unread += octets

    def step(self) -> Asked | None:
        """The next question, or None: more octets or an answer are needed first."""
        while not (self.closed or self.awaiting_tls or self.pending):
            if self.chunk is not None:
                if len(self.unread) < self.chunk.size:
                    return None
                found: Asked | int | None = self._take_chunk(self.chunk)
            elif b"\r\n" in self.unread:
                line, _, self.unread = self.unread.partition(b"\r\n")
                found = self._read(line)
            else:
                return None
            if isinstance(found, Asked):
                self.pending = found
            elif found is not None:
                self.said.append(found)
        return self.pending

    def answer(self, code: int) -> None:
        """Answer the question.  C{ScramChallenge} is answered 334 where the exchange goes on."""
        asked, self.pending = self.pending, None
        assert asked is not None
        if asked.about == "EndOfContent":
            self._end_content(code)
        elif asked.about == "Bdat" and code != 421:
            self._answer_bdat(asked, code)
        elif asked.about in ("Authenticate", "ScramChallenge"):
            self._answer_login(asked, code)
        elif asked.about == "StartTLS" and code < 400 and self.unread:
            self.said.append(503)
            self._close()
        else:
            self.said.append(code)
            if code < 400:
                self._agree(asked, code)
        if code == 421 or asked.about == "Quit" or self._late:
            self._close()

    def _agree(self, asked: Asked, code: int) -> None:
        if asked.about == "Hello":
            self._forget()
            self.hello = asked.argument
        elif asked.about == "Mail":
            self.sender, self.binary, self.refused = asked.argument, self._asked_binary, None
        elif asked.about == "Rcpt":
            self.recipients.append(asked.argument)
        elif asked.about == "Data":
            self.content = [] if code == 354 else None
        elif asked.about == "XClient":
            self._forget()
            self.hello, self.authenticated, self.trusted = "", False, self.trusted_again
        elif asked.about == "StartTLS":
            self.awaiting_tls = True

    def _answer_login(self, asked: Asked, code: int) -> None:
        assert self._login is not None
        if asked.about == "ScramChallenge" and code == 334:
            self._login.challenged = True
            self.said.append(334)
        else:
            self.said.append(self._end_login(self._login.judged(code)))

    def _end_login(self, code: int) -> int:
        if code != 334:
            self._login = None
            self.authenticated = code == 235
            self.logins += self.authenticated
        return code

    def tls_started(self) -> None:
        """The handshake is over."""
        self._forget()
        self.awaiting_tls, self.secure, self.authenticated, self.hello = False, True, False, ""

    def _close(self) -> None:
        self.closed, self.awaiting_tls, self.unread, self.content, self._login, self.chunk = True, False, b"", None, None, None

    def _forget(self) -> None:
        self.sender, self.rcpt_tried, self.recipients, self.binary, self.chunks, self.refused = None, False, [], False, None, None

    def _end_content(self, code: int) -> None:
        assert self.sender is not None
        last = self.chunks is None or self._last
        count = len(self.recipients) if self.lmtp and code != 421 else 1
        if code < 400:
            content = b"".join(line + b"\r\n" for line in self.content or ()) if self.chunks is None else self.chunks
            self.stored.append((self.sender, tuple(self.recipients), content))
        self.content = None
        self._forget()
        self.said += [code] * (count if last else 1)
        self.refused = None if last else (code, count)

    def _answer_bdat(self, asked: Asked, code: int) -> None:
        """The first chunk of a message is taken, or thrown away: then the reply comes behind it."""
        assert self.chunk is None
        size, last = asked.argument.split()
        self.chunk = Chunk(int(size), last == "True")
        if code < 400:
            self.chunks = b""
        else:
            count = len(self.recipients) if self.lmtp else 1
            self._forget()
            self._refuse_chunk(self.chunk, code, count)

    def _refuse_chunk(self, chunk: Chunk, code: int, count: int) -> None:
        chunk.then = [code] * (count if chunk.last else 1)
        self.refused = None if chunk.last else (code, count)

    def _take_chunk(self, chunk: Chunk) -> Asked | int | None:
        octets, self.unread, self.chunk = self.unread[: chunk.size], self.unread[chunk.size :], None
        if isinstance(chunk.then, list):
            self.said += chunk.then
            return None
        if chunk.then is not None:
            return chunk.then
        assert self.chunks is not None
        self.chunks, self._last = self.chunks + octets, chunk.last
        looked_at = self.chunks if chunk.last else self.chunks.removesuffix(b"\r")
        rest = looked_at.replace(b"\r\n", b"")
        if len(self.chunks) > self.max_message_size:
            return Asked("EndOfContent", 552)
        if not self.binary and any(octet in rest for octet in (b"\r", b"\n", b"\0")):
            return Asked("EndOfContent", 550)
        return Asked("EndOfContent") if chunk.last else 250

    def _read(self, line: bytes) -> Asked | int | None:
        if self.content is not None:
            return self._read_content(line)
        if self._login is not None:
            return self._go_on(self._login.line(line))
        if len(line) > 510:
            return Asked("ProtocolError", 500)
        line = line.rstrip(b" \t")
        verb, _, argument = line.partition(b" ")
        read = _READERS.get(verb.upper())
        found = 500 if read is None else read(self, argument)
        return Asked("ProtocolError", found) if isinstance(found, int) and found >= 400 else found

    def _read_content(self, line: bytes) -> Asked | None:
        assert self.content is not None
        if line != b".":
            self.content.append(line.removeprefix(b"."))
            return None
        whole = b"\r\n".join(self.content)
        if b"\0" in whole or any(b"\r" in one or b"\n" in one for one in self.content):
            return Asked("EndOfContent", 550)
        return Asked("EndOfContent", 552 if len(whole) > self.max_message_size else 0)

    def _read_ehlo(self, argument: bytes, verb: str = "EHLO") -> Asked | int:
        if (verb == "LHLO") != self.lmtp:
            return 500
        return 501 if b" " in argument else Asked("Hello", 0, verb)

    def _read_helo(self, argument: bytes) -> Asked | int:
        return self._read_ehlo(argument, "HELO")

    def _read_lhlo(self, argument: bytes) -> Asked | int:
        return self._read_ehlo(argument, "LHLO")

    def _read_mail(self, argument: bytes) -> Asked | int:
        if not self.hello or self.sender is not None:
            return 503
        found = _ADDRESS.fullmatch(b"MAIL " + argument)
        if found is None:
            return 501
        if found[2] and self.hello == "HELO":
            return 555
        self._asked_binary = bool(found[2])
        return Asked("Mail", 0, found[1].decode())

    def _read_rcpt(self, argument: bytes) -> Asked | int:
        if self.sender is None or self.chunks is not None:
            return 503
        self.rcpt_tried = True
        found = _ADDRESS.fullmatch(b"RCPT " + argument)
        return 501 if found is None or not found[1] else Asked("Rcpt", 0, found[1].decode())

    def _read_data(self, argument: bytes) -> Asked | int:
        if argument:
            return 501
        if self.recipients:
            return 503 if self.chunks is not None or self.binary else Asked("Data")
        return 554 if self.rcpt_tried else 503

    def _read_bdat(self, argument: bytes) -> Asked | int | None:
        found = _CHUNK.fullmatch(argument)
        if found is None:  # nobody knows where the chunk ends
            self.unread, self._late = b"", True
            return 501
        self.chunk = Chunk(int(found[1]), found[2] is not None)
        if self.refused is not None:
            self._refuse_chunk(self.chunk, *self.refused)
        elif self.chunks is None and self.hello != "HELO" and self.recipients:
            self.chunk = None
            return Asked("Bdat", 0, f"{int(found[1])} {found[2] is not None}")
        elif self.chunks is None:
            code = 502 if self.hello == "HELO" else 554 if self.rcpt_tried else 503
            self.chunk.then = Asked("ProtocolError", code)
            was_open = self.sender is not None
            self._forget()
            self.refused = (code, 1) if was_open and not self.chunk.last else None
        return None

    def _read_xclient(self, argument: bytes) -> Asked | int:
        if not self.trusted:
            return 500
        return 503 if not self.hello or self.sender is not None else Asked("XClient", 220)

    def _read_rset(self, argument: bytes) -> int:
        if argument:
            return 501
        self._forget()
        return 250

    def _read_vrfy(self, argument: bytes) -> Asked | int:
        return Asked("Vrfy", 252) if argument else 501

    def _read_quit(self, argument: bytes) -> Asked | int:
        return 501 if argument else Asked("Quit", 221)

    def _read_starttls(self, argument: bytes) -> Asked | int:
        if self.unread:  # someone put words into the client's mouth
            self.unread, self._late = b"", True
            return 503
        if argument:
            return 501
        if not self.hello or self.secure or self.authenticated or self.sender is not None:
            return 503
        return Asked("StartTLS", 220)

    def _read_auth(self, argument: bytes) -> Asked | int:
        word, _, initial = argument.partition(b" ")
        mechanism = word.decode("latin-1").upper()
        if not self.hello or self.sender is not None or self.authenticated:
            return 503
        if mechanism not in self.mechanisms:
            return 504 if mechanism else 501
        if mechanism == "XOAUTH2" and not self.secure:
            return 538
        self._login = Login(mechanism)
        return self._go_on(self._login.begin(initial))

    def _go_on(self, found: tuple[str, str] | int) -> Asked | int:
        """Of an exchange: it asks, goes on, ends as was decided, or is broken off."""
        if isinstance(found, tuple):
            return Asked(found[0], 0, found[1])
        assert self._login is not None
        if found == 334 or found == self._login.outcome:
            return self._end_login(found)
        self._login = None
        return Asked("ProtocolError", found)


_READERS: dict[bytes, Callable[[Model, bytes], Asked | int | None]] = {
    b"EHLO": Model._read_ehlo,
    b"HELO": Model._read_helo,
    b"LHLO": Model._read_lhlo,
    b"MAIL": Model._read_mail,
    b"RCPT": Model._read_rcpt,
    b"DATA": Model._read_data,
    b"BDAT": Model._read_bdat,
    b"RSET": Model._read_rset,
    b"NOOP": lambda model, argument: 250,
    b"HELP": lambda model, argument: 214,
    b"EXPN": lambda model, argument: 502,
    b"VRFY": Model._read_vrfy,
    b"QUIT": Model._read_quit,
    b"STARTTLS": Model._read_starttls,
    b"AUTH": Model._read_auth,
    b"XCLIENT": Model._read_xclient,
}
