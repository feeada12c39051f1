"""The manual builds as man pages, without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.programs import ROOT


def test_man_pages(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "man",
        "-d",
        str(tmp_path / "trees"),
        "docs",
        str(tmp_path),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    found = {path.name: path.read_text().lower().replace("\\", "") for path in tmp_path.glob("*.[1-8]")}
    assert set(found) == {"twistedrelay.8", "relayctl.1", "twistedrelay-sendmail.1", "relay.yaml.5"}
    assert "session disconnect" in found["relayctl.1"]
    assert "protocol_logging_level" in found["relay.yaml.5"]
