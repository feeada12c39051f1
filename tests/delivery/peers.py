"""What delivery meets in tests: a scripted server, content, lanes, a resolver, a sink for events."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import trustme
from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from zope.interface import implementer

from twistedrelay.interfaces import IContent, IEventSink, ILane, IResolver
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Job, MailParameters, Message, Outcome, RcptParameters, Recipient
from twistedrelay.values.events import Connectivity, Event
from twistedrelay.values.route import Route, Target, TLSPolicy

_ids = itertools.count(1)
BODY = b"Subject: test\r\n\r\nhello\r\n"
EHLO = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250 8BITMIME\r\n"


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(text, local, domain)


@implementer(IContent)
class Memory:
    """Content in memory."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.size = sum(map(len, chunks))

    def in_memory(self) -> Sequence[bytes] | None:
        return self.chunks

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return succeed(b"".join(self.chunks)[offset : offset + length])


class Disk(Memory):
    """Content that must be read, later; it may break at an offset."""

    def __init__(self, clock: Any, data: bytes, error: Exception | None = None, error_at: int = -1) -> None:
        super().__init__(data)
        self.clock = clock
        self.error = error
        self.error_at = error_at
        self.reads: list[int] = []

    def in_memory(self) -> Sequence[bytes] | None:
        return None

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        self.reads.append(offset)
        if self.error is not None and offset >= self.error_at:
            return fail(self.error)
        done: Deferred[bytes] = Deferred()
        self.clock.callLater(0, done.callback, self.chunks[0][offset : offset + length])
        return done


def job(*recipients: str, content: Any = None, body: str = "7BIT", sender: str = "s@a.test", notify: str = "", **mail: Any) -> Job:
    rcpt = RcptParameters(frozenset(notify.split(",") if notify else ()))
    found = [Recipient(index, address(text), rcpt) for index, text in enumerate(recipients or ("r@b.test",))]
    message = Message(
        next(_ids),
        address(sender),
        found,
        "<m@a.test>",
        mail.pop("received_at", 0.0),
        content or Memory(BODY),
        MailParameters(body=body, **mail),
    )
    return Job(message, found)


def route(port: int = 25, **more: Any) -> Route:
    return Route("", f"next:{port}", "SmtpDeliveryToMailbox", **({"helo": "relay.test"} | more))


@implementer(ILane)
class Lane:
    """Jobs in a queue, and what became of them."""

    def __init__(self, way: Route, *jobs: Job) -> None:
        self.route = way
        self.jobs = deque(jobs)
        self.outcomes: list[Outcome] = []
        self.finished: list[Job] = []
        self.given_back: list[Job] = []

    def take(self) -> Job | None:
        return self.jobs.popleft() if self.jobs else None

    def done(self, job: Job, outcomes: Sequence[Outcome], more: bool = False) -> None:
        about = [outcome.recipient for outcome in outcomes]
        if more:
            assert outcomes
            job.recipients = [recipient for recipient in job.recipients if recipient not in about]
            assert job.recipients
        else:
            assert about == job.recipients
            self.finished.append(job)
        self.outcomes.extend(outcomes)

    def give_back(self, job: Job) -> None:
        self.given_back.append(job)
        self.jobs.appendleft(job)

    @property
    def codes(self) -> list[int]:
        return [outcome.reply.code for outcome in self.outcomes]


@implementer(IResolver)
class Resolver:
    """Gives out targets, or fails."""

    def __init__(self, *targets: Target, error: Exception | None = None) -> None:
        self.list = list(targets)
        self.error = error

    def targets(self, route: Route) -> Deferred[list[Target]]:
        return fail(self.error) if self.error else succeed(list(self.list))

    def failed(self, target: Target) -> None:
        """Nothing is remembered."""

    def worked(self, target: Target) -> None:
        """Nothing is remembered."""


@implementer(IEventSink)
class Events:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def emit(self, event: Event) -> None:
        self.all.append(event)

    @property
    def connectivity(self) -> list[str]:
        return [event.what for event in self.all if isinstance(event, Connectivity)]


@attrs.define
class Script:
    """How a server behaves.

    @ivar replies: for the n-th use of a verb over the server's life, what it says; the last one stands for all later uses.
        C{b""} says nothing until C{release}; C{None} drops the connection; a callable is given the session.
        C{"."} is the reply to the final dot.
    """

    replies: dict[str, list[Any]] = attrs.field(factory=dict)
    tls: Any = None
    implicit: bool = False


class Session(Protocol):
    """One connection of the scripted server: strict about framing, and it remembers everything."""

    transport: Any

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""
        self.pieces: list[bytes] = []  # of content, behind the buffer
        self.tail = b""
        self.content: bytes | None = None
        self.recipients: list[bytes] = []
        self.secure = False
        self.held = False

    def connectionMade(self) -> None:
        self.server.sessions.append(self)
        if self.server.script.implicit:
            self.start_tls()
        self.answer("banner", b"220 mx.test\r\n")

    def start_tls(self) -> None:
        self.secure = True
        self.transport.startTLS(self.server.script.tls)

    def connectionLost(self, reason: Any = None) -> None:
        self.server.closed += 1

    def dataReceived(self, data: bytes) -> None:
        self.server.packets.append(data)
        self.pieces.append(data)
        if self.content is not None:  # whose end is looked for once, however long it is
            window = self.tail + data
            self.tail = window[-4:]
            if b"\r\n.\r\n" not in window:
                return
        self.buffer += b"".join(self.pieces)
        self.pieces.clear()
        self.parse()

    def release(self, reply: bytes) -> None:
        """Give the reply that was held back, and go on."""
        self.held = False
        self.transport.write(reply)
        self.parse()

    def parse(self) -> None:
        while self.buffer and not self.held:
            if self.content is not None:
                whole = b"\r\n" + self.buffer
                end = whole.find(b"\r\n.\r\n")
                if end < 0:
                    self.tail = whole[-4:]
                    return
                body, self.buffer = whole[: end + 2], whole[end + 5 :]
                self.server.messages.append((list(self.recipients), body.replace(b"\r\n.", b"\r\n")[2:]))
                self.content = None
                for _ in self.recipients if self.server.lmtp else [0]:
                    self.answer(".", b"250 2.0.0 taken\r\n")
                continue
            line, separator, rest = self.buffer.partition(b"\r\n")
            if not separator:
                return
            if line.startswith(b"BDAT ") and self.server.knows_bdat:
                size = int(line.split(b" ")[1])
                if len(rest) < size:
                    return
                self.server.commands.append(line)
                self.server.messages.append((list(self.recipients), rest[:size]))
                self.buffer = rest[size:]
                for _ in self.recipients if self.server.lmtp else [0]:
                    self.answer(".", b"250 2.0.0 taken\r\n")
                continue
            self.buffer = rest
            self.command(line)

    def command(self, line: bytes) -> None:
        self.server.commands.append(line)
        verb = line.split(b" ")[0].split(b":")[0].upper().decode("ascii", "replace")
        defaults = {
            "EHLO": EHLO,
            "LHLO": EHLO,
            "STARTTLS": b"220 go\r\n",
            "DATA": b"354 go\r\n",
            "QUIT": b"221 bye\r\n",
            "AUTH": b"235 ok\r\n",
            "BDAT": b"502 5.5.1 what?\r\n",
        }
        if verb == "MAIL":
            self.recipients = []
        said = self.answer(verb, defaults.get(verb, b"250 ok\r\n"))
        if verb == "RCPT" and said.startswith(b"2"):
            self.recipients.append(line[9 : line.index(b">")])
        if verb == "DATA" and said.startswith(b"3"):
            self.content, self.tail = b"", b"\r\n"
        if verb == "STARTTLS" and said == b"220 go\r\n":
            self.start_tls()
        if verb == "QUIT":
            self.transport.loseConnection()

    def answer(self, verb: str, default: bytes) -> bytes:
        queue = self.server.script.replies.get(verb, [default])
        said = queue.pop(0) if len(queue) > 1 else queue[0]
        if callable(said):
            said = said(self)
        if said is None:
            self.buffer = b""
            self.transport.abortConnection()
            return b""
        assert isinstance(said, bytes)
        self.held = not said
        self.transport.write(said)
        return said


class Server(Factory):
    """A scripted server; listens where it is told."""

    noisy = False

    def __init__(self, lmtp: bool = False, **more: Any) -> None:
        self.script = Script(**more)
        self.lmtp = lmtp
        self.knows_bdat = True
        self.sessions: list[Session] = []
        self.packets: list[bytes] = []
        self.commands: list[bytes] = []
        self.messages: list[tuple[list[bytes], bytes]] = []
        self.closed = 0

    def buildProtocol(self, addr: Any) -> Session:
        return Session(self)

    @property
    def verbs(self) -> list[str]:
        return [line.split(b" ")[0].decode("ascii", "replace") for line in self.commands]


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """TLS with a certificate for a name."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        authority.issue_cert(name).configure_cert(self.context)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self.context, None)


@implementer(IOpenSSLClientConnectionCreator)
class Unverified:
    """TLS with anybody."""

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)


def creators(authority: trustme.CA) -> Callable[[TLSPolicy, str], IOpenSSLClientConnectionCreator]:
    """As delivery is given them: verified at the levels that say so."""
    make_roots: Any = trustRootFromCertificates
    roots = make_roots([Certificate.loadPEM(authority.cert_pem.bytes())])

    def create(policy: TLSPolicy, host: str) -> IOpenSSLClientConnectionCreator:
        if policy.level in ("certificate", "domain"):
            return optionsForClientTLS(policy.name or host, trustRoot=roots)
        return Unverified()

    return create
