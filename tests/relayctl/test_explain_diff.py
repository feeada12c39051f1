"""explain and diff on files, without a daemon."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.programs import ROOT
from tests.relayctl.conftest import RELAY_YAML, Relayctl
from twistedrelay.relayctl.main import cli

ASKED = ("--from", "192.168.1.55", "--mail", "a@b.example", "--rcpt", "u@akkaya.local")


def test_a_story(relayctl: Relayctl, config_file: Path) -> None:
    result = relayctl("explain", *ASKED)
    assert result.exit_code == 0, result.output
    assert "by the file; no daemon was asked" in result.stdout
    assert "\x1b" not in result.stdout
    assert (
        f"*  IP_Relay          its range 192.168.1.55 (1 address) is the smallest that holds the client  [{config_file}:14]"
        in result.stdout
    )
    assert "S: 250 2.1.5 Recipient OK" in result.stdout
    assert "next hop   maildir:" in result.stdout


def test_a_document(relayctl: Relayctl) -> None:
    result = relayctl("explain", *ASKED, "--json")
    told = json.loads(result.stdout)
    assert (told["receive_connector"], told["live"], told["accepted"]) == ("IP_Relay", False, True)


def test_a_refusal_is_1(relayctl: Relayctl) -> None:
    result = relayctl("explain", "--from", "10.9.9.9", "--mail", "a@b.example", "--rcpt", "x@gmail.com")
    assert result.exit_code == 1
    assert "550 5.7.54" in result.stdout


@pytest.mark.parametrize("tls", [("--tls",), ("--tls", "1.2"), ("--tls", "TLSv1.3"), ("--tls", "any")])
def test_versions_of_tls(relayctl: Relayctl, tls: tuple[str, ...]) -> None:
    result = relayctl("explain", *ASKED, *tls)
    assert result.exit_code == 0, result.output
    assert "C: (TLS handshake)" in result.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ("explain",),
        ("explain", "--from", "host.example"),
        ("explain", *ASKED, "--rcpt", "no address"),
        ("explain", *ASKED, "--tls", "9"),
        ("explain", *ASKED, "--size", "-1"),
        ("explain", *ASKED, "--ehlo", "two words"),
        ("diff", "a", "b", "c"),
        ("diff", "/nonexistent.yaml"),
    ],
)
def test_usage_is_2(relayctl: Relayctl, wrong: tuple[str, ...]) -> None:
    assert relayctl(*wrong).exit_code == 2


def test_an_unknown_door_is_1(relayctl: Relayctl) -> None:
    result = relayctl("explain", "--from", "10.0.0.1", "--to", ":2525")
    assert result.exit_code == 1
    assert "Ports that exist: 25 (Default Frontend, IP_Relay), 587 (Client Frontend)" in result.stderr


def test_a_file_that_cannot_be_used(relayctl: Relayctl, config_file: Path) -> None:
    config_file.write_text(RELAY_YAML.replace("Accept-Any-Recipient", "Accept-Everything"))
    for asked in (("explain", *ASKED), ("diff", str(config_file))):
        result = relayctl(*asked)
        assert result.exit_code == 1
        assert "unknown right" in result.stderr


def test_two_files(relayctl: Relayctl, config_file: Path) -> None:
    new = config_file.with_name("new.yaml")
    new.write_text(RELAY_YAML.replace('"192.168.1.55", ', "").replace("0.0.0.0:587", "0.0.0.0:2587"))
    for asked in ((str(config_file), str(new)), (str(new),)):
        result = relayctl("diff", *asked)
        assert result.exit_code == 0, result.output
        assert "~ ReceiveConnector Client Frontend Bindings: {0.0.0.0:587} -> {0.0.0.0:2587}" in result.stdout
        assert "+ 0.0.0.0:2587 is opened (Client Frontend)" in result.stdout
    found = json.loads(relayctl("diff", str(config_file), str(new), "--json").stdout)
    assert [one["parameter"] for one in found["changes"]] == ["bindings", "remote_ip_ranges"]
    rows = list(csv.DictReader(io.StringIO(relayctl("diff", str(config_file), str(new), "--csv").stdout)))
    assert [row["section"] for row in rows] == ["objects", "objects", "bindings", "bindings"]
    assert "Nothing changes." in relayctl("diff", str(new), str(new)).stdout


def test_without_a_daemon_there_is_nothing_to_compare_the_file_with(relayctl: Relayctl) -> None:
    result = relayctl("diff")
    assert result.exit_code == 3
    assert " diff NEW`" in result.stderr


def test_the_manual_shows_what_is_printed(tmp_path: Path) -> None:
    """Its examples are those of the README's configuration."""
    manual, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/explaining.rst", "README.rst"))
    file = tmp_path / "relay.yaml"
    file.write_text(_indented(readme, ".. code-block:: yaml\n"), encoding="utf-8")
    for command in re.findall(r"^    \$ relayctl (explain .*)$", manual, re.MULTILINE):
        result = CliRunner().invoke(cli, ["--config", str(file), *shlex.split(command)])
        assert result.exit_code in (0, 1)
        printed = result.stdout.replace(str(file), "/etc/twistedrelay/relay.yaml")
        shown = _indented(manual, f"$ relayctl {command}\n")
        assert _without_time(printed) == _without_time(shown)


def _indented(text: str, start: str) -> str:
    """The indented block behind C{start}."""
    lines = []
    for line in text.partition(start)[2].lstrip("\n").splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line[4:])
    return "\n".join(lines).rstrip("\n") + "\n"


def _without_time(text: str) -> str:
    return re.sub(r"ready at .*", "ready", text)
