"""What a command line asks for, given the state of the session.

Each reader takes the state, the settings, what stands behind the verb, and the whole line, and gives an event, or a reply where no
decision of the session is needed.  Readers change nothing but C{rcpt_seen}.  AUTH and STARTTLS take hold of the stream itself, so they are
not here but in L{twistedrelay.wire.server}.

Sources: RFC 5321 sections 4.1.1 and 4.3.2.
"""

from __future__ import annotations

from collections.abc import Callable

from twistedrelay.values import reply as replies
from twistedrelay.values.printable import escape
from twistedrelay.values.reply import Reply
from twistedrelay.wire import grammar
from twistedrelay.wire.events import Data, Event, Hello, Mail, ProtocolError, Quit, Rcpt, Reset, Vrfy
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.state import SessionState

RESET = Reset()
_DATA = Data()
_QUIT = Quit()
_SHOWN = 200  # octets of a bad command that the log gets

Reader = Callable[[SessionState, ServerSettings, bytes, bytes], Event | Reply]


def shown(line: bytes) -> str:
    """A line for the log: printable ASCII, cut short."""
    return escape(line[:_SHOWN].decode("ascii", "backslashreplace"))


def refuse(reply: Reply, line: bytes) -> ProtocolError:
    """The line broke a rule."""
    return ProtocolError(reply, shown(line))


def _hello(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    try:
        name = grammar.parse_hello(argument.strip(b" "), settings)
    except grammar.CommandError as error:
        return refuse(error.reply, line)
    return Hello(line[:4].decode("ascii").upper(), name)


def _mail(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    refusal = state.refuse_mail()
    if refusal is not None:
        return refuse(refusal, line)
    try:
        sender, parameters = grammar.parse_mail(argument, settings)
    except grammar.CommandError as error:
        return refuse(error.reply, line)
    return Mail(sender, parameters)


def _rcpt(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    refusal = state.refuse_rcpt()
    if refusal is not None:
        return refuse(refusal, line)
    state.rcpt_seen = True
    try:
        recipient, parameters = grammar.parse_rcpt(argument, settings)
    except grammar.CommandError as error:
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
        return refuse(replies.BAD_ARGUMENTS, line)
    return Vrfy(text)


def _unimplemented(state: SessionState, settings: ServerSettings, argument: bytes, line: bytes) -> Event:
    return refuse(replies.NOT_IMPLEMENTED, line)


#: By verb in upper case.
READERS: dict[bytes, Reader] = {
    b"HELO": _hello,
    b"EHLO": _hello,
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _data,
    b"RSET": _rset,
    b"NOOP": _noop,
    b"QUIT": _quit,
    b"VRFY": _vrfy,
    b"HELP": _help,
    **dict.fromkeys((b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML"), _unimplemented),
}
