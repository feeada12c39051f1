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


def test_what_the_daemon_only_warns_of_is_no_reason_not_to_start() -> None:
    assert not re.search("^ExecStartPre=", UNIT.read_text(), re.MULTILINE), "--check ends with 1 at a certificate that ends soon"


def test_the_log_is_as_the_configuration_says() -> None:
    assert "--logger" not in value("ExecStart")


def test_the_journal_drops_no_lines() -> None:
    """By default it does behind the 10,000th in 30 seconds."""
    assert value("LogRateLimitIntervalSec") == "0"


def test_it_is_tried_again_for_ever() -> None:
    """systemd gives up after 5 starts in 10 seconds."""
    assert int(value("RestartSec")) * 5 > 10
    assert not re.search("^StartLimit", UNIT.read_text(), re.MULTILINE)


def test_pickup_directories_may_have_their_group_bit() -> None:
    assert not re.search("^RestrictSUIDSGID=", UNIT.read_text(), re.MULTILINE)


def test_systemd_understands_it(tmp_path: Path, program: Callable[[str], str]) -> None:
    analyze = program("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"/opt/twistedrelay/bin/\w+", "/bin/true", UNIT.read_text()))
    checked = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (checked.returncode, checked.stderr) == (0, "")
