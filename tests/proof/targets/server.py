"""What a client sends: the whole server engine, the receiver of a message, command lines."""

from __future__ import annotations

import re

import attrs

from tests.proof.logins import SCRAM, SCRAM_PROOF, VERIFIER
from tests.proof.targets.target import packets, target
from tests.wire.driver import BANNER, QUEUED, SETTINGS, STRICT, codes, positive
from twistedrelay.values.address import parse_path
from twistedrelay.values.reply import BARE_LINE_ENDING, MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.body import DataReceiver
from twistedrelay.wire.events import (
    Authenticate,
    Authenticated,
    Content,
    EndOfContent,
    Event,
    Hello,
    Mail,
    ProtocolError,
    Rcpt,
    Reset,
    ScramChallenge,
    XClient,
)
from twistedrelay.wire.lines import LineBuffer, LineTooLong
from twistedrelay.wire.server import SMTPServer
from twistedrelay.wire.settings import AUTH_LIMIT, COMMAND_LIMIT, MAIL_LIMIT, RCPT_LIMIT, XCLIENT_LIMIT, ServerSettings
from twistedrelay.wire.stuffing import Stuffer

LIMIT = 2000
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")
MECHANISMS = ("LOGIN", "PLAIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL", "XOAUTH2", "OAUTHBEARER")
SETTINGS_TO_TRY = (
    attrs.evolve(SETTINGS, max_message_size=LIMIT, auth_mechanisms=MECHANISMS),
    attrs.evolve(SETTINGS, max_message_size=LIMIT, auth_mechanisms=MECHANISMS, lmtp=True),
    attrs.evolve(SETTINGS, max_message_size=LIMIT, bare_linefeed_rejection_enabled=False, auth_requires_tls=True, deliver_by=True),
    attrs.evolve(STRICT, max_message_size=LIMIT, mt_priority=True, future_release=1000, xclient=True),
)
COMMANDS = (
    b"EHLO client.example\r\n",
    b"LHLO client.example\r\n",
    b"HELO [192.0.2.1]\r\n",
    b"MAIL FROM:<a@own.example>\r\n",
    b"MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n",
    b"RCPT TO:<b@own.example>\r\n",
    b"RCPT TO:<postmaster>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\n..\r\n.\r\n",
    b"\r\n.\r\n",
    b"BDAT 3\r\nabc",
    b"BDAT 0 LAST\r\n",
    b"BDAT 3 LAST\r\na\r\n",
    b"BDAT 1\r\n\r",
    b"AUTH PLAIN AHUAcA==\r\n",
    b"AUTH LOGIN\r\ndQ==\r\ncA==\r\n",
    b"AUTH PLAIN\r\n*\r\n",
    SCRAM + b"\r\n",
    SCRAM_PROOF + b"\r\n",
    b"\r\n",
    b"STARTTLS\r\n",
    b"XCLIENT ADDR=192.0.2.1 NAME=x.example\r\n",
    b"RSET\r\n",
    b"VRFY x\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"\n.\n",
    b"\r",
    b"\0",
)


class Session:
    """A session that says yes, and looks at all that it is asked."""

    def __init__(self, settings: ServerSettings) -> None:
        self.engine = SMTPServer(settings)
        self.settings = settings
        self.events: list[Event] = []
        self.messages: list[bytes] = []
        self._content = b""
        self._binary = False
        self.engine.greet(BANNER)
        self.output = self.engine.data_to_send()

    def feed(self, packet: bytes) -> None:
        """A packet, and all that follows from it."""
        engine = self.engine
        engine.receive_data(packet)
        while True:
            while (event := engine.next_event()) is not None:
                self.take(event)
            said = engine.data_to_send()
            if engine.awaiting_tls:
                engine.tls_started()
            elif not said:
                break
            self.output += said
        assert engine.buffered <= max(AUTH_LIMIT, MAIL_LIMIT), "a line is held in bounded memory"

    def take(self, event: Event) -> None:
        """Look at an event, and answer it."""
        if isinstance(event, Content):
            assert event.chunk
            self._content += event.chunk
            assert len(self._content) <= LIMIT
            return
        self.events.append(event)
        if isinstance(event, Mail):
            self._binary = event.parameters.body == "BINARYMIME"
            assert parse_path(event.sender.text) == event.sender
        elif isinstance(event, Rcpt):
            assert parse_path(event.recipient.text) == event.recipient
            assert event.recipient.text
        elif isinstance(event, Hello):
            assert event.name.isascii()
            assert event.name.isprintable()
            assert " " not in event.name
        elif isinstance(event, XClient):
            assert all(value.isprintable() for value in (event.name, event.helo, event.login, event.proto))
        elif isinstance(event, ProtocolError):
            assert event.command.isprintable()
            assert event.reply.code >= 400
        elif isinstance(event, Authenticate):
            assert event.credentials.authcid.isprintable()
            assert event.credentials.authzid.isprintable()
        if isinstance(event, Reset):
            self._content = b""
            return
        if isinstance(event, Authenticated):
            return
        if isinstance(event, ScramChallenge):
            self.engine.challenge(VERIFIER(), b"channel" if event.binding else b"")
            return
        if isinstance(event, EndOfContent):
            if event.fault is None:
                assert self._binary or _BARE.search(self._content) is None
                self.messages.append(self._content)
            self._content = b""
        self.engine.respond(self.answer(event))

    def answer(self, event: Event) -> Reply:
        """Yes to all."""
        return QUEUED if isinstance(event, EndOfContent) and event.fault is None else positive(event)


@target("server", *COMMANDS)
def server(data: bytes) -> None:
    """The engine: whatever the packets, the same events and replies, each well formed; bounded memory; clean messages."""
    for settings in SETTINGS_TO_TRY:
        seen = []
        for parts in packets(data):
            session = Session(settings)
            for part in parts:
                session.feed(part)
            codes(session.output)
            seen.append((session.events, session.messages, session.output))
        # What follows STARTTLS in one packet and what follows it in the next are two different things.
        if b"STARTTLS" not in data.upper():
            assert all(one == seen[0] for one in seen), "packets change nothing"


def naive_content(data: bytes, reject: bool) -> tuple[bytes, Reply | None, bytes] | None:
    """Content, fault and rest, line by line from the whole stream; None where the message does not end."""
    lines, rest = [], data
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            return None
        if line == b".":
            break
        lines.append(line.removeprefix(b"."))
    if any(b"\0" in line for line in lines) or (reject and any(b"\r" in line or b"\n" in line for line in lines)):
        return b"", BARE_LINE_ENDING, rest
    content = b"".join(re.sub(rb"\r\n|\r|\n", b"\r\n", line + b"\r\n") for line in lines)
    return (b"", MESSAGE_TOO_LARGE, rest) if len(content) > LIMIT else (content, None, rest)


@target("data", b"\r\n.\r\n", b"\r\n", b"\r", b"\n", b".", b"..", b"\0", b"x" * 500, b"\n.\n", b"\r\n.\n", b"\r.\r")
def data_receiver(data: bytes) -> None:
    """The receiver of DATA against the naive one."""
    for reject in (True, False):
        expected = naive_content(data, reject)
        for parts in packets(data):
            receiver = DataReceiver(LIMIT, reject)
            content, fed = b"", 0
            for part in parts:
                content += receiver.feed(part)
                fed += len(part)
                if receiver.finished:
                    break
            assert receiver.finished == (expected is not None)
            assert len(content) <= LIMIT
            if expected is None:
                continue
            assert receiver.rest + data[fed:] == expected[2]
            assert receiver.fault == expected[1] or {receiver.fault, expected[1]} == {BARE_LINE_ENDING, MESSAGE_TOO_LARGE}
            if receiver.fault is None:
                assert content == expected[0]


@target("stuffing", b"\r\n.\r\n", b"\r\n", b"\r", b"\n", b".", b"..", b"\0", b"\r\n.")
def stuffing(data: bytes) -> None:
    """What we send by DATA is received by DATA: one message, the same octets."""
    normal = re.sub(rb"\r\n|\r|\n", b"\r\n", data).replace(b"\0", b" ")
    expected = normal if not normal or normal.endswith(b"\r\n") else normal + b"\r\n"
    for parts in packets(data):
        stuffer = Stuffer()
        sent = b"".join([stuffer.feed(part) for part in parts]) + stuffer.finish()
        assert _BARE.search(sent) is None
        receiver = DataReceiver()
        content = receiver.feed(sent + b"QUIT\r\n")
        assert (receiver.finished, receiver.fault, receiver.rest) == (True, None, b"QUIT\r\n")
        assert content == expected


def naive_lines(data: bytes) -> list[bytes | None]:
    """Each line, or None for one that is too long."""
    *lines, _ = data.split(b"\r\n")
    limits = {b"MAIL": MAIL_LIMIT, b"RCPT": RCPT_LIMIT, b"AUTH": AUTH_LIMIT, b"XCLI": XCLIENT_LIMIT}
    return [line if len(line) + 2 <= limits.get(line[:4].upper(), COMMAND_LIMIT) else None for line in lines]


@target("lines", b"\r\n", b"\r", b"\n", b"MAIL ", b"AUTH ", b"x" * 255, b"x" * 510, b"auth")
def lines(data: bytes) -> None:
    """Lines out of packets, against a split of the whole."""
    for parts in packets(data):
        buffer, found = LineBuffer(), list[bytes | None]()
        for part in parts:
            buffer.feed(part)
            while True:
                try:
                    line = buffer.line()
                except LineTooLong:
                    found.append(None)
                    continue
                if line is None:
                    break
                found.append(line)
            assert len(buffer) <= AUTH_LIMIT
        assert found == naive_lines(data)
