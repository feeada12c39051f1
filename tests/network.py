"""Loopback ports, waiting and raw SMTP dialogues for tests and benchmarks."""

from __future__ import annotations

import errno
import os
import random
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Self, TypeVar

LOOPBACK = "127.0.0.1"

#: How long anything may take on a slow, busy machine, in seconds.
PATIENCE = float(os.environ.get("TEST_PATIENCE", "90"))

_Found = TypeVar("_Found")
_random = random.Random(os.getpid())
_reserved: dict[str, socket.socket] = {}


def reserve(name: str) -> bool:
    """Keep a name of something on this machine for this process, until it ends; False where another process, or this one, has it.

    It is an abstract UNIX socket, which lives in the same network namespace as the ports and addresses that it stands for, and is no file.
    """
    if not sys.platform.startswith("linux"):
        return True
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0twistedrelay-test-{name}")
    except OSError:
        holder.close()
        return False
    _reserved[name] = holder
    return True


def free_port() -> int:
    """A port that nobody has, on no address, and that no other test gets before this process ends, in whatever process it runs.

    It lies below the ephemeral range, so that no outgoing connection takes it between now and its use.
    """
    return _free_port(16000, 32000)


def low_port() -> int:
    """A L{free_port} that only root may bind."""
    return _free_port(600, 1000)


def _free_port(first: int, end: int) -> int:
    for _ in range(1000):
        port = _random.randrange(first, end)
        if reserve(f"port-{port}"):
            if _can_bind(port):
                return port
            _reserved.pop(f"port-{port}").close()
    raise OSError("no free loopback port")


def _can_bind(port: int) -> bool:
    """Whether a port is free on every address, for connections and for datagrams."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                probe = socket.socket(family, kind)
            except OSError:
                continue  # no such family here
            with probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    if error.errno != errno.EADDRNOTAVAIL:  # no such family here
                        return False
    return True


def eventually(find: Callable[[], _Found], what: str, seconds: float = PATIENCE) -> _Found:
    """Call C{find} until it returns something true; return that.

    @raise AssertionError: when it did not within C{seconds}.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what} (last: {found!r})")
        time.sleep(0.02)


def answers(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts connections on a port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def greets(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server says something on a port: it does not only listen, it runs."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            return bool(connection.recv(1))
    except OSError:
        return False


class Dialogue:
    """An SMTP session spoken by hand, octet by octet.

    @ivar transcript: every reply so far, as text.
    """

    def __init__(self, port: int, source: str = LOOPBACK, host: str = LOOPBACK, greeting: bool = True) -> None:
        self._socket: socket.socket = socket.create_connection((host, port), timeout=PATIENCE, source_address=(source, 0))
        self._buffer = b""
        self.transcript: list[str] = []
        self.banner = self.reply() if greeting else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def send(self, octets: bytes) -> None:
        """Write octets as they are."""
        self._socket.sendall(octets)

    def reply(self) -> str:
        """The next reply, all its lines, without the last CRLF.

        @raise EOFError: where the server closed the connection instead.
        """
        lines = []
        while True:
            line = self._line()
            lines.append(line)
            if re.fullmatch(r"\d{3}( .*)?", line):
                break
        text = "\r\n".join(lines)
        self.transcript.append(text)
        return text

    def command(self, line: str) -> str:
        """Send a command line and return the reply."""
        self.send(line.encode("utf-8") + b"\r\n")
        return self.reply()

    def message(self, sender: str, recipients: list[str], content: bytes) -> str:
        """A whole transaction, one command at a time; the reply to the end of data, or the first that was no success."""
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients)):
            said = self.command(line)
            if said[0] != "2":
                return said
        said = self.command("DATA")
        if said[0] != "3":
            return said
        self.send(stuffed(content))
        return self.reply()

    def start_tls(self, name: str = "localhost") -> None:
        """STARTTLS and the handshake; the certificate is not verified."""
        said = self.command("STARTTLS")
        assert said.startswith("220"), said
        assert not self._buffer, self._buffer
        self.wrap(name)

    def wrap(self, name: str = "localhost") -> None:
        """The TLS handshake (for implicit TLS: construct without greeting, wrap, then read the banner)."""
        context = unverified()
        self._socket = context.wrap_socket(self._socket, server_hostname=name)

    def closed(self) -> bool:
        """Whether the server closes the connection without another word."""
        if self._buffer:
            return False
        try:
            return self._socket.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            received = self._socket.recv(65536)
            if not received:
                raise EOFError(f"connection closed after {self.transcript[-3:]!r}, unfinished: {self._buffer!r}")
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")


def unverified() -> ssl.SSLContext:
    """A client's context for self-signed certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def stuffed(content: bytes) -> bytes:
    """Content as it goes through DATA: dots doubled, the final dot behind it."""
    body = re.sub(rb"(?m)^\.", b"..", content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return body + b".\r\n"
