"""One readable line for each event.

It decides what a person sees in the foreground and in the log file.  A line names the Exchange tracking event in capitals
for what happens to messages and plain words for what happens in sessions.  Whatever came from outside is
shown so that it can neither start a new line, nor move the cursor, nor look like another field: control and format characters are
escaped, values with blanks are quoted.

Lines are made by hand and not by format strings, because they are made ten thousand times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from twisted.logger import formatTime

from twistedrelay.values.address import Address
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, MailParameters, Message, OutcomeKind, Recipient
from twistedrelay.values.events import (
    CommandRefused,
    Connected,
    ConnectionRefused,
    Connectivity,
    Disconnected,
    Dropped,
    Event,
    LoggedIn,
    LoginFailed,
    LogonLocked,
    PermissionsSet,
    Poisoned,
    Receive,
    ReceiveUncertain,
    Removed,
    ReportSent,
    Resubmitted,
    Send,
    ServiceEvent,
    SessionEvent,
    TLSFailed,
    TLSResult,
    TLSStarted,
)
from twistedrelay.values.printable import escape

#: How many recipients a line names; the rest is counted.
MAX_RECIPIENTS_SHOWN = 5

#: Longest line: a hostile value cannot fill the disk one event at a time.
MAX_LINE = 2000

#: Exchange's names for what an attempt did.
ATTEMPTS = {OutcomeKind.DELIVERED: "SEND", OutcomeKind.DEFERRED: "DEFER", OutcomeKind.FAILED: "FAIL"}


@lru_cache(maxsize=1024)
def value(text: str) -> str:
    """A value behind C{name=}: quoted where it is empty or could be taken for more than one word."""
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(address: Address) -> str:
    """An address in its brackets; one with a quoted local part as a value, for there may be anything in it."""
    text = address.text
    return f"<{text}>" if '"' not in text else value(f"<{text}>")


def _recipients(recipients: Sequence[Recipient]) -> str:
    if len(recipients) == 1:
        return _path(recipients[0].address)
    shown = ",".join([_path(recipient.address) for recipient in recipients[:MAX_RECIPIENTS_SHOWN]])
    more = len(recipients) - MAX_RECIPIENTS_SHOWN
    return f"{shown} (and {more} more)" if more > 0 else shown


def _session(event: SessionEvent) -> str:
    return f"connector={value(event.connector)} client={event.peer} session={event.session}"


def _connected(event: Connected) -> str:
    proxy = f" proxy={value(event.proxy)}" if event.proxy else ""
    return f"connect client={event.peer} connector={value(event.connector)} server={event.local} session={event.session}{proxy}"


def _connection_refused(event: ConnectionRefused) -> str:
    return f"connection refused by {event.limit}: {event.reply} {_session(event)}"


def _permissions(event: PermissionsSet) -> str:
    return f"permissions {value(event.principal)} rights={','.join(event.rights) or 'none'} {_session(event)}"


def _tls_started(event: TLSStarted) -> str:
    return f"TLS started {event.version} {event.cipher} {_session(event)}"


def _tls_failed(event: TLSFailed) -> str:
    return f"TLS failed: {event.reason} {_session(event)}"


def _logged_in(event: LoggedIn) -> str:
    return f"login user={value(event.user)} mechanism={value(event.mechanism)} {_session(event)}"


def _login_failed(event: LoginFailed) -> str:
    return f"login failed user={value(event.user)} mechanism={value(event.mechanism)} {_session(event)} reason={value(event.reason)}"


def _logon_locked(event: LogonLocked) -> str:
    user = f"user={value(event.user)} " if event.user else ""
    return f"logons locked {user}source={event.source} seconds={event.seconds:g} limit={event.limit} {_session(event)}"


def _command_refused(event: CommandRefused) -> str:
    reason = f" reason={value(event.reason)}" if event.reason else ""
    return f"refused {value(event.command)}: {event.reply} {_session(event)}{reason}"


def _disconnected(event: Disconnected) -> str:
    return f"disconnect {value(event.reason)} messages={event.messages} seconds={event.seconds:.3f} {_session(event)}"


def _origin(message: Message) -> str:
    origin = message.origin
    if not origin.session:
        return f"source={origin.source}"
    user = f" user={value(origin.user)}" if origin.user else ""
    return f"connector={value(origin.connector)} client={origin.client}{user} session={origin.session}"


def _received(event: Receive) -> str:
    message = event.message
    return (
        f"RECEIVE {message.id} {message.message_id} from={_path(message.sender)} to={_recipients(message.recipients)} "
        f"size={message.content.size} {_origin(message)}{_wishes(message.parameters)}"
    )


def _wishes(parameters: MailParameters) -> str:
    """What the sender asked for that decides when, where or whether a message goes."""
    if parameters is NO_MAIL_PARAMETERS:
        return ""
    words = " requiretls" if parameters.require_tls else ""
    if parameters.smtp_utf8:
        words += " smtputf8"
    if parameters.hold_until:
        words += f" hold-until={formatTime(parameters.hold_until)}"
    if (by := parameters.deliver_by) is not None:
        words += f" by={by.seconds};{by.mode}{'T' if by.trace else ''}"
    return words


def _receive_uncertain(event: ReceiveUncertain) -> str:
    message = event.message
    return f"RECEIVE UNCERTAIN {message.id} {message.message_id}: stored, but the client did not get its 250 {_origin(message)}"


def sender_told(event: Send) -> Address | None:
    """The return path that the next hop was told, where the way out makes another one of it."""
    rewrite = event.route.rewrite
    if rewrite is None:
        return None
    told = rewrite.sender(event.message.sender)
    return None if told.text == event.message.sender.text else told


def _send(event: Send) -> str:
    outcome = event.outcome
    recipient = outcome.recipient
    where = outcome.remote or event.next_hop
    extra = f" as={value(f'<{outcome.told}>')}" if outcome.told else ""
    if (sender := sender_told(event)) is not None:
        extra += f" from={_path(sender)}"
    if outcome.tls:
        extra += f" tls={value(outcome.tls)}"
    if outcome.uncertain:
        extra += " uncertain"
    if outcome.converted:
        extra += " converted"
    if outcome.kind is OutcomeKind.DEFERRED:
        extra += f" attempts={recipient.attempts}"
    return f"{ATTEMPTS[outcome.kind]} {event.message.id} to={_path(recipient.address)} via={where} {outcome.reply}{extra}"


def _report_sent(event: ReportSent) -> str:
    report = event.message
    return f"DSN {report.id} {event.kind} about={event.about.id} {event.about.message_id} to={_recipients(report.recipients)}"


def _removed(event: Removed) -> str:
    told = "sender told" if event.with_ndr else "sender not told"
    return f"REMOVE {event.message.id} {event.message.message_id} by an administrator, {told}"


def _resubmitted(event: Resubmitted) -> str:
    message = event.message
    envelope = f"from={_path(message.sender)} to={_recipients(message.recipients)}"
    return f"RESUBMIT {message.id} {message.message_id} again={event.about} {envelope}"


def _poisoned(event: Poisoned) -> str:
    message = event.message
    count = f"the poison count of {event.failures} has been reached"
    return f"POISONMESSAGE {message.id} {message.message_id} from={_path(message.sender)}: {count}; it waits in the poison queue"


def _dropped(event: Dropped) -> str:
    return f"DROP {event.message.id} {event.message.message_id}: {event.reason}"


def _connectivity(event: Connectivity) -> str:
    detail = f": {event.detail}" if event.detail else ""
    remote = f" {event.remote}" if event.remote else ""  # none where it did not come to that
    session = f" session={event.session}" if event.session else ""
    connector = f" connector={value(event.connector)}" if event.connector else ""
    return f"delivery connection {event.what}{remote} next_hop={value(event.next_hop)}{connector}{session}{detail}"


def _tls_result(event: TLSResult) -> str:
    found = event.assessment
    where = f" host={value(event.host)} [{event.address}]" if event.host else ""
    detail = f": {event.detail}" if event.detail else ""
    return f"TLS result {event.failure or 'success'} domain={value(found.domain)} policy={found.kind}{where}{detail}"


def _service(event: ServiceEvent) -> str:
    return event.text if event.level == "info" else f"{event.level}: {event.text}"


#: One maker per event class.
MAKERS: dict[type[Event], Callable[[Any], str]] = {
    Connected: _connected,
    ConnectionRefused: _connection_refused,
    PermissionsSet: _permissions,
    TLSStarted: _tls_started,
    TLSFailed: _tls_failed,
    LoggedIn: _logged_in,
    LoginFailed: _login_failed,
    LogonLocked: _logon_locked,
    CommandRefused: _command_refused,
    Disconnected: _disconnected,
    Receive: _received,
    ReceiveUncertain: _receive_uncertain,
    Send: _send,
    ReportSent: _report_sent,
    Removed: _removed,
    Resubmitted: _resubmitted,
    Poisoned: _poisoned,
    Dropped: _dropped,
    Connectivity: _connectivity,
    TLSResult: _tls_result,
    ServiceEvent: _service,
}


def line(event: Event) -> str:
    """The line of an event, without time and line end.  Never raises."""
    try:
        text = MAKERS[type(event)](event)
    except Exception as error:
        # A line that cannot be made must not cost the lines of the other events of its batch.
        text = f"{type(event).__name__} (cannot be shown: {type(error).__name__})"
    if len(text) > MAX_LINE:
        text = text[:MAX_LINE] + "..."
    return escape(text)
