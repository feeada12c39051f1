"""A scripted SMTP or LMTP server: a next hop that records exactly what it got, and refuses, stalls or hangs up where a test says so."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Literal

import attrs

from tests.network import LOOPBACK, PATIENCE, free_port

Stage = Literal["connect", "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "end", "lmtp", "rset", "quit"]

#: What a handler returns to have the connection cut without a word.
HANG_UP = "hang up"

#: A handler is given the argument of the command (at "end" the content, in latin-1; at "lmtp", asked for each recipient behind the
#: content, the address; at "auth" the mechanism, user and password).  It returns a reply line, L{HANG_UP}, or None for the usual reply.
Handler = Callable[[str], str | None]

_USUAL: dict[Stage, str] = {
    "connect": "220 sink ready",
    "ehlo": "250 sink",
    "helo": "250 sink",
    "starttls": "220 2.0.0 go on",
    "auth": "535 5.7.8 wrong password",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go on",
    "end": "250 2.0.0 taken",
    "lmtp": "250 2.1.5 taken",
    "rset": "250 2.0.0 ok",
    "quit": "221 2.0.0 bye",
}


@attrs.frozen
class Delivered:
    """A message that the sink took.

    @ivar recipient_parameters: what followed each address in RCPT.
    @ivar content: its octets, dots unstuffed, without the final dot.
    @ivar connection: the number of the connection that it came over.
    @ivar secure: whether that was encrypted.
    """

    sender: str
    recipients: tuple[str, ...]
    mail_parameters: str
    content: bytes
    connection: int
    secure: bool = False
    recipient_parameters: tuple[str, ...] = ()


@attrs.frozen
class Login:
    """A login that was tried."""

    mechanism: str
    username: str
    password: str
    secure: bool


class Sink:
    """See the module; handlers are set with L{on} at any time, and apply from the next command on.

    @ivar recording: whether messages are kept; a test that sends very many looks at them at stage "end" instead.
    @ivar features: what EHLO says besides STARTTLS (where there is a TLS context) and AUTH (where there are logins); REQUIRETLS is said
        under TLS only.
    @ivar accounts: passwords by user name; where it is not empty, nothing is taken without a login.
    @ivar mechanisms: those offered.
    @ivar peers: the addresses that connections came from.
    """

    def __init__(
        self,
        port: int = 0,
        recording: bool = True,
        *,
        host: str = LOOPBACK,
        path: str = "",
        lmtp: bool = False,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
    ) -> None:
        """
        @param path: listen on this UNIX socket instead.
        @param lmtp: answer for each recipient behind the content.
        """
        self.host = host
        self.path = path
        self.port = 0 if path else port or free_port()
        self.recording = recording
        self.lmtp = lmtp
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.features = ["PIPELINING", "8BITMIME", "DSN", "SIZE 0", "ENHANCEDSTATUSCODES"]
        self.accounts: dict[str, str] = {}
        self.mechanisms = ["PLAIN", "LOGIN"]
        self.logins: list[Login] = []
        self.delivered: list[Delivered] = []
        self.connections = 0
        self.peers: set[str] = set()
        self.commands: list[str] = []
        self._handlers: dict[Stage, Handler] = {}
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Sink:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def hop(self) -> str:
        """The sink as a next hop of the configuration."""
        place = f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"
        return f"lmtp:{place}" if self.lmtp else place

    @property
    def listening(self) -> bool:
        """Whether it takes connections."""
        return self._listener is not None

    def on(self, stage: Stage, handler: Handler | str | None) -> None:
        """Answer at a stage with a fixed reply, by a handler, or as usual again (None)."""
        if handler is None:
            self._handlers.pop(stage, None)
        elif isinstance(handler, str):
            self._handlers[stage] = lambda argument, reply=handler: reply  # type: ignore[misc]
        else:
            self._handlers[stage] = handler

    def start(self) -> None:
        """Listen (again, on the same port)."""
        listener = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.path or (self.host, self.port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and cut all connections."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def for_recipient(self, address: str) -> list[Delivered]:
        """The messages taken for an address."""
        return [message for message in list(self.delivered) if address in message.recipients]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                self.connections += 1
                self.peers.add("" if self.path else peer[0])
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(PATIENCE)
        try:
            _Session(self, connection, number).run()
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def answer(self, stage: Stage, argument: str) -> str:
        """The reply at a stage."""
        handler = self._handlers.get(stage)
        said = handler(argument) if handler is not None else None
        return _USUAL[stage] if said is None else said

    def welcome(self, secure: bool) -> str:
        """The reply to EHLO."""
        lines = ["sink", *(word for word in self.features if secure or word != "REQUIRETLS")]
        if self.tls is not None and not secure:
            lines.append("STARTTLS")
        if self.accounts:
            lines.append(f"AUTH {' '.join(self.mechanisms)}")
        return "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}"


class _Session:
    """One connection to the sink."""

    def __init__(self, sink: Sink, connection: socket.socket, number: int) -> None:
        self._sink = sink
        self._socket = connection
        self._number = number
        self._secure = False
        self._stream = connection.makefile("rb")
        self._sender = self._parameters = ""
        self._recipients: list[str] = []
        self._recipient_parameters: dict[str, str] = {}
        self._logged_in = False

    def run(self) -> None:
        """Serve until QUIT or the end of the connection."""
        if self._sink.implicit_tls:
            self._start_tls()
        going = self._say("connect", "")
        while going:
            line = self._line()
            if line is None:
                return
            self._sink.commands.append(line)
            going = self._command(line)

    def _line(self) -> str | None:
        line = self._stream.readline()
        return line[:-2].decode("utf-8", "surrogateescape") if line.endswith(b"\r\n") else None

    def _start_tls(self) -> None:
        assert self._sink.tls is not None
        self._socket = self._sink.tls.wrap_socket(self._socket, server_side=True)
        self._stream = self._socket.makefile("rb")
        self._secure = True
        self._reset()

    def _command(self, text: str) -> bool:
        verb, _, argument = text.partition(" ")
        match verb.upper():
            case "EHLO" | "LHLO":
                said = self._sink.answer("ehlo", argument)
                return self._write(self._sink.welcome(self._secure) if said == _USUAL["ehlo"] else said)
            case "HELO":
                return self._say("helo", argument)
            case "STARTTLS" if self._sink.tls is not None and not self._secure:
                said = self._sink.answer("starttls", "")
                going = self._write(said)
                if said == _USUAL["starttls"]:
                    self._start_tls()
                return going
            case "AUTH":
                return self._log_in(argument)
            case "MAIL" if self._sink.accounts and not self._logged_in:
                return self._write("530 5.7.0 log in first")
            case "MAIL":
                self._reset()
                address, self._parameters = _path(argument)
                self._sender = address
                return self._say("mail", address)
            case "RCPT":
                address, parameters = _path(argument)
                said = self._sink.answer("rcpt", address)
                if said.startswith("2"):
                    self._recipients.append(address)
                    self._recipient_parameters[address] = parameters
                return self._write(said)
            case "DATA":
                return self._data()
            case "BDAT":
                return self._chunk(int(argument.split()[0]))
            case "RSET":
                self._reset()
                return self._say("rset", "")
            case "QUIT":
                self._say("quit", "")
                return False
            case _:
                return self._write("502 5.5.1 not here")

    def _data(self) -> bool:
        if not self._recipients:
            return self._write("554 5.5.1 no valid recipients")
        said = self._sink.answer("data", "")
        if not self._write(said) or not said.startswith("3"):
            return said != HANG_UP
        lines = []
        while (line := self._stream.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        content = b"".join(lines)
        return self._taken(content)

    def _chunk(self, size: int) -> bool:
        """A message in one chunk."""
        return self._taken(self._stream.read(size))

    def _taken(self, content: bytes) -> bool:
        if self._sink.lmtp:
            return self._answer_each(content)
        said = self._sink.answer("end", content.decode("latin-1"))
        if said.startswith("2") and self._sink.recording:
            self._record(tuple(self._recipients), content)
        self._reset()
        return self._write(said)

    def _answer_each(self, content: bytes) -> bool:
        replies = [self._sink.answer("lmtp", recipient) for recipient in self._recipients]
        self._record(tuple(who for who, said in zip(self._recipients, replies, strict=True) if said.startswith("2")), content)
        self._reset()
        return all(self._write(said) for said in replies)

    def _record(self, recipients: tuple[str, ...], content: bytes) -> None:
        parameters = tuple(self._recipient_parameters[who] for who in recipients)
        taken = Delivered(self._sender, recipients, self._parameters, content, self._number, self._secure, parameters)
        self._sink.delivered.append(taken)

    def _log_in(self, argument: str) -> bool:
        mechanism, _, initial = argument.partition(" ")
        if mechanism == "PLAIN":
            _, username, password = base64.b64decode(initial).decode().split("\0")
        else:
            username, password = (base64.b64decode(self._ask(question)).decode() for question in (b"Username:", b"Password:"))
        self._sink.logins.append(Login(mechanism, username, password, self._secure))
        said = self._sink.answer("auth", f"{mechanism} {username} {password}")
        if said == _USUAL["auth"] and self._sink.accounts.get(username) == password:
            said = "235 2.7.0 welcome"
        self._logged_in = said.startswith("2")
        return self._write(said)

    def _ask(self, question: bytes) -> str:
        self._socket.sendall(b"334 " + base64.b64encode(question) + b"\r\n")
        return self._line() or ""

    def _reset(self) -> None:
        self._sender = self._parameters = ""
        self._recipients = []
        self._recipient_parameters = {}

    def _say(self, stage: Stage, argument: str) -> bool:
        return self._write(self._sink.answer(stage, argument))

    def _write(self, reply: str) -> bool:
        if reply == HANG_UP:
            self._socket.shutdown(socket.SHUT_RDWR)
            return False
        self._socket.sendall(reply.encode() + b"\r\n")
        return not reply.startswith("421")


def _path(argument: str) -> tuple[str, str]:
    """The address and the parameters of a MAIL or RCPT argument."""
    found = re.fullmatch(r"(?i)(?:from|to):<([^>]*)>(.*)", argument)
    return (found[1], found[2].strip()) if found else (argument, "")
