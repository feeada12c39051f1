"""C{relayctl audit} without a daemon: formats, exit codes, colours."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twistedrelay.relayctl.main import cli

WIDE = """\
server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: state}
receive_connectors:
  IP_Relay:
    bindings: ["127.0.0.1:1", "10.255.255.254:1"]
    remote_ip_ranges: [10.0.0.0/8]
    permission_groups: [AnonymousUsers]
    extended_rights: {Anonymous Logon: [Accept-Any-Recipient]}
"""
ACCEPTED = 'audit_exceptions: [{code: relay-wide, reason: "the lab"}]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.yaml"
    path.write_text(WIDE)
    return path


def run(file: Path, *arguments: str, color: bool = False) -> Result:
    return CliRunner().invoke(cli, ["--config", str(file), "audit", *arguments], color=color)


def test_grouped_by_severity_with_the_cure(file: Path) -> None:
    done = run(file)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "High (1)"
    assert lines[1] == f"  EXCSERVER\\IP_Relay  relay-wide  {file}:7"
    cure = "permission remove IP_Relay --user 'Anonymous Logon' --extended-rights Accept-Any-Recipient"
    assert f"    $ relayctl --config {file} {cure}" in lines
    assert lines[-1].startswith("1 High, ")
    assert "\x1b" not in done.output
    assert "\x1b[31mHigh (1)" in run(file, color=True).output


def test_only_the_worst(file: Path) -> None:
    assert run(file, "--severity", "High").stdout.splitlines()[-1] == "1 High."
    quiet = run(file, "--severity", "critical")
    assert (quiet.stdout, quiet.exit_code) == ("No findings.\n", 0)


@pytest.mark.parametrize(("least", "code"), [("Critical", 0), ("High", 1), ("Info", 1), ("never", 0)])
def test_when_it_fails(file: Path, least: str, code: int) -> None:
    assert run(file, "--fail-on", least, "--severity", "Critical").exit_code == code


def test_what_is_accepted_does_not_count(file: Path) -> None:
    file.write_text(WIDE + ACCEPTED)
    done = run(file, "--fail-on", "High")
    assert done.exit_code == 0
    assert "Accepted (1)" in done.stdout
    assert "    accepted: High: the lab" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("1 accepted.")


def test_for_machines(file: Path) -> None:
    rows = json.loads(run(file, "--json").stdout)
    assert list(rows[0]) == ["code", "severity", "object", "place", "reason", "cure", "accepted"]
    table = list(csv.DictReader(io.StringIO(run(file, "--csv").stdout)))
    assert [row["code"] for row in table] == [row["code"] for row in rows]


def test_the_self_test_of_a_relay_that_does_not_run(file: Path) -> None:
    codes = [row["code"] for row in json.loads(run(file, "--probe", "--json").stdout)]
    assert codes.count("probe-failed") + codes.count("probe") == 2


def test_a_file_that_cannot_be_used(file: Path) -> None:
    file.write_text(WIDE + "receive_conectors: {}\n")
    done = run(file)
    assert done.exit_code == 1
    assert "unknown key 'receive_conectors'" in done.stderr
