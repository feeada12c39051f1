"""A million messages that wait: how long a start takes, what they cost in memory, and whether new mail feels them.

Run C{python benchmarks/million.py}; C{--count} makes it smaller.  The spool is filled by a bulk writer, as a relay leaves it that was
stopped with a full queue.  Two queues: all for one next hop that does not answer, and for 10,000 domains whose hosts do not answer.
Measured: seconds from the start of the process to the first banner, and from there to the delivery of a new message to a next hop that
works; the memory of the process half a minute later; and the rate at which new mail is taken and delivered, with the queue full and empty,
in turn, several times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.relay import machine, spread  # noqa: E402
from benchmarks.workload import Measured, Sink, Workload, measured  # noqa: E402
from tests.end_to_end.relay import Configuration, Relay  # noqa: E402
from tests.network import LOOPBACK, eventually, free_port, greets  # noqa: E402
from tests.programs import MissingProgram, unpack  # noqa: E402
from twistedrelay.spool.database import Database  # noqa: E402
from twistedrelay.spool.disk import Disk  # noqa: E402
from twistedrelay.spool.layout import Layout  # noqa: E402

LENGTH = 4096
DOMAINS = 10_000
ROWS = 10_000  #: in one transaction of the bulk writer
DELAY = 4 * 3600.0  #: the delay notice: until then nothing has to be done about a parked message
SETTLE = 30.0
LOAD = Workload("kept", "4 KB, 20 kept connections", messages=4000, length=LENGTH, sessions=20, keep=True)


def dead_hop(number: int, port: int) -> str:
    """A loopback address of its own for each domain, on a port where nobody listens."""
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}:{port}"


def lane_name(hop: str) -> str:
    """What messages for a next hop of an accepted domain are parked under."""
    address, _, port = hop.rpartition(":")
    return json.dumps(("", f"[{address}]:{port}", "", False))


def fill(directory: Path, count: int, hops: list[str], parked: bool) -> None:
    """Write messages into an empty spool, C{hops} in turn; its form is that of the spool's own writer."""
    layout = Layout(str(directory))
    layout.make(Disk())
    database = Database(Disk(), layout)
    database.create()
    connection = database.open()
    connection.execute("PRAGMA synchronous = OFF")
    body = b"Subject: waiting\r\n\r\n" + b"0123456789abcdef\r\n" * (LENGTH // 18)
    now = time.time()
    until = now + DELAY if parked else 0.0
    lanes = [lane_name(hop) if parked else None for hop in hops]
    rank, flow = (0, "Bench 127.0.0.1") if parked else (None, None)
    message = (
        "INSERT INTO message (id, next_attempt, received_at, size, sender, message_id, source, connector, client, helo, user, session,"
        " lane, rank, flow) VALUES (?, ?, ?, ?, 'a@bench.test', ?, 'SMTP', 'Bench', '127.0.0.1', 'bench', '', '', ?, ?, ?)"
    )
    for start in range(1, count + 1, ROWS):
        numbers = range(start, min(start + ROWS, count + 1))
        connection.execute("BEGIN")
        connection.executemany(
            message, ((number, until, now, len(body), f"<{number}@bench>", lanes[number % len(hops)], rank, flow) for number in numbers)
        )
        connection.executemany("INSERT INTO content (id, data) VALUES (?, ?)", ((number, body) for number in numbers))
        connection.executemany(
            "INSERT INTO recipient (message, place, address, next_attempt) VALUES (?, 0, ?, 0.0)",
            ((number, f"user@d{number % len(hops)}.test") for number in numbers),
        )
        connection.execute("COMMIT")
    connection.execute("UPDATE sequence SET next = ?, clean = 1", (count + 1,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.disconnect()
    os.sync()  # or the kernel writes it while we measure


def configuration(port: int, sink_port: int, hops: list[str]) -> Configuration:
    """A relay with one next hop that works and many that do not."""
    domains = {f"d{number}.test": {"next_hop": hop} for number, hop in enumerate(hops)}
    connector = {
        "bindings": [f"{LOOPBACK}:{port}"],
        "permission_groups": ["AnonymousUsers"],
        "max_inbound_connection": "unlimited",
        "max_inbound_connection_per_source": "unlimited",
        "max_inbound_connection_percentage_per_source": 100,
    }
    return {
        "server": {"name": "BENCH", "fqdn": "twistedrelay.bench.test", "state_directory": "state"},
        "accepted_domains": {"bench.test": {"next_hop": f"{LOOPBACK}:{sink_port}"}, **domains},
        "receive_connectors": {"Bench": connector},
    }


def memory(relay: Relay, name: str) -> float:
    """A line of the daemon's status, in MB."""
    assert relay.process is not None
    lines = Path(f"/proc/{relay.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


class Full:
    """A relay over a spool with C{count} messages.

    @ivar listening: seconds from the start of the process to its first banner.
    @ivar delivered: seconds from there until a new message has gone to the next hop that works.
    """

    def __init__(self, directory: Path, sink: Sink, count: int, hops: list[str], parked: bool) -> None:
        self.sink = sink
        self.port = free_port()
        (directory / "state").mkdir(parents=True)
        if count:
            fill(directory / "state" / "spool", count, hops, parked)
        self.relay = Relay(configuration(self.port, sink.port, hops), {"relay": self.port}, directory)
        began = time.monotonic()
        self.relay.launch()
        eventually(lambda: greets(self.port), "the relay listens", 300)
        self.listening = time.monotonic() - began
        before = sink.poll()
        with self.relay.dialogue() as session:
            session.command("EHLO bench.test")
            said = session.message("a@bench.test", ["user@bench.test"], b"Subject: new\r\n\r\nnew\r\n")
        assert said.startswith("250"), said
        eventually(lambda: sink.poll() > before, "a new message is delivered", 300)
        self.delivered = time.monotonic() - began - self.listening

    def load(self) -> Measured:
        """New mail for the next hop that works."""
        assert self.relay.process is not None
        return measured(self.port, LOAD, self.sink, [self.relay.process.pid])

    def waiting(self) -> int:
        """How many messages are in the spool."""
        number: int = self.relay.status()["message_count"]
        return number


def rounds(full: Full, empty: Full, repeat: int) -> Iterator[tuple[Measured, Measured]]:
    """The same load for both, in turn."""
    for number in range(repeat):
        first, second = (full, empty) if number % 2 == 0 else (empty, full)
        one, other = first.load(), second.load()
        yield (one, other) if first is full else (other, one)


def run(title: str, count: int, hops: list[str], options: argparse.Namespace) -> list[str]:
    """Measure one kind of queue; the cells of its row."""
    place = Path(tempfile.mkdtemp(prefix="million-", dir=options.directory))
    try:
        with Sink() as sink:
            full = Full(place / "full", sink, count, hops, not options.unsorted)
            try:
                time.sleep(options.settle)
                resident, peak, waiting = memory(full.relay, "VmRSS"), memory(full.relay, "VmHWM"), full.waiting()
                empty = Full(place / "empty", sink, 0, hops, True)
                try:
                    pairs = list(rounds(full, empty, options.repeat))
                    small = memory(empty.relay, "VmRSS")
                finally:
                    empty.relay.close(check=False)
            finally:
                full.relay.close(check=False)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    accepted = [(one.accepted, other.accepted) for one, other in pairs]
    ratio = statistics.median(one for one, _ in accepted) / statistics.median(other for _, other in accepted)
    return [
        f"{title}: {waiting:,} waiting",
        f"{full.listening:.1f} s ({empty.listening:.1f} s)",
        f"{full.delivered:.2f} s ({empty.delivered:.2f} s)",
        f"{resident:.0f} MB, at most {peak:.0f} MB ({small:.0f} MB)",
        f"{spread([one for one, _ in accepted])}/s ({spread([other for _, other in accepted])}/s)",
        f"{ratio:.2f}",
    ]


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="a relay with a million messages in its queue")
    parser.add_argument("--count", type=int, default=1_000_000, help="messages that wait (default: %(default)s)")
    parser.add_argument("--domains", type=int, default=DOMAINS, help="domains of the second queue (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of the load (default: %(default)s)")
    parser.add_argument("--settle", type=float, default=SETTLE, help="seconds before memory is measured (default: %(default)s)")
    parser.add_argument("--only", choices=["hop", "domains"], help="this queue only")
    parser.add_argument("--unsorted", action="store_true", help="all messages are due, as after the upgrade of a relay that did not park")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where spools are kept (default: %(default)s)")
    options = parser.parse_args()
    try:
        unpack()
    except MissingProgram as problem:
        parser.exit(1, f"{problem}\n")
    options.directory.mkdir(parents=True, exist_ok=True)
    needed = options.count * LENGTH * 1.5
    if shutil.disk_usage(options.directory).free < needed:
        parser.exit(1, f"{needed / 2**30:.0f} GB are needed in {options.directory}; take a smaller --count\n")
    port = free_port()
    queues = {"hop": ("one dead next hop", [dead_hop(0, port)])}
    queues["domains"] = (f"{options.domains:,} dead domains", [dead_hop(number, port) for number in range(options.domains)])
    print("| queue | start to banner | first delivery | memory | taken, messages | ratio |\n|---|---|---|---|---|---|")
    for name, (title, hops) in queues.items():
        if options.only in (None, name):
            print("| " + " | ".join(run(title, options.count, hops, options)) + " |", flush=True)
    print(f"\nIn brackets: the same relay with an empty queue.  SQLite {sqlite3.sqlite_version}; {machine(options.directory)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
