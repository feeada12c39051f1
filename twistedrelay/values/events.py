"""What happens in a session's and a message's life, as typed values.

Rooms say what happened by L{twistedrelay.interfaces.IEventSink.emit}; C{observe} makes logs, tracking, the ledger and metrics of
it.  No event carries a secret: passwords and SASL responses never get this far.

The names of message events are Exchange's (message tracking) in camel case.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from twistedrelay.values.envelope import Message, Outcome, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import UNREACHABLE, Route, TLSAssessment


@attrs.frozen(slots=True)
class Event:
    """The base of all events."""


@attrs.frozen(slots=True)
class SessionEvent(Event):
    """Something about one SMTP session.

    @ivar session: its id, 16 hex digits.
    @ivar connector: the receive connector's name, C{""} where none matched.
    @ivar peer: C{"address:port"} of the client.
    """

    session: str
    connector: str
    peer: str


@attrs.frozen(slots=True)
class Connected(SessionEvent):
    """A client connected.

    @ivar local: C{"address:port"} of our end, or of what the client connected to.
    @ivar proxy: who speaks for the client (a load balancer, a host that said XCLIENT): its C{"address:port"} and what it told; or C{""}.
    """

    local: str
    proxy: str = ""


@attrs.frozen(slots=True)
class ConnectionRefused(SessionEvent):
    """A client was turned away before the banner.  C{limit} names the parameter that fired, or says why."""

    limit: str
    reply: Reply


@attrs.frozen(slots=True)
class PermissionsSet(SessionEvent):
    """The session's rights were computed (at connect and after AUTH), e.g. C{("SMTPSubmit", ...)}."""

    principal: str
    rights: tuple[str, ...]


@attrs.frozen(slots=True)
class TLSStarted(SessionEvent):
    """A handshake ended well, e.g. C{"TLSv1.3"}, C{"TLS_AES_256_GCM_SHA384"}.  C{seconds}: how long it took, 0.0 where nobody measured."""

    version: str
    cipher: str
    seconds: float = 0.0


@attrs.frozen(slots=True)
class TLSFailed(SessionEvent):
    """A handshake failed."""

    reason: str


@attrs.frozen(slots=True)
class LoggedIn(SessionEvent):
    """AUTH succeeded."""

    mechanism: str
    user: str


@attrs.frozen(slots=True)
class LoginFailed(SessionEvent):
    """AUTH failed.  C{reason} is for the log only.

    @ivar temporary: nobody could tell whether the login was good (454); it says nothing about the client.
    """

    mechanism: str
    user: str
    reason: str
    temporary: bool = False


@attrs.frozen(slots=True)
class LogonLocked(SessionEvent):
    """Too many failed logons: for some time those that follow are refused unseen.

    @ivar user: the login name, or C{""} where all logons from C{source} are refused.
    @ivar source: the client's network, such as C{"192.0.2.0/24"}.
    @ivar limit: the parameter that fired.
    """

    user: str
    source: str
    limit: str
    seconds: float


@attrs.frozen(slots=True)
class CommandRefused(SessionEvent):
    """A command (or a message after its final dot) was answered 4xx or 5xx.

    @ivar command: what was asked, e.g. C{"RCPT TO:<a@b>"}; never the argument of AUTH.
    @ivar reason: why, or which limit fired, where the reply does not say it; for the log only.
    @ivar helo: what the client said in HELO or EHLO so far.
    @ivar sender: of the transaction that it belongs to, C{""} for none or the null path.
    """

    command: str
    reply: Reply
    reason: str
    helo: str = ""
    sender: str = ""


@attrs.frozen(slots=True)
class Disconnected(SessionEvent):
    """The session ended.  C{reason} says how: C{"QUIT"}, C{"connection lost"}, C{"timeout"}...  C{seconds} is its length.

    @ivar helo: what the client said last in HELO or EHLO.
    """

    reason: str
    messages: int
    seconds: float
    helo: str = ""


@attrs.frozen(slots=True)
class MessageEvent(Event):
    """Something about one message."""

    message: Message


@attrs.frozen(slots=True)
class Receive(MessageEvent):
    """A message was committed to the spool."""


@attrs.frozen(slots=True)
class ReceiveUncertain(MessageEvent):
    """A message was committed, but its C{250} could not be sent: the client may send it again."""


@attrs.frozen(slots=True)
class Send(MessageEvent):
    """An attempt ended for one recipient: C{outcome} says how.  DELIVERED is Exchange's SEND, DEFERRED its DEFER, FAILED its FAIL.

    @ivar route: the way that C{next_hop} is the name of.
    """

    outcome: Outcome
    next_hop: str
    route: Route = UNREACHABLE


@attrs.frozen(slots=True)
class ReportSent(MessageEvent):
    """A report (DSN) about C{about} was put into the spool as C{message}.

    C{kind} is C{"failed"}, C{"delayed"}, C{"relayed"} or C{"delivered"}.
    """

    about: Message
    kind: str


@attrs.frozen(slots=True)
class Removed(MessageEvent):
    """An administrator removed a message from the queue; what is being sent then is another such event, if it is not delivered.

    @ivar with_ndr: whether its sender was told.
    @ivar recipients: those who do not get it.
    """

    with_ndr: bool
    recipients: Sequence[Recipient]


@attrs.frozen(slots=True)
class Resubmitted(MessageEvent):
    """A message that was delivered is in the queue again, as a new one (Exchange's RESUBMIT).  C{about} is the id of the first."""

    about: int


@attrs.frozen(slots=True)
class Poisoned(MessageEvent):
    """A message made us fail so often that it is not tried again before an administrator resumes it (Exchange's POISONMESSAGE)."""

    failures: int


@attrs.frozen(slots=True)
class Dropped(MessageEvent):
    """A message ended without delivery or report (a report that could not be delivered, a null sender).  C{reason} says why."""

    reason: str


@attrs.frozen(slots=True)
class Connectivity(Event):
    """A delivery connection: C{what} is C{"connected"}, C{"failed"}, C{"closed"}; C{next_hop} its lane, C{remote} C{"name [ip]:port"}.

    @ivar remote: empty where it failed before there was an address to connect to.
    @ivar connector: the send connector's name, or C{""} for the next hop of an accepted domain.
    @ivar session: the connection's number, 16 hex digits; C{""} where there was none.
    """

    next_hop: str
    remote: str
    what: str
    detail: str
    connector: str = ""
    session: str = ""


@attrs.frozen(slots=True)
class TLSResult(Event):
    """How TLS went in one session with a mail host of a domain that wants to know (RFC 8460).

    @ivar failure: C{""} where it went well, else a result type of RFC 8460 section 4.3, such as C{"certificate-expired"}.
    @ivar host: C{""}, as C{address}, where it failed before a host was chosen.
    """

    assessment: TLSAssessment
    host: str
    address: str
    failure: str = ""
    detail: str = ""


@attrs.frozen(slots=True)
class ServiceEvent(Event):
    """Something about the relay as a whole.  C{level} is C{"info"}, C{"warn"} or C{"error"}.

    @ivar code: what it is about, one of L{SERVICE_CODES}, for those who want to hear of it; C{""} where nobody does.
    """

    level: str
    text: str
    code: str = ""


#: What service events can be about.
SERVICE_CODES = (
    "audit_finding",
    "back_pressure",
    "certificate_expiry",
    "configuration_changed",
    "configuration_refused",
    "logs_lost",
    "new_client",
    "queue_resumed",
    "queue_suspended",
    "spool_sick",
    "spool_well",
    "started",
    "stopping",
)
