"""Commands that are printed can be typed as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.relayctl.conftest import Relayctl
from twistedrelay.relayctl.main import cli


def test_a_cure_names_the_configuration_that_was_named(relayctl: Relayctl, config_file: Path) -> None:
    printed = [line for line in relayctl("audit").stdout.splitlines() if line.startswith("    $ relayctl ")]
    assert printed
    assert all(line.startswith(f"    $ relayctl --config {config_file} ") for line in printed)
    cures = {row["cure"] for row in json.loads(relayctl("audit", "--json").stdout)}
    assert cures
    assert not any("--config" in cure for cure in cures)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("queue", "list"), "twistd -n twistedrelay --config"),
        (("Get-Queue",), "`relayctl {} queue list`"),
        (("user", "remove", "nobody@akkaya.local"), "see `relayctl {} user add`"),
        (("history", "show", "7"), "`relayctl {} history` lists them"),
    ],
)
def test_what_to_do_next(relayctl: Relayctl, config_file: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said.format(f"--config {config_file}") in relayctl(*arguments).stderr


def test_a_change_says_how_it_is_taken_back(relayctl: Relayctl, config_file: Path) -> None:
    done = relayctl("connector", "set", "Old", "--comment", "x")
    assert f"`relayctl --config {config_file} undo 1` takes it back" in done.stdout


def test_also_where_the_environment_names_it(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = config_file.parent / "a directory"
    directory.mkdir()
    (directory / "relay.yaml").write_text(config_file.read_text().replace("state_directory: state", "state_directory: ../state"))
    monkeypatch.setenv("RELAYCTL_CONFIG", str(directory / "relay.yaml"))
    assert f"`relayctl --config '{directory}/relay.yaml' history` lists" in CliRunner().invoke(cli, ["history", "show", "7"]).stderr


def test_the_default_need_not_be_named() -> None:
    assert "`relayctl queue list`" in CliRunner().invoke(cli, ["Get-Queue"]).stderr
