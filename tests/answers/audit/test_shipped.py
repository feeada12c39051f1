"""The samples that are shipped, and the cures: commands that exist."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.answers.audit.audited import NOW
from tests.programs import ROOT
from twistedrelay.answers.audit.case import Facts
from twistedrelay.answers.audit.codes import CODES
from twistedrelay.answers.audit.examine import examine
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.config.load import load_with_places

#: What is above Low on purpose: a first file has no certificates yet, and cannot know which recipients exist.  docs/audit.rst says so.
KNOWN = {
    "relay.yaml": {
        ("self-signed", "EXCSERVER\\Client Proxy EXCSERVER"),
        ("self-signed", "EXCSERVER\\Client Frontend EXCSERVER"),
        ("backscatter", "akkaya.local"),
    },
    "quickstart.yaml": set(),
}


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("etc/*.yaml")))
def test_shipped_configurations(tmp_path: Path, name: str) -> None:
    (tmp_path / "etc").mkdir()
    file = shutil.copy(ROOT / "etc" / name, tmp_path / "etc")
    told = examine(load_with_places(file), Facts(now=NOW))
    assert {(each.code, each.object) for each in told if each.severity > Severity.LOW} == KNOWN[name]


def test_each_code_is_documented() -> None:
    documented = re.findall(r"^``([a-z0-9-]+)``", (ROOT / "docs/audit.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(documented) == CODES
    assert len(documented) == len(CODES)


def test_cures_name_verbs() -> None:
    """Each is a line that a shell understands."""
    told = examine(load_with_places(ROOT / "etc/relay.yaml"), Facts(now=NOW))
    for each in told:
        assert not each.cure or shlex.split(each.cure)[0] in ("relayctl", "chmod", "timedatectl")
