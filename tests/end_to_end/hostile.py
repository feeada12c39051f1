"""A scripted peer that misbehaves: at one stage of a session, a number of times, in any way that octets and sockets allow; then it is good.

What it takes it writes down, whether it said so or not, since that is what a mailbox behind it would hold.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import struct
import threading
from typing import Literal

import attrs

from tests.network import LOOPBACK, PATIENCE, free_port

Stage = Literal["connect", "ehlo", "starttls", "handshake", "mail", "rcpt", "data", "bdat", "content", "end", "rset", "quit"]
Then = Literal["go on", "close", "reset", "stall", "alert"]

#: An unencrypted fatal alert (handshake_failure), which breaks a TLS stream at any place.
_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
_ENOUGH = 100_000  #: octets of a large content before the stage "content"

_USUAL: dict[Stage, bytes] = {
    "connect": b"220 hostile ready\r\n",
    "starttls": b"220 2.0.0 go on\r\n",
    "mail": b"250 2.1.0 ok\r\n",
    "rcpt": b"250 2.1.5 ok\r\n",
    "data": b"354 go on\r\n",
    "end": b"250 2.0.0 taken\r\n",
    "rset": b"250 2.0.0 ok\r\n",
    "quit": b"221 2.0.0 bye\r\n",
}
_OUT_OF_ORDER = b"503 5.5.1 bad sequence of commands\r\n"
_FULL = b"552 5.2.2 mailbox full\r\n"


@attrs.frozen
class Trick:
    """One way to misbehave.

    @ivar say: the octets instead of the usual reply; over LMTP, at stage "end", instead of all of them.
    @ivar then: what happens behind them.
    @ivar takes: at stage "end": the message is taken nevertheless.  At stage "bdat": the octets of the chunk are thrown away, and the
        transaction goes on; else they are taken for commands.
    @ivar times: how often, before the peer is good.
    @ivar only: where not empty, only for commands with this in them.
    """

    stage: Stage
    say: bytes = b""
    then: Then = "close"
    takes: bool = False
    times: int = 2
    only: str = ""

    def __str__(self) -> str:
        said = repr(self.say if len(self.say) < 60 else self.say[:50] + b"...")[2:-1]
        return f"{self.stage}{f'({self.only})' if self.only else ''}: {said!r} then {self.then}{', taken' if self.takes else ''}"


@attrs.frozen
class Taken:
    """A message in the mailbox of one recipient."""

    recipient: str
    content: bytes
    secure: bool


class _Over(Exception):
    """The session is over."""


class Hostile:
    """A peer with one trick.

    Recipients with C{refused} in them are refused for good, those with C{later} once, those with C{full} behind the content where that is
    possible, which is over LMTP.

    @param tls: STARTTLS is offered.
    @param chunking: CHUNKING is offered.
    @param strict: commands out of order are refused with 503, as most servers do; else they are taken as they come.
    @ivar left: how often the trick is still to be done.
    @ivar nested: how often MAIL came while a transaction was open.
    """

    def __init__(
        self, trick: Trick, *, lmtp: bool = False, tls: ssl.SSLContext | None = None, strict: bool = False, chunking: bool = False
    ) -> None:
        self.trick = trick
        self.chunking = chunking
        self.strict = strict
        self.lmtp = lmtp
        self.tls = tls
        self.left = trick.times
        self.taken: list[Taken] = []
        self.connections = 0
        self.nested = 0
        self.port = free_port()
        self._put_off: set[str] = set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def hop(self) -> str:
        """The peer as a smart host of the configuration."""
        return f"{'lmtp:' if self.lmtp else ''}{LOOPBACK}:{self.port}"

    def close(self) -> None:
        """Stop, and cut all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def does_it(self, stage: Stage, argument: str) -> bool:
        """Whether it is time for the trick."""
        with self._lock:
            if stage != self.trick.stage or self.trick.only not in argument or not self.left:
                return False
            self.left -= 1
            return True

    def puts_off(self, address: str) -> bool:
        """Whether a recipient is to come again later."""
        with self._lock:
            if "later" not in address or address in self._put_off:
                return False
            self._put_off.add(address)
            return True

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        session = _Session(self, connection)
        with contextlib.suppress(OSError, _Over):
            session.run()
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            session.socket.close()


class _Session:
    def __init__(self, peer: Hostile, connection: socket.socket) -> None:
        self.socket = connection
        self._peer = peer
        self._buffer = b""
        self._secure = False
        self._recipients: list[str] = []
        self._in_transaction = False

    def run(self) -> None:
        self._answer("connect")
        while True:
            line = self._line()
            verb, _, argument = line.partition(" ")
            match verb:
                case "EHLO" | "LHLO":
                    self._answer("ehlo", argument, self._welcome())
                case "HELO":
                    self._say(b"250 hostile\r\n")
                case "STARTTLS":
                    self._start_tls()
                case "MAIL":
                    self._mail(argument)
                case "RCPT" | "DATA" | "BDAT" if self._peer.strict and not self._in_transaction:
                    self._say(_OUT_OF_ORDER)
                case "RCPT":
                    self._recipient(argument)
                case "DATA":
                    self._data()
                case "BDAT" if self._peer.chunking:
                    self._chunk(int(argument.removesuffix(" LAST")))
                case "RSET":
                    self._recipients, self._in_transaction = [], False
                    self._answer("rset")
                case "QUIT":
                    self._answer("quit")
                    return
                case _:
                    self._say(b"502 5.5.1 not here\r\n")

    def _welcome(self) -> bytes:
        offers = [b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES"]
        if self._peer.chunking:
            offers.append(b"CHUNKING")
        if self._peer.tls is not None and not self._secure:
            offers.append(b"STARTTLS")
        return b"".join(b"250-%s\r\n" % offer for offer in [b"hostile", *offers]) + b"250 SIZE 100000000\r\n"

    def _start_tls(self) -> None:
        assert self._peer.tls is not None
        self._answer("starttls")
        if self._peer.does_it("handshake", ""):
            self._trick()
        self.socket = self._peer.tls.wrap_socket(self.socket, server_side=True)
        self._buffer = b""
        self._secure = True

    def _mail(self, argument: str) -> None:
        if self._in_transaction:
            self._peer.nested += 1
            if self._peer.strict:
                self._say(_OUT_OF_ORDER)
                return
        self._recipients = []
        self._in_transaction = self._answer("mail", argument).startswith(b"2")

    def _recipient(self, argument: str) -> None:
        found = re.match(r"TO:<([^>]*)>", argument)
        assert found is not None, argument
        address = found[1]
        if self._peer.does_it("rcpt", address):
            if self._trick().startswith(b"2"):
                self._recipients.append(address)
        elif "refused" in address or ("full" in address and not self._peer.lmtp):
            self._say(b"550 5.1.1 nobody here\r\n")
        elif self._peer.puts_off(address):
            self._say(b"450 4.2.1 later\r\n")
        else:
            self._recipients.append(address)
            self._say(_USUAL["rcpt"])

    def _data(self) -> None:
        if not self._recipients:
            self._say(b"554 5.5.1 no valid recipients\r\n")
            return
        if not self._answer("data").startswith(b"354"):
            return
        if self._peer.trick.stage == "content" and self._peer.left:
            while len(self._buffer) < _ENOUGH and b"\r\n.\r\n" not in self._buffer:
                self._receive()
            if b"\r\n.\r\n" not in self._buffer and self._peer.does_it("content", ""):
                self._trick()
        while (end := (b"\r\n" + self._buffer).find(b"\r\n.\r\n")) < 0:
            self._receive()
        content, self._buffer = self._buffer[:end], self._buffer[end + 3 :]
        self._ended(content.replace(b"\r\n.", b"\r\n"))

    def _chunk(self, size: int) -> None:
        peer = self._peer
        if peer.does_it("bdat", ""):
            self._trick()
            if peer.trick.takes:
                self._octets(size)
            return
        if peer.trick.stage == "content" and peer.left and size >= _ENOUGH:
            while len(self._buffer) < _ENOUGH:
                self._receive()
            if peer.does_it("content", ""):
                self._trick()
        content = self._octets(size)
        if self._recipients:
            self._ended(content)
        else:
            self._say(_OUT_OF_ORDER)

    def _octets(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        content, self._buffer = self._buffer[:size], self._buffer[size:]
        return content

    def _ended(self, content: bytes) -> None:
        recipients, self._recipients, self._in_transaction = self._recipients, [], False
        peer = self._peer
        tricky = peer.does_it("end", "")
        if not tricky or peer.trick.takes:
            peer.taken += [Taken(recipient, content, self._secure) for recipient in recipients if tricky or "full" not in recipient]
        if tricky:
            self._trick()
        else:
            self._say(b"".join(_FULL if "full" in each else _USUAL["end"] for each in recipients) if peer.lmtp else _USUAL["end"])

    def _answer(self, stage: Stage, argument: str = "", usual: bytes = b"") -> bytes:
        if self._peer.does_it(stage, argument):
            return self._trick()
        reply = usual or _USUAL[stage]
        self._say(reply)
        return reply

    def _trick(self) -> bytes:
        trick = self._peer.trick
        self._say(trick.say)
        if trick.then == "go on":
            return trick.say
        if trick.then == "stall":
            while self.socket.recv(65536):
                pass
        elif trick.then == "alert":
            os.write(self.socket.fileno(), _ALERT)
            while self.socket.recv(65536):
                pass
        elif trick.then == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Over

    def _say(self, octets: bytes) -> None:
        if octets:
            self.socket.sendall(octets)

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode("utf-8", "replace")

    def _receive(self) -> None:
        received = self.socket.recv(65536)
        if not received:
            raise _Over
        self._buffer += received
