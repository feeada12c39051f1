"""The load: smtp-source in front of a relay, smtp-sink behind it, and what is measured between the first connect and the last delivery.

smtp-sink shares its port with anything else that listens there (SO_REUSEPORT), so a sink gets a port that nobody uses, and dies with us.
Its running counters are read from a pipe in short intervals: exact in number, and the time of the last delivery to within one interval.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Protocol, Self

import attrs

from tests.network import LOOPBACK, answers, eventually, free_port
from tests.programs import environment, locate

_POLL = 0.002
_PATIENCE = 180.0
_TICK = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Workload:
    """What smtp-source sends.

    @ivar messages: how many.
    @ivar length: octets of each body.
    @ivar sessions: connections side by side.
    @ivar keep: whether a connection carries many messages.
    """

    name: str
    title: str
    messages: int
    length: int
    sessions: int
    keep: bool


@attrs.frozen
class Measured:
    """One run.

    @ivar rate: messages a second from the first connect to the last delivery.
    @ivar accepted: messages a second until the source had its last 250.
    @ivar processor: microseconds of processor time a message, over all processes of the relay.
    """

    rate: float
    accepted: float
    processor: float


class Peer(Protocol):
    """A relay under load: takes mail on C{port} and relays all of it to the sink."""

    name: str
    port: int

    def start(self, sink_port: int) -> None:
        """Start, with C{sink_port} of the loopback as the next hop; return when it takes mail."""

    def stop(self) -> None:
        """End all its processes."""

    def pids(self) -> list[int]:
        """The processes whose live descendants are the relay."""


class Sink:
    """An smtp-sink process and its counter."""

    def __init__(self) -> None:
        self.port = free_port()
        self.delivered = 0
        self._text = ""
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [locate("smtp-sink"), *user, "-c", f"{LOOPBACK}:{self.port}", "1024"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            preexec_fn=dies_with_parent,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        eventually(self._ready, "smtp-sink listens")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        assert self._process.poll() is None, f"smtp-sink ended with {self._process.returncode}"
        return answers(self.port)

    def poll(self) -> int:
        """How many messages arrived so far."""
        try:
            self._text += os.read(self._pipe, 65536).decode("ascii")
        except BlockingIOError:
            return self.delivered
        counts = re.findall(r"mesg=(\d+)", self._text)
        if counts:
            self.delivered = int(counts[-1])
            self._text = self._text.rpartition("\r")[2]
        return self.delivered


def measure(peer: Peer, workload: Workload) -> Measured:
    """Run a workload through a relay that is not running yet.

    @raise AssertionError: when not every message arrived.
    """
    with Sink() as sink:
        peer.start(sink.port)
        try:
            _send(peer.port, attrs.evolve(workload, messages=workload.sessions * 2), sink, 0, lambda: 0.0)
            return _send(peer.port, workload, sink, sink.delivered, lambda: processor_time(peer.pids()))
        finally:
            peer.stop()


def measured(port: int, workload: Workload, sink: Sink, pids: list[int]) -> Measured:
    """Run a workload through a relay that runs already.

    @raise AssertionError: when not every message arrived.
    """
    return _send(port, workload, sink, sink.poll(), lambda: processor_time(pids))


def _send(port: int, workload: Workload, sink: Sink, before: int, clock: Callable[[], float]) -> Measured:
    """Send, and wait until all has arrived."""
    expected = before + workload.messages
    worked = clock()
    began = time.monotonic()
    source = subprocess.Popen(source_command(port, workload), stdout=subprocess.DEVNULL, env=environment(), preexec_fn=dies_with_parent)
    accepted = 0.0
    while sink.poll() < expected:
        now = time.monotonic()
        if not accepted and source.poll() is not None:
            assert source.returncode == 0, f"smtp-source ended with {source.returncode}"
            accepted = now - began
        assert now - began < _PATIENCE, f"{workload.name}: only {sink.delivered - before} of {workload.messages} messages arrived"
        time.sleep(_POLL)
    ended = time.monotonic() - began
    source.wait(_PATIENCE)
    worked = clock() - worked
    accepted = accepted or ended
    return Measured(workload.messages / ended, workload.messages / accepted, worked / workload.messages * 1e6)


def source_command(port: int, workload: Workload) -> list[str]:
    """The smtp-source command line of a workload."""
    options = ["-s", str(workload.sessions), "-m", str(workload.messages), "-l", str(workload.length)]
    if workload.keep:
        options.append("-d")
    return [locate("smtp-source"), *options, "-f", "source@bench.test", "-t", "sink@bench.test", f"{LOOPBACK}:{port}"]


def processor_time(roots: list[int]) -> float:
    """Seconds of processor time that processes, their living descendants and all children these have reaped have used."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry))
        times[int(entry)] = sum(map(int, fields[11:15])) / _TICK
    total, waiting = 0.0, list(roots)
    while waiting:
        pid = waiting.pop()
        total += times.get(pid, 0.0)
        waiting.extend(children.get(pid, ()))
    return total


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def dies_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that happens."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
