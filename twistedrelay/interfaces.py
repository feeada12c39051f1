"""The seams between rooms.

Rooms know these interfaces and never each other's classes, except where the floors (C{tests/test_floors.py}) let them.  Everything here is
called on the reactor thread unless it says otherwise.  Times are seconds since the epoch unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from OpenSSL.SSL import Context
    from twisted.internet.defer import Deferred

    from twistedrelay.values.address import Address
    from twistedrelay.values.browsing import MessagePage, MessageQuery
    from twistedrelay.values.envelope import Job, Message, MessageStatus, Outcome, Recipient
    from twistedrelay.values.events import Event
    from twistedrelay.values.kept import KeptPage, KeptQuery
    from twistedrelay.values.reply import Reply
    from twistedrelay.values.route import Login, Route, Target
    from twistedrelay.values.scram import ScramVerifier


class SpoolError(Exception):
    """The spool could not do it now; the cause is in C{str()}.  Always answered 4xx (C{reply})."""

    def __init__(self, text: str, reply: Reply) -> None:
        super().__init__(text)
        self.reply = reply


class ResolutionError(Exception):
    """The addresses of a next hop could not be found; C{reply} says why (4xx or 5xx)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class LoginError(Exception):
    """The secret for a login could not be had; C{reply} says why (4xx)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class IContent(Interface):
    """The octets of a message in the spool: trace header, header section, body."""

    size: int = Attribute("How many octets.")

    def in_memory() -> Sequence[bytes] | None:
        """The whole content as a sequence of chunks where it is still in memory, else None."""

    def read(offset: int, length: int) -> Deferred[bytes]:
        """At most C{length} octets from C{offset}, read in a thread; C{b""} at the end.  Fails with L{SpoolError}."""


class IContentWriter(IContent):
    """Content that is still arriving.  Small content stays in memory, large content is streamed to a file by a thread."""

    def write(chunk: bytes) -> None:
        """Add octets at the end."""

    def backlog() -> int:
        """Octets that wait for the disk: the caller stops reading from its peer above a bound of its own."""

    def unwritten() -> int:
        """Octets that are in memory only, whether they wait for the disk or are too few for a file of their own."""

    def drained() -> Deferred[None]:
        """Fires when the backlog is written; fails with L{SpoolError} where the disk refused."""

    def finish() -> Deferred[None]:
        """Nothing follows: fires when L{ISpool.record} can take this content, which for large content means that it is on the disk.

        Fails with L{SpoolError}; the content is gone then.  L{ISpool.store} does it by itself.
        """

    def abort() -> None:
        """Throw the content away.  May be called at any time before the store; idempotent."""


class ISpool(Interface):
    """The persistent store of messages on their way."""

    healthy: bool = Attribute("False after a failed write, until the store was reopened: no intake and no delivery then.")
    kept: IKeptMessages = Attribute("The messages that were delivered and are kept.")
    doubtful: int = Attribute("After a run that did not end in good order: how many messages were due then, and may have been being sent.")

    def next_id() -> int:
        """A new InternalId; never used twice, also not after a restart."""

    def new_content() -> IContentWriter:
        """A place for the content of a message that arrives."""

    def store(message: Message) -> Deferred[None]:
        """Make a message durable.  C{message.content} must be a writer from L{new_content}.  What is to be held is due at its time only.

        Fires once the message survives kill -9 and power loss; after that C{message.content} serves reads.
        Fails with L{SpoolError}: then the message is not in the spool and its content is gone.
        """

    def record(message: Message, outcomes: Sequence[Outcome], reports: Sequence[Message] = ()) -> Deferred[None]:
        """Make the results of an attempt durable, and store C{reports} (DSNs), whose contents are finished, in the same transaction.

        The caller has already put the new state into the recipients (state, attempts, next_attempt, last_reply, last_remote,
        delay_notified); this writes those of the outcomes, or all of the message where there are no outcomes.  The states are those of
        the moment of the call, and records are applied in the order of the calls.
        Where the message has failures, their number is written, too, and that it is poison where it is.
        A message none of whose recipients is READY is deleted with its content.
        On a sick disk the operation is kept and tried again until it succeeds: a remote 250 is never forgotten.
        Fails with L{SpoolError} only when the spool is being closed, or where the change is impossible (a defect, which is told as an
        event); then nothing of it was written, the reports are gone, and what was sent may be sent again.
        """

    def load(ids: Iterable[int]) -> Deferred[list[Message]]:
        """The messages with these ids with their recipients still READY; those that are gone are left out."""

    def due(before: float, limit: int) -> Deferred[list[tuple[float, int]]]:
        """C{(next_attempt, id)} of messages with a READY recipient due before a time, soonest first."""

    def browse(limit: int, after: int | None = None, query: MessageQuery = ...) -> Deferred[MessagePage]:
        """Messages by id with all their recipients, whatever their state, from C{after} on; for views."""

    def count() -> Deferred[int]:
        """How many messages are in the spool."""

    def park(ids: Sequence[int], lane: str, until: float) -> Deferred[None]:
        """These messages wait on disk for a lane (any text; C{""} for none any more): due at C{until} only, but found by L{parked} before.
        A later L{record} of a message ends its being parked, too."""

    def parked(lanes: Mapping[str, int]) -> Deferred[dict[str, list[int]]]:
        """The ids of messages that wait for each of some lanes, at most so many of it, those that came first first."""

    def waiting(after: tuple[float, int], limit: int) -> Deferred[list[tuple[float, int, str]]]:
        """C{(next_attempt, id, lane)} of those behind one, soonest first, as L{due} and L{parked} have them; C{""} is no lane."""

    def parked_lanes() -> Deferred[list[tuple[str, int]]]:
        """The lanes that messages are parked for, with how many (after a start there are no lanes that could ask)."""

    def set_status(ids: Sequence[int], status: MessageStatus, failures: int | None = None, only: int | None = None) -> Deferred[int]:
        """Make messages, or C{only} those of a status, suspended or poison (never due), or NORMAL (due at once); how many there were."""

    def redirect(ids: Sequence[int], to: str) -> Deferred[int]:
        """Note where messages go instead of their next hops, or (C{""}) that they go their own ways; due at once.  How many there were."""

    def statuses() -> Deferred[dict[MessageStatus, int]]:
        """How many messages there are of each status that is not NORMAL."""

    def remember(key: str, value: str | None) -> Deferred[None]:
        """Keep a small text over restarts (the suspension of a queue, say); None forgets it."""

    def remembered() -> Deferred[dict[str, str]]:
        """All that was kept."""

    def close() -> Deferred[None]:
        """Write what waits, checkpoint, release the lock."""


class IKeptMessages(Interface):
    """Messages that were delivered, kept for some time: the safety net."""

    def page(query: KeptQuery, position: tuple[float, int], limit: int) -> Deferred[KeptPage]:
        """Look at C{limit} messages behind a position, and return those that are meant.

        The position is C{values.kept.START}, or that of the page before.
        """

    def purge(before: float, limit: int) -> Deferred[int]:
        """Remove the oldest, at most C{limit}, that were delivered before a time; how many there were."""


class IEventSink(Interface):
    """Where rooms say what happened."""

    def emit(event: Event) -> None:
        """Take an event.  Never raises, never blocks."""


class IProtocolLog(Interface):
    """The protocol log, as sessions see it."""

    def tracer(session: str, may_change: bool = False) -> Callable[[str, str], None] | None:
        """What to tell each line of a session's dialogue to (C{">"} or C{"<"}, the line); None where its connector has no protocol logging.

        To be asked behind the event that the session is connected.  C{may_change}: it may become a session of another connector.
        """


class IRouter(Interface):
    """Decides where a recipient's mail goes, at attempt time."""

    def route(message: Message, recipient: Recipient) -> Route | Reply:
        """A way out, or a L{Reply}: 4xx = wait for that reason, 5xx = return the message.  Cheap: answers are kept."""


class IResolver(Interface):
    """Finds the addresses of a route (A/AAAA of fixed hops, or MX)."""

    def targets(route: Route) -> Deferred[list[Target]]:
        """Where to connect, in the order to try: what failed lately comes last.

        Fails with L{ResolutionError}: SERVFAIL is 4xx, NXDOMAIN and null MX are 5xx.
        """

    def failed(target: Target) -> None:
        """Nobody answers there, or refuses every session: for some minutes it is tried last, by whichever route."""

    def worked(target: Target) -> None:
        """A session came about there: what L{failed} said is over."""


class INames(Interface):
    """The DNS, as the security of next hops asks it."""

    local: bool = Attribute("Whether every server asked is on this host, so that nobody could have changed what it calls validated.")

    def query(name: str, kind: str) -> Deferred[tuple[Any, bool, float]]:
        """C{(rrset, authenticated, ttl)}: the L{dns.rrset.RRset} behind all aliases, or None where the name or the type does not exist.

        C{rrset.name} is the name that aliases lead to; C{authenticated} is the server's AD bit; C{ttl} is how many seconds it is good for.
        Fails with L{ResolutionError} (4xx) where the DNS gives no answer.  Answers are kept.
        """


class ILane(Interface):
    """The messages for one next hop, as a delivery run sees them."""

    route: Route = Attribute("The L{Route} of all its jobs.")

    def take() -> Job | None:
        """The next job of the lane; it is the caller's until L{done}.  None: nothing to do, or the lane is closing."""

    def done(job: Job, outcomes: Sequence[Outcome], more: bool = False) -> None:
        """What became of a job, an outcome for each of its recipients.  C{more}: of some, who are done with; the others follow."""

    def give_back(job: Job) -> None:
        """The job was not tried (the connection ended before its transaction could begin): put it back in front."""


class IAttempt(Interface):
    """Delivery, as the schedule sees it."""

    def run(lane: ILane) -> Deferred[Reply | None]:
        """Work on a lane: get a connection (a kept one or a new one), take jobs until there are none, keep the connection.

        Fires with None after a run that had a connection, or with the Reply (4xx or 5xx, of the remote or our own) that kept it from
        having one: then no job is held.  Never fails.
        """

    def stop(seconds: float) -> Deferred[None]:
        """No new transactions; running ones may end within C{seconds}, then connections are dropped."""


class IRewrite(Interface):
    """How addresses change on a way out (SenderRewrite, SRS, RedirectAllTo).  Immutable, pure, cheap; equal ones compare equal."""

    changes_content: bool = Attribute("Whether header fields may change, too.")

    def sender(sender: Address) -> Address:
        """The return path as the next hop gets it.  The null path stays null."""

    def recipient(recipient: Address) -> Address | Reply:
        """The recipient as the next hop gets it, or why it gets none (5xx)."""

    def header(header: bytes, message: Message) -> bytes:
        """The header section as the next hop gets it."""


class ILogins(Interface):
    """Secrets for smart hosts, at the moment they are needed."""

    def credentials(login: Login) -> Deferred[Any]:
        """The L{twistedrelay.wire.client_values.Credentials} of a login.  Fails with L{LoginError} (4xx)."""

    def refused(login: Login, credentials: Any) -> bool:
        """A server refused them: a kept token is not used again.  Whether it is worth to ask for others at once and try again (once)."""


class IDomainSecurity(Interface):
    """What DNS and HTTPS say about the TLS of a domain's mail hosts: DANE (RFC 7672), MTA-STS (RFC 8461)."""

    def secure(route: Route, targets: Sequence[Target]) -> Deferred[list[Target]]:
        """The targets of an MX route with what each must prove, without those that must not be used.

        Fails with L{ResolutionError} (4xx) where none is left.
        """


class IRecipients(Interface):
    """Which addresses of an accepted domain exist (Exchange's recipient lookup)."""

    def known(recipient: Address) -> bool | Reply | Deferred[bool | Reply]:
        """Whether it exists, or a 4xx reply where nobody can tell now.  A plain value where nothing has to be asked."""


class IReporter(Interface):
    """Makes the reports that go back to senders (RFC 3464)."""

    def failed(message: Message, recipients: Sequence[Recipient]) -> Deferred[Message | None]:
        """A report about recipients given up, ready for L{ISpool.record}; None where none may be sent.

        That is so for a null sender, by NOTIFY, and about a message that is a report itself.
        """

    def delayed(message: Message, recipients: Sequence[Recipient], gives_up_at: float) -> Deferred[Message | None]:
        """A delay notice, likewise; also None where they are switched off."""

    def succeeded(message: Message, recipients: Sequence[Recipient], action: str) -> Deferred[Message | None]:
        """A report of success, likewise: C{action} is C{"relayed"} or C{"delivered"}.  For recipients whose sender is to be told."""


class IUsers(Interface):
    """The accounts that may log in."""

    def verify(name: str, password: str) -> Deferred[Any]:
        """The L{twistedrelay.config.users.User} whose password it is, or None.  Constant time, in a bounded thread pool."""

    def find(name: str) -> Deferred[Any]:
        """The user that a login name means, or None; likewise in a thread."""

    def scram(name: str) -> Deferred[tuple[Any, ScramVerifier]]:
        """The user that a login name means, or None, and a SCRAM-SHA-256 verifier in any case; likewise in a thread."""


class ICertificates(Interface):
    """The certificate store, as listeners use it."""

    def server_context(connector: Any) -> Context:
        """The TLS context for a receive connector (by its tls_certificate_name or fqdn).  Cheap: contexts are kept."""


class ISessions(Interface):
    """The SMTP sessions in progress, for C{control}."""

    def count() -> int:
        """How many."""


class IRelaySession(Interface):
    """The avatar of one SMTP session: what it may do.  Made by the realm, remade after AUTH."""

    principal: str = Attribute("C{'Anonymous Logon'}, C{'Externally Secured Servers'}, or the user's address.")
    rights: Any = Attribute("What it may do: L{twistedrelay.policy.rights.Rights}.")
