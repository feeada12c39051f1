"""What an idle session costs in memory: thousands of connections that got their banner, said EHLO (and STARTTLS), and wait.

Run C{python benchmarks/idle.py} (as root for Postfix, which has a process for each session: it is measured with fewer sessions);
C{--running Haraka:2525:4711} measures a server that is there already.
Memory is the proportional set size (PSS) of the server and its children, before and after, divided by the sessions; what the kernel
keeps for a socket is not in it, for any of them.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.daemon import Twistedrelay  # noqa: E402
from benchmarks.postfix import Postfix  # noqa: E402
from benchmarks.workload import Peer  # noqa: E402
from tests.network import LOOPBACK, free_port, unverified  # noqa: E402
from tests.programs import MissingProgram, unpack  # noqa: E402

#: Connections from one loopback address, so that a server's limits per source and the port range are far away.
PER_SOURCE = 500

#: Sessions of a server that has a process for each, and those under TLS.
FEW = 300
FEW_TLS = 2000

CONTEXT = unverified()


class Server(Peer, Protocol):
    """A server under test."""

    def version(self) -> str:
        """For the table."""


class Running:
    """A server that somebody else started: its name, its port, its process."""

    def __init__(self, given: str) -> None:
        self.name, port, pid = given.split(":")
        self.port = int(port)
        self._pid = int(pid)

    def start(self, sink_port: int) -> None:
        """It runs."""

    def stop(self) -> None:
        """It is not ours to stop."""

    def pids(self) -> list[int]:
        """Its process."""
        return [self._pid]

    def version(self) -> str:
        """Not known."""
        return ""


def family(pids: list[int]) -> list[int]:
    """Processes and all their descendants."""
    found = list(pids)
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def memory(pids: list[int]) -> int:
    """Octets of proportional set size."""
    total = 0
    for pid in family(pids):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it ended meanwhile
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024


def greet(port: int, count: int, tls: bool) -> list[socket.socket]:
    """Sessions that said EHLO, from several loopback addresses."""
    sessions = []
    for number in range(count):
        source = f"127.0.{1 + number // PER_SOURCE // 250}.{1 + number // PER_SOURCE % 250}"
        session = socket.create_connection((LOOPBACK, port), timeout=60, source_address=(source, 0))
        sessions.append(session)
        said(session, b"220")
        session.sendall(b"EHLO idle.example\r\n")
        said(session, b"250")
        if tls:
            session.sendall(b"STARTTLS\r\n")
            said(session, b"220")
            session = sessions[-1] = CONTEXT.wrap_socket(session)
            session.sendall(b"EHLO idle.example\r\n")
            said(session, b"250")
    return sessions


def said(session: socket.socket, code: bytes) -> None:
    """Read a whole reply, which has to be this one."""
    reply = b""
    while b"\r\n" + code + b" " not in b"\r\n" + reply or not reply.endswith(b"\r\n"):
        part = session.recv(65536)
        if not part or not reply.startswith(code[: len(reply)]):
            raise ConnectionError(f"expected {code!r}, got {reply + part!r}")
        reply += part


def measure(peer: Server, count: int, tls: bool) -> tuple[int, int]:
    """The memory of a server without sessions and with C{count} idle ones."""
    peer.start(free_port())
    try:
        for session in greet(peer.port, 20, tls):  # what is made once is not counted
            session.close()
        time.sleep(3)
        before = memory(peer.pids())
        sessions = greet(peer.port, count, tls)
        time.sleep(3)
        after = memory(peer.pids())
        for session in sessions:
            session.close()
    finally:
        peer.stop()
    return before, after


def allow_descriptors(count: int) -> None:
    """Raise the limit of open files, for us and the servers we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{count} sessions need {wanted} open files, and the limit is {hard}: ulimit -Hn {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def main() -> int:
    """Measure what was asked for, and print a table."""
    parser = argparse.ArgumentParser(description="the memory of idle sessions")
    parser.add_argument("--sessions", type=int, default=10_000, help="idle sessions (default: %(default)s)")
    parser.add_argument("--peer", choices=["twistedrelay", "postfix"], action="append", help="these servers only")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where spools are kept (default: %(default)s)")
    parser.add_argument("--running", metavar="NAME:PORT:PID", help=f"a server that runs already, with {FEW} sessions")
    options = parser.parse_args()
    wanted = options.peer or ["twistedrelay", "postfix"]
    allow_descriptors(options.sessions)
    rows: list[tuple[Server, int, bool]] = []
    if "twistedrelay" in wanted:
        rows.append((Twistedrelay(options.directory / "idle"), options.sessions, False))
        rows.append((Twistedrelay(options.directory / "idle"), min(options.sessions, FEW_TLS), True))
    if "postfix" in wanted:
        try:
            unpack()
            rows.append((Postfix(options.directory / "idle", processes=FEW + 50), FEW, False))
        except (MissingProgram, PermissionError) as problem:
            print(f"without Postfix: {problem}", file=sys.stderr)
    if options.running:
        rows.append((Running(options.running), FEW, False))
    print("| server | sessions | before, MB | with them, MB | KB a session |\n|---|---|---|---|---|")
    for peer, count, tls in rows:
        before, after = measure(peer, count, tls)
        each = (after - before) / count / 1024
        name = f"{peer.name} {peer.version()}{' under TLS' if tls else ''}"
        print(f"| {name} | {count} | {before / 2**20:.1f} | {after / 2**20:.1f} | {each:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
