"""What the client engine is told and what it tells: settings, transactions, verdicts, events.

They hold no behaviour beyond their own consistency, and no I/O.  A password is in C{Credentials} only, which never shows it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, MailParameters, RcptParameters
from twistedrelay.values.reply import Reply


class Stage(enum.Enum):
    """What the client waits for; each has a time limit of its own (RFC 5321 section 4.5.3.2)."""

    BANNER = "banner"
    HELLO = "EHLO"
    STARTTLS = "STARTTLS"
    HANDSHAKE = "TLS handshake"
    AUTH = "AUTH"
    IDLE = "idle"
    RESET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    END = "end of data"
    QUIT = "QUIT"
    CLOSED = "closed"


@attrs.frozen(slots=True)
class Credentials:
    """A login.

    @ivar requires_tls: never over clear text.
    @ivar token: an access token: log in by it, and by no password.
    """

    username: str
    password: str = attrs.field(default="", repr=False)
    requires_tls: bool = True
    token: str = attrs.field(default="", repr=False)


@attrs.frozen(slots=True)
class ClientSettings:
    """How to speak on one connection.

    @ivar helo: the name for EHLO.
    @ivar lmtp: LHLO, and a reply for each recipient after the dot (RFC 2033).
    @ivar starttls: C{"never"}, C{"may"} (if offered) or C{"must"} (or no session).
    @ivar secure: TLS is on from the first octet (implicit TLS).
    @ivar require_tls: no session without TLS and the server's REQUIRETLS; what fails of that is for good (RFC 8689 section 4.2.1).
    @ivar force_helo: HELO, and so no extension at all.
    @ivar chunking: use CHUNKING where it is offered.
    """

    helo: str
    lmtp: bool = False
    starttls: Literal["never", "may", "must"] = "may"
    secure: bool = False
    credentials: Credentials | None = None
    require_tls: bool = False
    force_helo: bool = False
    chunking: bool = True


@attrs.frozen(slots=True)
class Verdict:
    """What became of one recipient: the reply that decided.

    @ivar own: our reply, not the server's.
    @ivar uncertain: the final dot was sent and not answered: the message may have been taken.
    @ivar told: the address that the server was told for this recipient, where it is another one.
    """

    reply: Reply
    own: bool = False
    uncertain: bool = False
    told: str = ""


class Phase(enum.Enum):
    """How far a transaction is."""

    ENVELOPE = "envelope"
    CONTENT = "content"  #: 354 was received or BDAT said; not all of the content was sent
    END = "end"  #: the final dot, or the last octet of the chunk, was sent


@attrs.define(slots=True, eq=False)
class Transaction:
    """One mail transaction.

    @ivar sender: the return path without brackets, C{""} for the null one.
    @ivar recipients: forward paths without brackets.
    @ivar size: octets of the content, exactly.
    @ivar mail: the parameters of MAIL; BODY as the content is now, the seconds of BY as they are left.
    @ivar rcpt: the parameters of RCPT for each recipient, or none at all.
    @ivar tag: the caller's own; so is C{content}.
    @ivar by_data: the content goes by DATA in any case, which repairs what text must not hold.
    @ivar verdicts: what became of each recipient; complete once the transaction is finished.
    @ivar accepted: indexes of the recipients that were answered 2xx.
    @ivar excess: indexes of the recipients that were more than the server takes at once.
    @ivar answered: how many of its commands were answered.
    @ivar refusal: the reply to MAIL where it was refused.
    """

    sender: str
    recipients: Sequence[str]
    size: int
    mail: MailParameters = NO_MAIL_PARAMETERS
    rcpt: Sequence[RcptParameters] = ()
    tag: Any = None
    content: Any = None
    by_data: bool = False
    phase: Phase = Phase.ENVELOPE
    verdicts: list[Verdict | None] = attrs.field(factory=list)
    accepted: list[int] = attrs.field(factory=list)
    excess: Sequence[int] = ()
    answered: int = 0
    refusal: Verdict | None = None

    def settle(self, verdict: Verdict) -> None:
        """Give a verdict to each recipient that has none."""
        self.verdicts = [one or verdict for one in self.verdicts]

    def distrust(self) -> None:
        """A reply did not fit, so those before it may have been for others: no recipient is given up by the server's word alone."""
        if self.accepted and self.phase is not Phase.END:
            self.verdicts = [one if one is not None and one.own else None for one in self.verdicts]
            self.excess = ()


@attrs.frozen(slots=True)
class StartHandshake:
    """Start TLS now, then call C{tls_started}.  Nothing may be sent before."""


@attrs.frozen(slots=True)
class Ready:
    """The session is set up: transactions may begin."""


@attrs.frozen(slots=True)
class SendContent:
    """The server waits for the content of a transaction: call C{content} for its chunks, then C{end_content}."""

    transaction: Transaction


@attrs.frozen(slots=True)
class Finished:
    """A transaction ended; each of its recipients has a verdict."""

    transaction: Transaction


@attrs.frozen(slots=True)
class Untried:
    """A transaction could not begin on this connection; nothing is known against its message."""

    transaction: Transaction


@attrs.frozen(slots=True)
class Broken:
    """The session is over: close the connection.  No event follows.

    @ivar reply: why.
    @ivar own: our reply, not the server's.
    @ivar stage: where it happened.
    @ivar refused: the server has refused the credentials.
    @ivar no_chunks: the server offers CHUNKING, and has refused BDAT as a command.
    """

    reply: Reply
    own: bool
    stage: Stage
    refused: bool = False
    no_chunks: bool = False


@attrs.frozen(slots=True)
class Derive:
    """A login needs a password to be hashed very often: call C{work} in a thread, then C{derived} with what it returned."""

    work: Callable[[], bytes] = attrs.field(repr=False)


ClientEvent = StartHandshake | Derive | Ready | SendContent | Finished | Untried | Broken
