"""A session round the engine for tests: answers every event, and keeps what happened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import (
    Authenticate,
    Authenticated,
    Bdat,
    Content,
    Data,
    EndOfContent,
    Event,
    Hello,
    Mail,
    ProtocolError,
    Quit,
    Rcpt,
    Reset,
    StartTLS,
    Vrfy,
    XClient,
)
from twistedrelay.wire.server import SMTPServer
from twistedrelay.wire.settings import ServerSettings

BANNER = Reply(220, "", "relay.example twistedrelay ESMTP")
QUEUED = Reply(250, "2.6.0", "<1@relay.example> Queued mail for delivery")
SETTINGS = ServerSettings(
    "relay.example",
    "192.0.2.9",
    max_message_size=1_000_000,
    offer_starttls=True,
    auth_mechanisms=("LOGIN", "PLAIN"),
    auth_requires_tls=False,
)
STRICT = ServerSettings("relay.example", "192.0.2.9", lenient_syntax_enabled=False, require_ehlo_domain=True)

POSITIVE: dict[type[Event], Reply] = {
    Hello: replies.HELLO_OK,
    StartTLS: replies.STARTTLS_READY,
    Authenticate: replies.AUTH_OK,
    Mail: replies.SENDER_OK,
    Rcpt: replies.RECIPIENT_OK,
    Data: replies.START_INPUT,
    Bdat: replies.CHUNK_ACCEPTED,
    XClient: BANNER,
    Vrfy: replies.CANNOT_VRFY,
    Quit: replies.QUIT,
}
NO_REPLY = (Content, Reset, Authenticated)


def positive(event: Event) -> Reply:
    """Says yes to all that is well formed."""
    if isinstance(event, ProtocolError):
        return event.reply
    if isinstance(event, EndOfContent):
        return event.fault or QUEUED
    return POSITIVE[type(event)]


class Driver:
    """An engine and a session that answers at once.

    @ivar events: all events but content.
    @ivar messages: the messages that were answered 250.
    @ivar output: all octets sent behind the banner.
    """

    def __init__(self, settings: ServerSettings = SETTINGS, decide: Callable[[Event], Reply] = positive, hello: bytes = b"") -> None:
        self.engine = SMTPServer(settings)
        self.decide = decide
        self.events: list[Event] = []
        self.messages: list[bytes] = []
        self.output = b""
        self._content: list[bytes] = []
        self.engine.greet(BANNER)
        assert self.engine.data_to_send() == BANNER.wire
        if hello:
            self.feed(hello)
            self.events.clear()
            self.output = b""

    def feed(self, data: bytes) -> list[int]:
        """Feed octets; the codes of the replies they brought."""
        self.engine.receive_data(data)
        while (event := self.engine.next_event()) is not None:
            self.take(event)
        out = self.engine.data_to_send()
        self.output += out
        return codes(out)

    def take(self, event: Event) -> None:
        """Keep an event and answer it."""
        if isinstance(event, Content):
            self._content.append(event.chunk)
            return
        self.events.append(event)
        if isinstance(event, NO_REPLY):
            self._content.clear()
            return
        reply = self.decide(event)
        if isinstance(event, EndOfContent):
            if reply.is_positive:
                self.messages.append(b"".join(self._content))
            self._content.clear()
        self.engine.respond(reply)

    @property
    def codes(self) -> list[int]:
        """The codes of all replies so far."""
        return codes(self.output)

    @property
    def senders(self) -> list[str]:
        """The addresses of all MAIL events."""
        return [event.sender.text for event in self.events if isinstance(event, Mail)]

    @property
    def recipients(self) -> list[str]:
        """The addresses of all RCPT events."""
        return [event.recipient.text for event in self.events if isinstance(event, Rcpt)]

    @property
    def errors(self) -> list[ProtocolError]:
        """All protocol errors."""
        return [event for event in self.events if isinstance(event, ProtocolError)]


def codes(output: bytes) -> list[int]:
    """The codes of replies; each is checked for its form."""
    if not output:
        return []
    assert output.endswith(b"\r\n")
    found = []
    for line in output[:-2].split(b"\r\n"):
        assert re.fullmatch(rb"[2345]\d\d[ -][ -~]*", line), line
        if line[3:4] == b" ":
            found.append(int(line[:3]))
    return found


def feed_split(make: Callable[[], Driver], data: bytes) -> Iterator[Driver]:
    """Drivers that were fed C{data} in two parts, cut at every position, and one that was fed octet by octet."""
    for cut in range(len(data) + 1):
        driver = make()
        driver.feed(data[:cut])
        driver.feed(data[cut:])
        yield driver
    driver = make()
    for at in range(len(data)):
        driver.feed(data[at : at + 1])
    yield driver


def greeted(settings: ServerSettings = SETTINGS, decide: Callable[[Event], Reply] = positive) -> Driver:
    """A driver behind EHLO."""
    return Driver(settings, decide, hello=b"EHLO client.example\r\n")


def in_data(settings: ServerSettings = SETTINGS, decide: Callable[[Event], Reply] = positive) -> Driver:
    """A driver behind the 354."""
    driver = greeted(settings, decide)
    assert driver.feed(b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\nDATA\r\n") == [250, 250, 354]
    driver.events.clear()
    driver.output = b""
    return driver
