"""A stranger's session over a real connection: as far as RCPT, then RSET and QUIT.  DATA is never said.

Blocks: for a thread of its own.  Each wait has a limit.  Where the relay wants TLS for MAIL, TLS is what it gets; certificates do not
matter here.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable, Iterator

import attrs

from twistedrelay.answers.audit.attempts import Attempt, Outcome
from twistedrelay.values.printable import host_port

#: Seconds for one reply: more than the usual tarpit.
PATIENCE = 15.0

_LONGEST = 64 * 1024
_NAME = "relay-test.invalid"


@attrs.frozen(slots=True, kw_only=True)
class Call:
    """How to call.

    @ivar host: with C{port}: where to.
    @ivar source: the local address to call from.
    @ivar header: the PROXY header to begin with.
    @ivar xclient: for whom XCLIENT says to speak.
    """

    host: str
    port: int
    source: str
    implicit_tls: bool = False
    lmtp: bool = False
    header: bytes = b""
    xclient: str = ""


class Silence(Exception):
    """The relay hung up or said nothing in time; C{str()} is what it said last."""


def try_all(call: Call, attempts: Iterable[Attempt], ends: set[str]) -> Iterator[Outcome]:
    """The outcome of each; a relay that hangs up is called again.

    @param ends: holds our C{"address:port"} while we are connected: nobody else can have it then.
    @raise OSError: it does not take the connection.
    """
    line: _Line | None = None
    try:
        for attempt in attempts:
            try:
                if line is None:
                    line = _Line(call, ends)
                    line.begin()
                outcome = line.attempt(attempt)
            except (Silence, ssl.SSLError, TimeoutError, ConnectionError) as error:
                if line is None:
                    raise
                outcome = Outcome(attempt, str(error))
                line.close()
                line = None
            yield outcome
    finally:
        if line is not None:
            line.leave()


class _Line:
    """One connection."""

    def __init__(self, call: Call, ends: set[str]) -> None:
        self._call = call
        self._ends, self._end = ends, ""
        family = socket.AF_INET6 if ":" in call.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.bind((call.source, 0))
            self._end = host_port(call.source, self._socket.getsockname()[1])
            ends.add(self._end)  # before the relay can see it
            self._socket.connect((call.host, call.port))
            if call.header:
                self._socket.sendall(call.header)
            self._secure = False
            if call.implicit_tls:
                self._start_tls()
        except BaseException:
            self.close()
            raise
        self._received = b""
        self._offers = ""

    def begin(self) -> None:
        """From the greeting to EHLO."""
        self._want(self._reply())
        if self._call.xclient:
            self._hello()
            self._want(self._say(f"XCLIENT ADDR={self._call.xclient}"))
        self._hello()

    def attempt(self, attempt: Attempt) -> Outcome:
        """MAIL, RCPT, RSET."""
        reply = self._say(f"MAIL FROM:<{attempt.sender}>")
        if reply.startswith("530") and not self._secure and "STARTTLS" in self._offers:
            self._want(self._say("STARTTLS"))
            self._start_tls()
            self._hello()
            reply = self._say(f"MAIL FROM:<{attempt.sender}>")
        accepted = False
        if reply.startswith("2"):
            reply = self._say(f"RCPT TO:<{attempt.recipient}>")
            accepted = reply.startswith("2")
        with contextlib.suppress(Silence):
            self._say("RSET")
        return Outcome(attempt, reply, accepted)

    def leave(self) -> None:
        """Say good-bye, and do not wait."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"QUIT\r\n")
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._ends.discard(self._end)
        with contextlib.suppress(OSError):
            self._socket.close()

    def _start_tls(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket)
        self._secure = True

    def _hello(self) -> None:
        self._offers = self._say(f"{'LHLO' if self._call.lmtp else 'EHLO'} {_NAME}")
        self._want(self._offers)

    def _want(self, reply: str) -> None:
        if not reply.startswith("2"):
            raise Silence(reply)

    def _say(self, command: str) -> str:
        self._socket.sendall(command.encode() + b"\r\n")
        return self._reply()

    def _reply(self) -> str:
        """All lines of a reply."""
        lines: list[bytes] = []
        while not lines or lines[-1][3:4] == b"-":
            while b"\n" not in self._received:
                more = self._socket.recv(4096)
                if not more or len(self._received) > _LONGEST:
                    raise Silence(b" ".join(lines).decode("utf-8", "replace"))
                self._received += more
            one, _, self._received = self._received.partition(b"\n")
            lines.append(one.rstrip(b"\r"))
            if len(lines) > 200:
                raise Silence("too many lines")
        return b"\n".join(lines).decode("utf-8", "replace")
