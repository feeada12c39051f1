"""A message on its way: envelope, recipients, and what became of them.

These are the values that the spool keeps, the schedule orders and delivery consumes.  They hold no I/O: the content is a
handle (L{twistedrelay.interfaces.IContent}).

Sources: RFC 5321 sections 2.3.1 and 3.3, RFC 3461 (RET, ENVID, NOTIFY, ORCPT), RFC 6152 and RFC 3030 (BODY), RFC 6531 (SMTPUTF8),
RFC 8689 (REQUIRETLS), RFC 2852 (BY), RFC 4865 (HOLDFOR, HOLDUNTIL), RFC 6710 (MT-PRIORITY), RFC 4954 (AUTH).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from twistedrelay.values.address import Address
from twistedrelay.values.reply import Reply

if TYPE_CHECKING:
    from twistedrelay.interfaces import IContent

YEAR = 366 * 86400.0  #: seconds, longer than any message waits: what is to wait longer was dated by a clock that was wrong


@attrs.frozen(slots=True)
class DeliverBy:
    """The time that a sender gives us (RFC 2852).

    @ivar seconds: the by-time, from the moment of MAIL; may be negative once time has passed.
    @ivar mode: C{"R"}: return the message when the time is over; C{"N"}: only tell the sender.
    @ivar trace: the sender wants a report from each hop that passes the message on to one that does not know DELIVERBY.
    """

    seconds: int
    mode: str
    trace: bool = False


@attrs.frozen(slots=True)
class MailParameters:
    """The ESMTP parameters of MAIL that are relayed on.

    @ivar size: what the client declared by SIZE=, octets, or None.
    @ivar body: C{"7BIT"}, C{"8BITMIME"} (RFC 6152) or C{"BINARYMIME"} (RFC 3030).
    @ivar ret: C{"FULL"}, C{"HDRS"} or C{""} (RFC 3461 section 4.3).
    @ivar envid: the decoded envelope identifier, or C{""} (RFC 3461 section 4.4).
    @ivar smtp_utf8: SMTPUTF8 was given: addresses or header fields hold UTF-8 (RFC 6531).
    @ivar require_tls: REQUIRETLS was given: never over clear text, never to an unproven server (RFC 8689).
    @ivar priority: MT-PRIORITY, -9 to 9, or None (RFC 6710).
    @ivar deliver_by: BY, or None (RFC 2852).  In the spool its seconds count from C{Message.received_at}.
    @ivar hold_for: HOLDFOR, seconds from MAIL, or 0 (RFC 4865).  Reports repeat it; what holds a message is C{hold_until}.
    @ivar hold_until: HOLDUNTIL, or what follows from HOLDFOR, seconds since the epoch, or 0.0 (RFC 4865).
    @ivar auth: the decoded mailbox of AUTH, C{"<>"}, or C{""} where it was not given (RFC 4954 section 5).
    """

    size: int | None = None
    body: str = "7BIT"
    ret: str = ""
    envid: str = ""
    smtp_utf8: bool = False
    require_tls: bool = False
    priority: int | None = None
    deliver_by: DeliverBy | None = None
    hold_for: int = 0
    hold_until: float = 0.0
    auth: str = ""


@attrs.frozen(slots=True)
class RcptParameters:
    """The ESMTP parameters of RCPT that are relayed on.

    @ivar notify: the NOTIFY keywords, or an empty set where none were given (RFC 3461 section 4.1).
    @ivar orcpt: the original recipient, C{"rfc822;..."} as received, or C{""} (RFC 3461 section 4.2).
    """

    notify: frozenset[str] = frozenset()
    orcpt: str = ""


NO_MAIL_PARAMETERS = MailParameters()
NO_RCPT_PARAMETERS = RcptParameters()


class MessageStatus(enum.IntEnum):
    """Whether a message takes part at all; the numbers are stored in the spool."""

    NORMAL = 0
    SUSPENDED = 1  #: by an administrator (Suspend-Message)
    POISON = 2  #: it made us fail too often (PoisonThreshold)


class RecipientState(enum.IntEnum):
    """Where one recipient of a message stands; the numbers are stored in the spool."""

    READY = 0  #: waits for its (next) attempt
    DELIVERED = 1  #: the next hop answered 250
    FAILED = 2  #: given up; reported to the sender where there is one
    REMOVED = 3  #: taken out by an administrator


@attrs.define(slots=True)
class Recipient:
    """One recipient of one message.

    @ivar index: its place in the message, from 0; never changes.
    @ivar attempts: how many attempts have ended so far.
    @ivar next_attempt: when it is due, seconds since the epoch; 0.0 means at once.
    @ivar last_reply: the last reply (of the next hop, or our own reason why it waits).
    @ivar last_remote: which host gave it, C{"name [address]:port"}, or C{""} for our own.
    @ivar delay_notified: whether the sender was told of the delay.
    """

    index: int
    address: Address
    parameters: RcptParameters = NO_RCPT_PARAMETERS
    state: RecipientState = RecipientState.READY
    attempts: int = 0
    next_attempt: float = 0.0
    last_reply: Reply | None = None
    last_remote: str = ""
    delay_notified: bool = False


@attrs.frozen(slots=True)
class Origin:
    """Where a message came from; for trace, tracking and the queue views.

    @ivar source: C{"SMTP"}, C{"DSN"} (our own report), C{"PICKUP"} (a directory or the sendmail command) or C{"SAFETYNET"} (replayed).
    @ivar connector: the receive connector's name, or C{""}.
    @ivar client: the client's IP address, or C{""}.
    @ivar helo: what it said in HELO/EHLO.
    @ivar user: the login, or C{""} for an anonymous session.
    @ivar session: the session's id (16 hex digits), or C{""}.
    """

    source: str = "SMTP"
    connector: str = ""
    client: str = ""
    helo: str = ""
    user: str = ""
    session: str = ""


@attrs.define(slots=True)
class Message:
    """One accepted message.

    @ivar id: the InternalId, unique in its spool, never used twice.
    @ivar sender: the return path; C{NULL} for reports.
    @ivar message_id: the Message-ID header's value with its brackets, or a generated one that only tracking knows.
    @ivar received_at: seconds since the epoch.
    @ivar content: trace header, header section and body, as they leave by DATA but not dot-stuffed, CRLF line ends.
    @ivar status: a message that is not NORMAL is not tried.
    @ivar failures: how many times it made us fail (a defect, or a process that died on it).
    @ivar subject: as its header section has it, for tracking; the spool does not keep it.
    @ivar redirect: where an administrator sends it instead of its next hops: C{"host:port"}, or C{""}.
    """

    id: int
    sender: Address
    recipients: list[Recipient]
    message_id: str
    received_at: float
    content: IContent
    parameters: MailParameters = NO_MAIL_PARAMETERS
    origin: Origin = Origin()
    status: MessageStatus = MessageStatus.NORMAL
    failures: int = 0
    subject: str = ""
    redirect: str = ""

    @property
    def size(self) -> int:
        """Octets of the content."""
        return self.content.size

    def hold(self) -> None:
        """Nobody gets it before C{hold_until}; called where it is stored.  A by-time of mode R that ends before is when it returns."""
        until, by = self.parameters.hold_until, self.parameters.deliver_by
        if by is not None and by.mode == "R":
            until = min(until, self.received_at + by.seconds)
        for recipient in self.recipients:
            recipient.next_attempt = max(recipient.next_attempt, until)


class OutcomeKind(enum.Enum):
    """What an attempt did for one recipient."""

    DELIVERED = "delivered"  #: the next hop took responsibility
    DEFERRED = "deferred"  #: a transient failure; try again at C{next_attempt}
    FAILED = "failed"  #: a permanent failure; return it to the sender


@attrs.frozen(slots=True)
class Outcome:
    """The result of one attempt for one recipient, as delivery reports it and the spool records it.

    @ivar recipient: which (the object of the message, so that the index is at hand).
    @ivar reply: the reply that decided, of the remote or our own.
    @ivar remote: C{"name [address]:port"} of who gave the reply, C{""} for our own.
    @ivar uncertain: the connection was lost between our final dot and the reply, so it may have been delivered.
    @ivar tls: C{"TLSv1.3 TLS_AES_256_GCM_SHA384"} or C{""}.
    @ivar converted: the content was converted for the next hop, which breaks signatures of the whole message (DKIM).
    @ivar action: the report that the sender is to get of a success (RFC 3464 section 2.3.3): C{"relayed"} to a system that sends none,
        C{"delivered"} for good, or C{""}: not asked for, or the next hop sends it.
    @ivar defect: it was deferred since this message made our own code fail.
    @ivar told: the address that the next hop was told for this recipient, where a send connector made another one of it.
    @ivar began: when an attempt began that failed, seconds since the epoch; 0.0 where there was none.
    """

    recipient: Recipient
    kind: OutcomeKind
    reply: Reply
    remote: str = ""
    uncertain: bool = False
    tls: str = ""
    action: str = ""
    converted: bool = False
    defect: bool = False
    told: str = ""
    began: float = 0.0


@attrs.define(slots=True, eq=False)
class Job:
    """One transaction to make: a message and those of its recipients that go this way.

    @ivar began: when it began, by the reactor's clock.
    @ivar since: when a run took it, seconds since the epoch; 0.0 before.
    @ivar remote: whom it was begun with last, or C{""}.
    """

    message: Message
    recipients: list[Recipient]
    began: float = 0.0
    since: float = 0.0
    remote: str = ""
