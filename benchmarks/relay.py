"""twistedrelay and Postfix in turn, in one run, under the same load: C{python benchmarks/relay.py}.

Both keep every message durably (fsync) before they say 250.  smtp-source sends, smtp-sink receives, everything shares this machine's
processors; so the rate is that of the whole job, and the processor time a message is the number that carries over to other machines.
Repetitions are interleaved, medians are shown with the lowest and the highest value.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.daemon import Twistedrelay, Untracked
from benchmarks.postfix import Postfix
from benchmarks.workload import Measured, Workload, measure
from tests.programs import MissingProgram, unpack

WORKLOADS = (
    Workload("kept", "4 KB, 20 kept connections", messages=6000, length=4096, sessions=20, keep=True),
    Workload("single", "4 KB, a connection per message", messages=4000, length=4096, sessions=20, keep=False),
    Workload("large", "5 MB, 20 kept connections", messages=200, length=5 * 1024 * 1024, sessions=20, keep=True),
)
PEERS: dict[str, type[Twistedrelay] | type[Postfix]] = {"twistedrelay": Twistedrelay, "untracked": Untracked, "postfix": Postfix}
USUAL = ("twistedrelay", "postfix")  #: unless others are asked for

Results = dict[tuple[str, str], list[Measured]]


def run(workloads: list[Workload], peers: list[str], repeat: int, directory: Path) -> tuple[Results, dict[str, str]]:
    """Measure everything; each repetition takes every peer through every workload."""
    results: Results = {}
    versions: dict[str, str] = {}
    for repetition in range(repeat):
        for workload in workloads:
            for name in peers if repetition % 2 == 0 else reversed(peers):
                place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=directory))
                try:
                    peer = PEERS[name](place)
                    measured = measure(peer, workload)
                    versions[name] = f"{peer.name} {peer.version()}"
                finally:
                    shutil.rmtree(place, ignore_errors=True)
                results.setdefault((workload.name, name), []).append(measured)
                print(
                    f"{repetition + 1}/{repeat} {workload.name:8} {name:13} {measured.rate:8.1f}/s {measured.processor:8.0f} us",
                    file=sys.stderr,
                )
    return results, versions


def table(results: Results, workloads: list[Workload], peers: list[str], versions: dict[str, str]) -> str:
    """The results as a reStructuredText list-table."""
    header = ["load", *(f"{versions[name]}: messages/s" for name in peers), *(f"{versions[name]}: CPU µs/message" for name in peers)]
    if len(peers) > 1:
        header += ["rate ratio", "CPU ratio"]
    rows = [header]
    for workload in workloads:
        rates = [[measured.rate for measured in results[workload.name, name]] for name in peers]
        costs = [[measured.processor for measured in results[workload.name, name]] for name in peers]
        row = [workload.title, *map(spread, rates), *map(spread, costs)]
        if len(peers) > 1:
            row.append(f"{statistics.median(rates[0]) / statistics.median(rates[1]):.1f}×")
            row.append(f"{statistics.median(costs[0]) / statistics.median(costs[1]):.2f}×")
        rows.append(row)
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(row)]
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """A median with the lowest and the highest value."""
    digits = 1 if statistics.median(values) < 100 else 0
    shown = f"{statistics.median(values):,.{digits}f}"
    return shown if len(values) == 1 else f"{shown} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def machine(directory: Path) -> str:
    """What the numbers were taken on."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        names = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({names[0] if names else model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, spools on {filesystem(directory)}; "
        "source, sink and relay on the same machine, loopback, no TLS."
    )


def filesystem(directory: Path) -> str:
    """The type of the file system that holds a directory."""
    best, kind = "", "an unknown file system"
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            point, name = line.split()[1:3]
            inside = str(directory.resolve()) + "/"
            if inside.startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                best, kind = point, name
    return kind


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="twistedrelay and Postfix under the same load")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions (default: %(default)s)")
    parser.add_argument("--messages", type=int, help="messages of the 4 KB loads; a twentieth of it for 5 MB")
    parser.add_argument("--only", choices=[workload.name for workload in WORKLOADS], action="append", help="these loads only")
    parser.add_argument("--peer", choices=list(PEERS), action="append", help=f"these relays (default: {', '.join(USUAL)})")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where spools are kept (default: %(default)s)")
    options = parser.parse_args()
    try:
        unpack()
    except MissingProgram as problem:
        parser.exit(1, f"{problem}\n")
    workloads = [workload for workload in WORKLOADS if not options.only or workload.name in options.only]
    if options.messages:
        workloads = [scaled(workload, options.messages) for workload in workloads]
    peers = [name for name in PEERS if name in (options.peer or USUAL)]
    if "postfix" in peers and os.geteuid() != 0:
        parser.exit(1, "Postfix must be started as root: run as root, or with --peer twistedrelay\n")
    results, versions = run(workloads, peers, options.repeat, options.directory)
    print(table(results, workloads, peers, versions))
    print(f"\nMedians of {options.repeat} interleaved runs (lowest–highest). {machine(options.directory)}")
    return 0


def scaled(workload: Workload, messages: int) -> Workload:
    """A workload with another number of messages."""
    count = messages if workload.length < 2**20 else max(messages // 20, workload.sessions)
    return Workload(workload.name, workload.title, count, workload.length, workload.sessions, workload.keep)


if __name__ == "__main__":
    sys.exit(main())
