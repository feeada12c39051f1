"""The terms between a delivery connection and those who use it: its facts, its worker, its time limits, its failure.

Source of the limits: RFC 5321 section 4.5.3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from twistedrelay.delivery.measures import Measures
from twistedrelay.interfaces import IRewrite
from twistedrelay.values.envelope import Job, Outcome, Recipient
from twistedrelay.values.printable import masked
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_values import Broken, ClientSettings, Stage

if TYPE_CHECKING:
    from twistedrelay.delivery.client import Connection

#: Who wants to know what is said in a connection, by its number, its connector's name and its peer.
Dialogues = Callable[[str, str, str], "Callable[[str, str], None] | None"]

#: Seconds each stage may last.  IDLE is how long a connection is kept: shorter than servers close it, long enough for the next batch.
LIMITS: Mapping[Stage, float] = {
    Stage.BANNER: 300.0,
    Stage.HELLO: 300.0,
    Stage.STARTTLS: 120.0,
    Stage.HANDSHAKE: 60.0,
    Stage.AUTH: 300.0,
    Stage.IDLE: 10.0,
    Stage.RESET: 300.0,
    Stage.MAIL: 300.0,
    Stage.RCPT: 300.0,
    Stage.DATA: 120.0,
    Stage.CONTENT: 180.0,
    Stage.END: 600.0,
    Stage.QUIT: 5.0,
    Stage.CLOSED: 5.0,
}

#: Seconds after which a session begins no more messages: what the DNS and MTA-STS say of a next hop counts by then (the same is Postfix's
#: smtp_connection_reuse_time_limit), and a better mail host that is back is found.
LONGEST_SESSION = 300.0

#: Seconds that a message may take up to its content, whatever each reply takes; likewise setting up a session.
LONGEST_DIALOGUE = 3600.0

#: Octets a second that a server must take of the content, beyond that time.
LEAST_RATE = 5000


class SessionFailed(Exception):
    """The connection came about, the session did not; C{broken} says why and where."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(str(broken.reply))
        self.broken = broken


class NoConnection(Exception):
    """There is no connection for a route; C{reply} says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def own_reply(code: int, enhanced: str, text: str) -> Reply:
    """A reply of our own with text from elsewhere (an exception, say): one line, printable, of bounded length."""
    return Reply(code, enhanced, masked(text, " ")[:250])


def end_text(end: Any) -> str:
    """One end of a connection: C{"192.0.2.1:25"}, C{"[2001:db8::1]:25"}; C{""} of a UNIX socket."""
    host, port = getattr(end, "host", ""), getattr(end, "port", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""


def waiting(reply: Reply) -> Reply:
    """Why a session could not be had, as a reason to wait.

    A server that turns the whole session away (a banner or EHLO answered 5xx) says nothing about the messages that wait for it, and is
    often just being set up: they must not all come back to their senders.
    """
    return own_reply(451, "4.4.0", f"The next hop refuses the session: {reply}") if reply.is_permanent else reply


class Worker(Protocol):
    """Who has messages for a connection."""

    def take(self) -> Job | None:
        """The next job, None where there is none."""

    def done(self, job: Job, outcomes: list[Outcome]) -> None:
        """What became of a job."""

    def untried(self, job: Job) -> None:
        """A job that could not begin on this connection."""

    def divide(self, job: Job, now: list[Recipient], later: list[Recipient], reason: Reply) -> Job:
        """A job takes more than one transaction: the part that goes now; the other is among the next to be taken.

        @param reason: what is told of the others if their turn does not come.
        """

    def rested(self, connection: Connection) -> None:
        """The connection has nothing to do and is the worker's to keep or close; it asks no more."""

    def lost(self, connection: Connection, broken: Broken) -> None:
        """The session ended; all jobs were given back or answered before."""


@attrs.frozen(slots=True)
class Facts:
    """What a connection is told about itself.

    @ivar remote: its peer, for outcomes and events.
    @ivar creator: for TLS, None where there is to be none.
    @ivar max_messages: how many messages may go over it.
    @ivar rewrite: how addresses and header fields change on this way, or None.
    @ivar measures: where it adds what took how long.
    @ivar session: the connection's number, 16 hex digits.
    @ivar trace: takes each line of the dialogue, with its direction; None where nobody wants to know.
    @ivar no_chunks: called when the server refuses the BDAT that it offers.
    """

    remote: str
    settings: ClientSettings
    creator: IOpenSSLClientConnectionCreator | None = None
    max_messages: float = 1000
    rewrite: IRewrite | None = None
    measures: Measures = attrs.Factory(Measures)
    session: str = ""
    trace: Callable[[str, str], None] | None = None
    no_chunks: Callable[[], None] = lambda: None
