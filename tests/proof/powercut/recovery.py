"""What comes after a power cut: the file system recovers, the relay starts, and delivers what it has.

Runs in namespaces of its own (C{unshare --net --mount}), so that the same configuration finds the same ports and paths free, while the
relay whose disk was copied goes on.  Prints what it found as JSON.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.end_to_end.relay import child_environment, twistd_command
from tests.end_to_end.sink import Sink
from tests.end_to_end.test_kills import number_of
from tests.network import PATIENCE, eventually
from tests.proof.powercut.mounted import FILE_SYSTEMS, run
from twistedrelay.control.client import ControlClient, NoDaemon

_CHANGE = re.compile(r"(add|remove) receive connector (C\d+)")


def recover(copy: Path, place: Path, file_system: str, sink_port: int) -> dict[str, object]:
    """Everything that can be known of a machine whose disk is the copy."""
    run("mount", "--make-rprivate", "/")
    run("ip", "link", "set", "lo", "up")
    run("umount", place)
    run("mount", "-t", file_system, "-o", FILE_SYSTEMS[file_system].copied, copy, place)
    arrived: Counter[int] = Counter()
    log = place / "relay/twistd.log"
    log.write_text("")
    with Sink(sink_port, recording=False) as sink:
        sink.on("end", lambda octets: arrived.update([number_of(octets.encode("latin-1"))]))
        config = place / "relay/relay.yaml"
        command = [*twistd_command(), "-n", "--pidfile=", "twistedrelay", "--config", str(config)]
        with log.open("ab") as output:
            relay = subprocess.Popen(command, stdout=output, stderr=output, cwd=config.parent, env=child_environment())
        control = ControlClient(str(place / "relay/state/control/control.sock"))
        eventually(lambda: _is_empty(relay, control, log), "everything is delivered", 300)
        connectors = {row["identity"].partition("\\")[2] for row in control.connectors()}
        history = control.get("/v1/history")
        control.get("/v1/tracking", {"limit": "1"})
        control.get("/v1/ledger")
        relay.terminate()
        status = relay.wait(PATIENCE)
    said = log.read_text(errors="replace")
    problems = [f"{path.name}: {wrong}" for path in (place / "relay/state").rglob("*.db") if (wrong := _wrong(path))]
    problems += [f"left over: {path}" for path in (place / "relay").glob("**/.*") if path.is_file()]
    problems += ["traceback"] * ("Traceback" in said) + [f"exit status {status}"] * (status != 0)
    by_history: set[str] = set()
    for row in sorted(history, key=lambda row: int(row["id"])):
        if (found := _CHANGE.match(row["what"])) and not row["undone"]:
            (by_history.add if found[1] == "add" else by_history.discard)(found[2])
    by_files = {name for name in connectors if re.fullmatch(r"C\d+", name)}
    problems += [f"history and files differ: {sorted(by_history ^ by_files)}"] * (by_history != by_files)
    run("umount", place)
    run(*FILE_SYSTEMS[file_system].check, copy)
    warned = sum(map(int, re.findall(r"those of (\d+) due\b", said)))
    return {"arrived": list(arrived.elements()), "warned": warned, "connectors": sorted(by_files), "problems": problems}


def _is_empty(relay: subprocess.Popen[bytes], control: ControlClient, log: Path) -> bool:
    if relay.poll() is not None:
        raise AssertionError(f"the relay does not start:\n{log.read_text(errors='replace')}")
    try:
        return not any(True for _ in control.messages())
    except NoDaemon:
        return False


def _wrong(database: Path) -> str:
    connection = sqlite3.connect(database)
    try:
        [said] = connection.execute("PRAGMA integrity_check(1)").fetchone()
    finally:
        connection.close()
    return "" if said == "ok" else str(said)


if __name__ == "__main__":
    print(json.dumps(recover(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
