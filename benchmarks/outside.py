"""The world outside for L{benchmarks.fairness}: a process with a name server and mail hosts that are well, slow, or not there.

Every domain whose name begins with C{ok} has a mail host that takes everything; C{refused} has one where nobody listens, C{silent} one
that never answers a connection, C{slow} one that takes seconds for each reply and then says 451.  Each delivery to a host that is well is a
line on standard output: the time and the value of the field Benchmark, or C{-}.

Ports 53 and 25 of loopback addresses of its own, so it must be started as root.  It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import time
from typing import Any

import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset

NETWORK = "127.78.0"
NAME_SERVER = f"{NETWORK}.53"
HOSTS = {"ok": f"{NETWORK}.1", "refused": f"{NETWORK}.2", "silent": f"{NETWORK}.3", "slow": f"{NETWORK}.4"}
SMTP_PORT, DNS_PORT = 25, 53
SLOW = 3.0  #: seconds for each reply

_TOKEN = re.compile(rb"^Benchmark: (\S+)", re.MULTILINE)


class Names(asyncio.DatagramProtocol):
    """The name server: C{kindNNNN.bench.test} has the mail host C{mx-kind.bench.test}."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """A question."""
        query = dns.message.from_wire(data)
        [question] = query.question
        response = dns.message.make_response(query, recursion_available=True)
        name = question.name.to_text(omit_final_dot=True).lower()
        label = name.partition(".")[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        found: list[str] = []
        if label.startswith("mx-") and kind == "A":
            found = [HOSTS[label[3:]]]
        elif kind == "MX" and (match := re.match("[a-z]+", label)) and match[0] in HOSTS:
            found = [f"10 mx-{match[0]}.bench.test."]
        if found:
            response.answer.append(dns.rrset.from_text_list(question.name, 3600, dns.rdataclass.IN, question.rdtype, found))
        self._transport.sendto(response.to_wire(), address)


class Host(asyncio.Protocol):
    """A mail host.

    @param pause: seconds before each reply to a final dot.
    @param slow: seconds before each reply, and recipients get 451.
    """

    def __init__(self, pause: float, slow: float) -> None:
        self._pause = pause
        self._slow = slow
        self._buffer = b""
        self._in_content = False
        self._said: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Greet."""
        self._transport = transport
        self._say(b"220 outside ESMTP\r\n", self._slow)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Commands and content."""
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while self._timer is None:  # one thing after the other
            mark = b"\r\n.\r\n" if self._in_content else b"\r\n"
            line, end, rest = self._buffer.partition(mark)
            if not end:
                break
            self._buffer = rest
            if self._in_content:
                self._taken(line)
            else:
                self._command(line[:4].upper())
        self._flush()

    def _command(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self._said.append(b"250-outside\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n")
        elif verb == b"DATA":
            self._in_content = not self._slow
            self._said.append(b"354 go on\r\n" if self._in_content else b"554 5.5.1 no recipients\r\n")
        elif verb == b"QUIT":
            self._said.append(b"221 2.0.0 bye\r\n")
            self._flush()
            self._transport.close()
        elif verb == b"RCPT" and self._slow:
            self._said.append(b"451 4.3.0 not now\r\n")
        else:
            self._said.append(b"250 2.0.0 ok\r\n")

    def _taken(self, content: bytes) -> None:
        self._in_content = False
        token = _TOKEN.search(content[:2000])
        sys.stdout.write(f"{time.monotonic():.6f} {token[1].decode() if token else '-'}\n")
        self._flush()
        self._say(b"250 2.0.0 taken\r\n", self._pause)

    def _flush(self) -> None:
        if self._said and self._timer is None:
            said, self._said = b"".join(self._said), []
            self._say(said, self._slow)

    def _say(self, what: bytes, seconds: float) -> None:
        if seconds:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._say_now, what)
        else:
            self._transport.write(what)

    def _say_now(self, what: bytes) -> None:
        self._timer = None
        self._transport.write(what)
        self._go_on()


def silent() -> list[socket.socket]:
    """A listener that accepts nothing: once its backlog is full, further connections get no answer at all."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOSTS["silent"], SMTP_PORT))
    listener.listen(0)
    kept = [listener]
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex((HOSTS["silent"], SMTP_PORT))
        kept.append(filler)
    return kept


async def serve(pause: float) -> None:
    """Run until standard input ends."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Names, local_addr=(NAME_SERVER, DNS_PORT))
    await loop.create_server(lambda: Host(pause, 0.0), HOSTS["ok"], SMTP_PORT, backlog=1024)
    await loop.create_server(lambda: Host(0.0, SLOW), HOSTS["slow"], SMTP_PORT, backlog=1024)
    kept = silent()
    print("ready", flush=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    await loop.run_in_executor(None, sys.stdin.read)
    for each in kept:
        each.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
