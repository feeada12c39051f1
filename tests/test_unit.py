"""The systemd unit: what it promises fits what the relay does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.network import PATIENCE
from tests.programs import ROOT
from twistedrelay.config.schema import Transport

UNIT = ROOT / "etc/twistedrelay.service"


def value(key: str) -> str:
    """The value of a key that stands there once."""
    [found] = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(found)


def test_the_shutdown_has_its_time() -> None:
    assert int(value("TimeoutStopSec")) > Transport.model_fields["shutdown_timeout"].default


def test_the_audit_may_ask_for_the_clock_and_the_relay_for_its_ports() -> None:
    assert {"adjtimex", "clock_adjtime"} <= set(value("SystemCallFilter").split())
    assert not re.search("^ProtectClock=", UNIT.read_text(), re.MULTILINE)
    assert value("AmbientCapabilities") == value("CapabilityBoundingSet") == "CAP_NET_BIND_SERVICE"


def test_pickup_directories_may_have_their_group_bit() -> None:
    assert not re.search("^RestrictSUIDSGID=", UNIT.read_text(), re.MULTILINE)


def test_systemd_understands_it(tmp_path: Path, program: Callable[[str], str]) -> None:
    analyze = program("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"/opt/twistedrelay/bin/\w+", "/bin/true", UNIT.read_text()))
    checked = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (checked.returncode, checked.stderr) == (0, "")
