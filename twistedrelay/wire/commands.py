"""What a command line asks for, given the state of the session.

Each reader takes the state, the settings, what stands behind the verb, and the whole line, and gives an event, or a reply where no
decision of the session is needed.  Readers change nothing but C{rcpt_seen}.  AUTH, BDAT and STARTTLS take hold of the stream itself, so
they are not here but in L{twistedrelay.wire.server}.

Sources: RFC 5321 sections 4.1.1 and 4.3.2, RFC 2033 (LHLO), RFC 6531 section 3.7.4.2 (VRFY).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twistedrelay.values import reply as replies
from twistedrelay.values.printable import escape
from twistedrelay.values.reply import Reply
from twistedrelay.wire import grammar
from twistedrelay.wire.events import Data, Event, Hello, Mail, ProtocolError, Quit, Rcpt, Reset, Vrfy
from twistedrelay.wire.parameters import CommandError, offers_smtp_utf8
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.state import SessionState
from twistedrelay.wire.xclient import parse_xclient

RESET = Reset()
_DATA = Data()
_QUIT = Quit()
_SHOWN = 200  # octets of a bad command that the log gets

#: What stands for what is not told.
UNTOLD = "<not shown>"

_WORD = re.compile(rb"[A-Za-z][A-Za-z-]{0,19}:?")
_FEW = 8  # octets of what is no text

Reader = Callable[[SessionState, ServerSettings, bytes, bytes], Event | Reply]


def shown(line: bytes) -> str:
    """A line for the log: printable ASCII, cut short."""
    return escape(line[:_SHOWN].decode("ascii", "backslashreplace"))


def unknown(line: bytes) -> str:
    """Of a line that is no command what the log gets: its first word where that looks like one, or its first octets where they are no text.

    All else may be a login that was misspelled or came too late, or content that nobody asked for.
    """
    words = line.split(None, 1)
    if not words:
        return ""
    word, indented = words[0], " " if line[:1].isspace() else ""
    more = len(words) > 1
    if _WORD.fullmatch(word) and (word.isupper() or word.islower() or word.istitle()):  # not so what is in base64
        shown = word.decode("ascii")
    elif not b"!" <= word[:1] <= b"~":  # a TLS handshake, say
        shown, more = escape(word[:_FEW].decode("ascii", "backslashreplace")), more or len(word) > _FEW
    else:
        shown, more = UNTOLD, False
    return f"{indented}{shown} {UNTOLD}" if more else f"{indented}{shown}"


def refuse(reply: Reply, line: bytes) -> ProtocolError:
    """The line broke a rule."""
    return ProtocolError(reply, shown(line))


def _hello(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    verb = line[:4].decode("ascii").upper()
    if (verb == "LHLO") is not settings.lmtp:
        return refuse(replies.UNRECOGNIZED, line)
    try:
        name = grammar.parse_hello(argument.strip(b" "), settings)
    except CommandError as error:
        return refuse(error.reply, line)
    return Hello(verb, name)


def _mail(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    refusal = state.refuse_mail()
    if refusal is not None:
        return refuse(refusal, line)
    try:
        sender, parameters = grammar.parse_mail(argument, settings, secure=state.secure, extended=state.hello != "HELO")
    except CommandError as error:
        return refuse(error.reply, line)
    return Mail(sender, parameters)


def _rcpt(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    refusal = state.refuse_rcpt()
    if refusal is not None:
        return refuse(refusal, line)
    state.rcpt_seen = True
    try:
        recipient, parameters = grammar.parse_rcpt(argument, settings, utf8=state.parameters.smtp_utf8, extended=state.hello != "HELO")
    except CommandError as error:
        return refuse(error.reply, line)
    return Rcpt(recipient, parameters)


def _data(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    # After a refusal what follows is read as commands, never as a message: the client may send none without a 354.
    refusal = replies.BAD_ARGUMENTS if argument else state.refuse_data()
    return _DATA if refusal is None else refuse(refusal, line)


def _rset(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    return refuse(replies.BAD_ARGUMENTS, line) if argument else RESET


def _noop(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Reply:
    return replies.NOOP


def _help(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Reply:
    return replies.HELP


def _quit(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    return refuse(replies.BAD_ARGUMENTS, line) if argument else _QUIT


def _vrfy(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    if settings.require_tls and not state.secure:
        return refuse(replies.STARTTLS_REQUIRED, line)
    text = shown(argument)
    if not argument or text.encode("ascii") != argument:
        # Beyond ASCII only by the rules of SMTPUTF8, which is told behind the address.
        if not argument.isascii() and offers_smtp_utf8(settings) and argument.upper().endswith(b" SMTPUTF8"):
            try:
                return Vrfy(escape(argument[: -len(b" SMTPUTF8")].decode("utf-8")))
            except UnicodeDecodeError:
                pass
        return refuse(replies.BAD_ARGUMENTS, line)
    return Vrfy(text)


def _xclient(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    refusal = state.refuse_xclient(settings)
    if refusal is not None:
        return refuse(refusal, line)
    try:
        return parse_xclient(argument)
    except CommandError as error:
        return refuse(error.reply, line)


def _unimplemented(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    return refuse(replies.NOT_IMPLEMENTED, line)


#: By verb in upper case.
READERS: dict[bytes, Reader] = {
    b"HELO": _hello,
    b"EHLO": _hello,
    b"LHLO": _hello,
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _data,
    b"RSET": _rset,
    b"NOOP": _noop,
    b"QUIT": _quit,
    b"VRFY": _vrfy,
    b"HELP": _help,
    b"XCLIENT": _xclient,
    **dict.fromkeys((b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML"), _unimplemented),
}
