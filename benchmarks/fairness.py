"""Whether some mail delays other mail, in twistedrelay and in Postfix: C{python benchmarks/fairness.py}, as root.

C{domains}: messages for 1,000 domains in random order, of which 10 % are dead or slow (a third refuses connections, a third never answers,
a third takes seconds to say 451); the time until all mail of the healthy ones is delivered, beside the same mail where all are healthy.

C{list}: messages to 1,000 recipients of one domain each, handed in as fast as they are taken, and a few single messages each second to the
same domain from the same client; how long the single ones take, while the list comes in and goes out and when nothing else does.

Both programs find the mail hosts by the DNS and have their usual limits for outgoing connections (Postfix: 100 processes) and recipients
of a transaction (100, Postfix 50).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import attrs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.daemon import Twistedrelay
from benchmarks.outside import DNS_PORT, NAME_SERVER
from benchmarks.postfix import Postfix
from benchmarks.relay import machine
from benchmarks.workload import Peer, dies_with_parent
from tests.end_to_end.relay import Configuration
from tests.network import LOOPBACK
from tests.programs import MissingProgram, unpack

_PATIENCE = 600.0
QUIET = 3.0  #: seconds without a delivery of the list after which it counts as delivered
_BODY = "".join(f"line {number:4} of the message, which is of the usual length\r\n" for number in range(68))
_SICK = ("refused", "silent", "slow")

_POSTFIX = """\
relayhost =
disable_dns_lookups = no
smtp_host_lookup = dns
smtpd_recipient_limit = 10000
initial_destination_concurrency = 5
default_destination_concurrency_limit = 20
smtp_connection_cache_destinations =
qmgr_message_active_limit = 20000
qmgr_message_recipient_limit = 20000
in_flow_delay = 1s
"""


class FairTwistedrelay(Twistedrelay):
    """It delivers by the DNS."""

    def configuration(self, sink_port: int) -> Configuration:
        """For any recipient, of whom one message may have very many."""
        configuration = super().configuration(sink_port)
        configuration["server"]["external_dns_servers"] = [f"{NAME_SERVER}:{DNS_PORT}"]
        configuration["send_connectors"] = {"Internet": {"address_spaces": ["*"], "private_targets_enabled": True}}
        connector = configuration["receive_connectors"]["Bench"]
        connector["extended_rights"] = {"Anonymous Logon": ["Accept-Any-Recipient"]}
        connector["max_recipients_per_message"] = 10000
        return configuration


class FairPostfix(Postfix):
    """It delivers by the DNS: a mount namespace of its own has another resolv.conf."""

    def __init__(self, directory: Path) -> None:
        resolver = directory / "resolv.conf"
        resolver.write_text(f"nameserver {NAME_SERVER}\noptions timeout:2\n")
        mounted = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
        super().__init__(directory, settings=_POSTFIX, wrapper=("unshare", "-m", "sh", "-c", mounted, "sh"))


PEERS: dict[str, type[FairTwistedrelay] | type[FairPostfix]] = {"twistedrelay": FairTwistedrelay, "postfix": FairPostfix}


class Outside:
    """The process of L{benchmarks.outside}, and what it was given.

    @ivar arrived: when each token arrived.
    @ivar count: how many messages did.
    @ivar again: how many of them with a token that had arrived before.
    @ivar last: when the last one did.
    """

    def __init__(self, pause: float) -> None:
        self.arrived: dict[str, float] = {}
        self.count = self.again = 0
        self.last = 0.0
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("outside.py")), str(pause)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=dies_with_parent,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the world outside did not start"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            when, token = line.split()
            self.last = float(when)
            self.again += self.arrived.setdefault(token, self.last) != self.last
            self.count += 1

    def wait(self, count: int) -> None:
        """Until so many messages have arrived."""
        began = time.monotonic()
        while self.count < count:
            assert time.monotonic() - began < _PATIENCE, f"only {self.count} of {count} messages arrived"
            time.sleep(0.01)


class Client:
    """An SMTP session that hands messages in."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(LOOPBACK, self._port)
        await self._reply()
        await self._ask("EHLO source.bench.test")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._writer.close()

    async def send(self, recipients: list[str], token: str = "-") -> None:
        """One message; returns when it was accepted."""
        commands = ["MAIL FROM:<source@bench.test>", *(f"RCPT TO:<{recipient}>" for recipient in recipients), "DATA"]
        self._writer.write("".join(f"{command}\r\n" for command in commands).encode())
        for _ in commands:
            await self._reply()
        await self._ask(f"From: source@bench.test\r\nSubject: benchmark\r\nBenchmark: {token}\r\n\r\n{_BODY}.")

    async def _ask(self, what: str) -> None:
        self._writer.write(f"{what}\r\n".encode())
        await self._reply()

    async def _reply(self) -> None:
        while True:
            line = await self._reader.readline()
            if line[3:4] != b"-":
                assert line[:1] in (b"2", b"3"), line
                return


async def send_all(port: int, recipients: list[str], sessions: int) -> None:
    """A message to each recipient, in order, over some sessions."""
    waiting = iter(recipients)

    async def session() -> None:
        async with Client(port) as client:
            for recipient in waiting:
                await client.send([recipient])

    await asyncio.gather(*(session() for _ in range(sessions)))


def domains(peer: Peer, count: int, dead: float, messages: int, seed: int) -> float:
    """Seconds from the first message until all healthy domains have theirs."""
    sick = int(count * dead)
    names = [f"{_SICK[number % 3]}{number}" for number in range(sick)] + [f"ok{number}" for number in range(sick, count)]
    recipients = [f"user{number}@{name}.bench.test" for number in range(messages) for name in names]
    random.Random(seed).shuffle(recipients)
    with Outside(0.0) as outside:
        peer.start(0)
        try:
            began = time.monotonic()
            asyncio.run(send_all(peer.port, recipients, 20))
            outside.wait((count - sick) * messages)
            return outside.last - began
        finally:
            peer.stop()


@attrs.frozen
class Latencies:
    """Of single messages, in seconds, and how long the list took."""

    alone: list[float]
    beside: list[float]
    list_took: float


def beside_list(peer: Peer, recipients: int, pause: float, rate: float) -> Latencies:
    """Single messages alone and beside a list."""
    size = 1000
    lists = [[f"user{number}@ok1.bench.test" for number in range(start, start + size)] for start in range(0, recipients, size)]
    with Outside(pause) as outside:
        peer.start(0)
        try:
            return asyncio.run(_beside_list(peer.port, lists, outside, rate))
        finally:
            peer.stop()


async def _beside_list(port: int, lists: list[list[str]], outside: Outside, rate: float) -> Latencies:
    sent: dict[str, float] = {}

    async def singles(prefix: str, until: asyncio.Event) -> list[float]:
        number = 0
        async with Client(port) as client:
            while not until.is_set():
                token = f"{prefix}{number}"
                sent[token] = time.monotonic()
                await client.send(["single@ok1.bench.test"], token)
                number += 1
                await asyncio.sleep(max(0.0, sent[token] + 1 / rate - time.monotonic()))
        tokens = [f"{prefix}{each}" for each in range(number)]
        began = time.monotonic()
        while not all(token in outside.arrived for token in tokens):
            assert time.monotonic() - began < _PATIENCE, "single messages did not arrive"
            await asyncio.sleep(0.01)
        return [outside.arrived[token] - sent[token] for token in tokens]

    async def after(seconds: float) -> asyncio.Event:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, event.set)
        return event

    alone = await singles("alone", await after(5.0))
    began = time.monotonic()

    async def hand_in(share: list[list[str]], place: int) -> None:
        async with Client(port) as client:
            for number, recipients in enumerate(share):
                await client.send(recipients, f"list{place}-{number}")

    over = asyncio.Event()
    ended = began

    async def deliver() -> None:
        """The list is over when nothing of it has arrived for a while: each of its messages arrives several times."""
        nonlocal ended
        await asyncio.gather(*(hand_in(lists[place::4], place) for place in range(4)))
        again, ended = -1, time.monotonic()
        while time.monotonic() - ended < QUIET:
            if outside.again != again:
                again, ended = outside.again, time.monotonic()
            await asyncio.sleep(0.05)
        over.set()

    delivering = asyncio.ensure_future(deliver())
    beside = await singles("beside", over)
    await delivering
    return Latencies(alone, beside, ended - began)


def percentiles(values: list[float]) -> str:
    """The median, the 99th percentile and the worst."""
    ordered = sorted(values)
    at = [statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], ordered[-1]]
    return " / ".join(f"{value * 1000:,.0f}" for value in at)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A reStructuredText list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(row)]
    return "\n".join(lines)


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="whether some mail delays other mail")
    parser.add_argument("--only", choices=["domains", "list"], help="this part only")
    parser.add_argument("--peer", choices=list(PEERS), action="append", help="these relays only")
    parser.add_argument("--domains", type=int, default=1000, help="domains (default: %(default)s)")
    parser.add_argument("--dead", type=float, default=0.1, help="the part of them that is dead or slow (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=5, help="messages for each (default: %(default)s)")
    parser.add_argument("--recipients", type=int, default=100_000, help="recipients of the list (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds that the next hop needs for a message (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10.0, help="single messages a second (default: %(default)s)")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where spools are kept (default: %(default)s)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(1, "run it as root: mail hosts listen on port 25 of loopback addresses\n")
    try:
        unpack()
    except MissingProgram as problem:
        parser.exit(1, f"{problem}\n")
    domain_rows, list_rows = [], []
    for name in options.peer or PEERS:
        place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=options.directory))
        place.chmod(0o755)
        try:
            if options.only != "list":
                well = domains(PEERS[name](place), options.domains, 0.0, options.messages, 1)
                sick = domains(PEERS[name](place), options.domains, options.dead, options.messages, 1)
                count = options.domains * options.messages
                domain_rows.append([name, f"{well:.1f} s", f"{count / well:,.0f}/s", f"{sick:.1f} s", f"{sick / well:.2f}×"])
                print(domain_rows[-1], file=sys.stderr)
            if options.only != "domains":
                found = beside_list(PEERS[name](place), options.recipients, options.pause, options.rate)
                list_rows.append([name, percentiles(found.alone), percentiles(found.beside), f"{found.list_took:.1f} s"])
                print(list_rows[-1], file=sys.stderr)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    if domain_rows:
        sick_title = f"{options.dead:.0%} dead or slow: all healthy ones delivered"
        header = ["relay", f"{options.domains:,} healthy domains × {options.messages}: all delivered", "rate", sick_title, "ratio"]
        print(table(header, domain_rows), end="\n\n")
    if list_rows:
        beside = f"beside {options.recipients:,} recipients: p50 / p99 / worst, ms"
        print(table(["relay", "single messages alone: p50 / p99 / worst, ms", beside, "until all was delivered"], list_rows), end="\n\n")
    print(machine(options.directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
