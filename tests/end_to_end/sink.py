"""A scripted SMTP server: a next hop that records exactly what it got, and refuses, stalls or hangs up where a test says so."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Literal

import attrs

from tests.network import LOOPBACK, PATIENCE, free_port

Stage = Literal["connect", "ehlo", "mail", "rcpt", "data", "end", "rset", "quit"]

#: What a handler returns to have the connection cut without a word.
HANG_UP = "hang up"

#: A handler is given the argument of the command (at "end" the content, in latin-1).  It returns a reply line, L{HANG_UP}, or None for
#: the usual reply.
Handler = Callable[[str], str | None]

_USUAL: dict[Stage, str] = {
    "connect": "220 sink ready",
    "ehlo": "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250-SIZE 0\r\n250 ENHANCEDSTATUSCODES",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go on",
    "end": "250 2.0.0 taken",
    "rset": "250 2.0.0 ok",
    "quit": "221 2.0.0 bye",
}


@attrs.frozen
class Delivered:
    """A message that the sink took.

    @ivar content: its octets, dots unstuffed, without the final dot.
    @ivar connection: the number of the connection that it came over.
    """

    sender: str
    recipients: tuple[str, ...]
    mail_parameters: str
    content: bytes
    connection: int


class Sink:
    """See the module; handlers are set with L{on} at any time, and apply from the next command on.

    @ivar recording: whether messages are kept; a test that sends very many looks at them at stage "end" instead.
    """

    def __init__(self, port: int = 0, recording: bool = True) -> None:
        self.port = port or free_port()
        self.recording = recording
        self.delivered: list[Delivered] = []
        self.connections = 0
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
        return f"{LOOPBACK}:{self.port}"

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
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self.port))
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
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                self.connections += 1
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


class _Session:
    """One connection to the sink."""

    def __init__(self, sink: Sink, connection: socket.socket, number: int) -> None:
        self._sink = sink
        self._socket = connection
        self._number = number
        self._stream = connection.makefile("rb")
        self._sender = self._parameters = ""
        self._recipients: list[str] = []

    def run(self) -> None:
        """Serve until QUIT or the end of the connection."""
        going = self._say("connect", "")
        while going:
            line = self._stream.readline()
            if not line.endswith(b"\r\n"):
                return
            text = line[:-2].decode("utf-8", "surrogateescape")
            self._sink.commands.append(text)
            going = self._command(text)

    def _command(self, text: str) -> bool:
        verb, _, argument = text.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO" | "LHLO":
                return self._say("ehlo", argument)
            case "MAIL":
                self._reset()
                address, self._parameters = _path(argument)
                self._sender = address
                return self._say("mail", address)
            case "RCPT":
                address, _ = _path(argument)
                said = self._sink.answer("rcpt", address)
                if said.startswith("2"):
                    self._recipients.append(address)
                return self._write(said)
            case "DATA":
                return self._data()
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
        said = self._sink.answer("end", content.decode("latin-1"))
        if said.startswith("2") and self._sink.recording:
            self._sink.delivered.append(Delivered(self._sender, tuple(self._recipients), self._parameters, content, self._number))
        self._reset()
        return self._write(said)

    def _reset(self) -> None:
        self._sender = self._parameters = ""
        self._recipients = []

    def _say(self, stage: Stage, argument: str) -> bool:
        return self._write(self._sink.answer(stage, argument))

    def _write(self, reply: str) -> bool:
        if reply == HANG_UP:
            self._socket.shutdown(socket.SHUT_RDWR)
            return False
        self._socket.sendall(reply.encode() + b"\r\n")
        return True


def _path(argument: str) -> tuple[str, str]:
    """The address and the parameters of a MAIL or RCPT argument."""
    found = re.fullmatch(r"(?i)(?:from|to):<([^>]*)>(.*)", argument)
    return (found[1], found[2].strip()) if found else (argument, "")
