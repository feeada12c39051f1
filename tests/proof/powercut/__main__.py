"""Cuts the power of the relay's disk at random moments, and proves that what was acknowledged is there afterwards.

The relay takes and delivers mail, and its configuration is changed by command, on a file system whose disk has a volatile cache
(L{tests.proof.powercut.disk}).  A cut is a copy of what the platter would hold at that moment, while the relay itself goes on to the next
one; from the copy a relay is started anew (L{tests.proof.powercut.recovery}).  The oracle: every message whose 250 was read before the cut
arrived before the cut, or arrives now; copies are no more than the warning at the start says; a change whose command ended before the cut
is there, one that had begun is there or not, and history and files agree; databases and file system are sound.

Run it as root: C{python -m tests.proof.powercut --cuts 20 --file-system ext4}.  Under C{eatmydata}, which makes fsync do nothing, it has to
fail.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.test_kills import Sender, number_of
from tests.network import LOOPBACK
from tests.programs import ROOT
from tests.proof.powercut.disk import Disk
from tests.proof.powercut.mounted import FILE_SYSTEMS, missing, mounted

_SENDERS = 4


class Editor(threading.Thread):
    """Adds and removes connectors by command.

    @ivar begun: the last command of each connector that was started.
    @ivar done: the last one of each that ended well.
    """

    def __init__(self, relay: Relay, first: int) -> None:
        super().__init__(daemon=True)
        self.begun: dict[str, str] = {}
        self.done: dict[str, str] = {}
        self.failed: list[str] = []
        self.ending = threading.Event()
        self._relay = relay
        self._number = first

    def run(self) -> None:
        """Until told to end."""
        while not self.ending.is_set():
            self._number += 1
            name, ranges = f"C{self._number}", f"10.{self._number // 250}.{self._number % 250}.1"
            where = ("--bindings", f"{LOOPBACK}:{self._relay.port}", "--remote-ip-ranges", ranges, "--permission-groups", "AnonymousUsers")
            self._command("add", name, *where)
            if self._number % 3 == 0:
                self._command("remove", name)

    def _command(self, verb: str, name: str, *options: str) -> None:
        self.begun[name] = verb
        said = self._relay.relayctl("connector", verb, name, *options)
        if said.returncode == 0:
            self.done[name] = verb
        else:
            self.failed.append(said.stderr)


class Proof:
    """All rounds with one relay."""

    def __init__(self, directory: Path, file_system: str, disk: Disk, place: Path, relay: Relay, sink: Sink, chance: random.Random) -> None:
        self._directory = directory
        self._file_system = file_system
        self._disk = disk
        self._place = place
        self._relay = relay
        self._sink = sink
        self._chance = chance
        self._numbers = 0
        self._arrived: list[int] = []
        self._acknowledged: set[int] = set()
        self._tried: set[int] = set()
        self._changed: dict[str, str] = {}
        sink.on("end", lambda octets: self._arrived.append(number_of(octets.encode("latin-1"))))

    def cut(self) -> dict[str, Any]:
        """One round; what came of it."""
        if self._chance.random() < 0.5:  # else as in the round before
            (self._sink.stop if self._sink.listening else self._sink.start)()
        senders = [Sender(self._relay.port, self._numbers + 1_000_000 * at, chunked=at % 2 == 1) for at in range(_SENDERS)]
        editor = Editor(self._relay, self._numbers // 1_000_000 // _SENDERS * 100)
        self._numbers += 1_000_000 * _SENDERS
        threads: list[Sender | Editor] = [*senders, editor]
        for thread in threads:
            thread.start()
        time.sleep(self._chance.uniform(0.3, 4.0))
        copy = self._directory / "copy"
        with self._disk.held(self._chance.choice((0.0, 0.1))):
            acknowledged = self._acknowledged.union(*(set(sender.acknowledged) for sender in senders))
            arrived, done = list(self._arrived), self._changed | editor.done
            lost = self._disk.copy(copy, self._chance)
        for thread in threads:
            thread.ending.set()
        for thread in threads:
            thread.join()
        self._acknowledged.update(*(sender.acknowledged for sender in senders))
        self._tried.update(*(sender.tried for sender in senders))
        self._changed |= editor.done
        found = self._recover(copy)
        now, problems = found["arrived"], found["problems"] + editor.failed + [said for sender in senders for said in sender.refused]
        twice = len(arrived) + len(now) - len({*arrived, *now})
        for name, verb in done.items():
            if editor.begun.get(name, verb) == verb and (name in found["connectors"]) != (verb == "add"):
                problems.append(f"the change was lost: {verb} {name}")
        if missing := sorted(acknowledged - {*arrived, *now}):
            problems.append(f"acknowledged, but lost: {missing}")
        if strange := sorted({*now} - self._tried):
            problems.append(f"arrived, but never sent: {strange}")
        if twice > found["warned"]:
            problems.append(f"{twice} copies, of which the start warned of {found['warned']}")
        return {
            "acknowledged": len(acknowledged),
            "sectors lost": lost,
            "delivered after it": len(now),
            "twice": twice,
            "problems": problems,
        }

    def _recover(self, copy: Path) -> Any:
        words = [str(copy), str(self._place), self._file_system, str(self._sink.port)]
        command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.proof.powercut.recovery", *words]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if said.returncode:
            return {"arrived": [], "warned": 0, "connectors": [], "problems": [f"no recovery: {said.stderr}"]}
        return json.loads(said.stdout)


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(prog="python -m tests.proof.powercut", description="Cut the power of the relay's disk.")
    options.add_argument("--cuts", type=int, default=20)
    options.add_argument("--file-system", choices=FILE_SYSTEMS, default="ext4")
    options.add_argument("--seed", type=int, default=1, help="of the moments, and of what is lost")
    asked = options.parse_args()
    if lacking := missing(asked.file_system):
        sys.exit(lacking)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing stays mounted
    bad = 0
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="powercut-"))
        directory = Path(name)
        disk, place = stack.enter_context(mounted(directory, asked.file_system))
        sink = stack.enter_context(Sink(recording=False))
        configuration, ports = article(sink.hop, sink.hop)
        frontend = configuration["receive_connectors"]["Default Frontend"]
        frontend["extended_rights"] = {"Anonymous Logon": ["Accept-Any-Recipient"]}
        (place / "relay").mkdir()
        relay = stack.enter_context(Relay(configuration, ports, place / "relay"))
        os.sync()  # what the relay does not write is not for the relay to keep
        proof = Proof(directory, asked.file_system, disk, place, relay, sink, random.Random(asked.seed))
        for number in range(asked.cuts):
            found = proof.cut()
            print(number + 1, json.dumps(found), flush=True)
            if found["problems"]:
                bad += 1
                print("the disk as it was left:", (directory / "copy").rename(f"{name}-{number + 1}.disk"))
    print(f"{asked.cuts} cuts on {asked.file_system}, {bad} with problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
