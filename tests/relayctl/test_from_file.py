"""Verbs that need no daemon."""

from __future__ import annotations

import csv
import io
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.relayctl.conftest import Relayctl
from twistedrelay.config.users import UsersFile
from twistedrelay.relayctl.main import VERBS, cli

TABLE = """\
Identity                    Bindings               Enabled
--------                    --------               -------
EXCSERVER\\Default Frontend  {0.0.0.0:25, [::]:25}  True
EXCSERVER\\Client Frontend   {0.0.0.0:587}          True
EXCSERVER\\IP_Relay          {0.0.0.0:25}           True
EXCSERVER\\Old               {0.0.0.0:717}          False
"""


def test_connector_list_is_the_articles_table(relayctl: Relayctl) -> None:
    result = relayctl("connector", "list")
    assert (result.exit_code, result.stdout) == (0, TABLE)


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_where_the_format_belongs(relayctl: Relayctl, option: str) -> None:
    result = relayctl(option, "connector", "list")
    assert result.exit_code == 2
    assert f"{option} belongs behind the verb, for instance: relayctl connector list {option}" in result.stderr


def test_connector_list_for_machines(relayctl: Relayctl) -> None:
    rows = json.loads(relayctl("connector", "list", "--json").stdout)
    assert rows[0] == {"identity": "EXCSERVER\\Default Frontend", "bindings": ["0.0.0.0:25", "[::]:25"], "enabled": True}
    read = list(csv.DictReader(io.StringIO(relayctl("connector", "list", "--csv").stdout)))
    assert read[0] == {"identity": "EXCSERVER\\Default Frontend", "bindings": "0.0.0.0:25, [::]:25", "enabled": "True"}


@pytest.mark.parametrize("name", ["IP_Relay", "EXCSERVER\\IP_Relay", "excserver\\ip_relay"])
def test_connector_show(relayctl: Relayctl, name: str) -> None:
    result = relayctl("connector", "show", name)
    shown = dict(line.split(" : ", 1) if " : " in line else (line.rstrip(" :"), "") for line in result.stdout.splitlines())
    shown = {key.strip(): text for key, text in shown.items()}
    assert result.exit_code == 0
    assert shown["Identity"] == "EXCSERVER\\IP_Relay"
    assert shown["RemoteIPRanges"] == "{192.168.1.55, range=10.1.2.0/28; owner=scanners; expires=2099-06-30}"
    assert shown["MaxMessageSize"] == "36 MB (37,748,736 bytes)"
    assert shown["MessageRateLimit"] == "Unlimited"
    assert shown["ConnectionTimeout"] == "00:10:00"
    (row,) = json.loads(relayctl("connector", "show", name, "--json").stdout)
    assert row["max_message_size"] == 37748736
    assert row["extended_rights"] == {"Anonymous Logon": ["Accept-Any-Recipient"]}


def test_connector_show_of_none_suggests(relayctl: Relayctl) -> None:
    result = relayctl("connector", "show", "ip_rely")
    assert result.exit_code == 1
    assert "Did you mean: IP_Relay?" in result.stderr
    everything = relayctl("connector", "show", "OTHER\\qqq").stderr
    assert "Default Frontend, Client Frontend, IP_Relay, Old" in everything


def test_check(relayctl: Relayctl, config_file: Path) -> None:
    assert relayctl("check").exit_code == 0
    assert json.loads(relayctl("check", "--json").stdout) == []
    good = config_file.read_text()
    group = "permission_groups: [ExchangeUsers]"
    config_file.write_text(good.replace(group, f"{group}\n    max_header_size: 64MB"))
    warned = relayctl("check")
    assert (warned.exit_code, warned.stderr) == (1, "A daemon starts with it: these are warnings.\n")
    assert warned.stdout.startswith(f"{config_file}:")
    config_file.write_text(good)
    config_file.write_text(config_file.read_text().replace("permission_groups: [ExchangeUsers]", "permision_groups: [ExchangeUsers]"))
    result = relayctl("check")
    assert (result.exit_code, result.stderr) == (1, "")
    assert any(line.startswith(f"{config_file}:11: ") and "permision_groups" in line for line in result.stdout.splitlines())
    (first, *_) = json.loads(relayctl("check", "--json").stdout)
    assert first["file"] == str(config_file)


def test_other_verbs_show_what_is_wrong_with_the_file(relayctl: Relayctl, config_file: Path) -> None:
    config_file.write_text("server: {}\nodd: 1\n")
    result = relayctl("connector", "list")
    assert result.exit_code == 1
    assert f"{config_file}:2: odd" in result.stderr
    assert " check`" in result.stderr


@pytest.mark.parametrize("verb", ["check", "connector list", "user list", "status"])
def test_a_missing_file_says_how_to_name_one(tmp_path: Path, verb: str) -> None:
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "none.yaml"), *verb.split()])
    assert result.exit_code == 1
    assert "--config FILE" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("status",), ("queue", "list"), ("message", "list"), ("message", "show", "1"), ("message", "remove", "1")]
)
def test_without_a_daemon_exit_3_and_what_to_do(relayctl: Relayctl, arguments: tuple[str, ...]) -> None:
    result = relayctl(*arguments)
    assert result.exit_code == 3
    assert "state/control/control.sock" in result.stderr
    assert "twistd -n twistedrelay --config" in result.stderr


def test_users(relayctl: Relayctl, config_file: Path) -> None:
    users = UsersFile(str(config_file.parent / "state" / "users"))
    assert json.loads(relayctl("user", "list", "--json").stdout) == []
    added = relayctl(
        "user", "add", "cengiz@akkaya.local", "--password-stdin", "--send-as", "info@akkaya.local", stdin="hunter2 x\nsecond\n"
    )
    assert added.exit_code == 0
    assert users.verify("Cengiz@akkaya.local", "hunter2 x") is not None
    assert "hunter2" not in added.output
    again = relayctl("user", "add", "cengiz@akkaya.local", "--password-stdin", stdin="x\n")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    (row,) = json.loads(relayctl("user", "list", "--json").stdout)
    assert (row["address"], row["send_as"]) == ("cengiz@akkaya.local", ["info@akkaya.local"])
    assert relayctl("user", "passwd", "cengiz@akkaya.local", "--password-stdin", stdin="other\n").exit_code == 0
    assert users.verify("cengiz@akkaya.local", "other") is not None
    assert relayctl("user", "remove", "cengiz@akkaya.local").exit_code == 0
    assert users.list() == []


def test_user_what_if_changes_nothing(relayctl: Relayctl, config_file: Path) -> None:
    users = UsersFile(str(config_file.parent / "state" / "users"))
    assert "What if" in relayctl("user", "add", "a@b.example", "--what-if").stdout
    assert users.list() == []
    users.add("a@b.example", "secret")
    assert "What if" in relayctl("user", "passwd", "a@b.example", "--what-if").stdout
    assert "What if" in relayctl("user", "remove", "a@b.example", "--what-if").stdout
    assert users.verify("a@b.example", "secret") is not None


def test_user_errors(relayctl: Relayctl) -> None:
    assert relayctl("user", "add", "no address", "--password-stdin", stdin="x\n").exit_code == 1
    assert relayctl("user", "add", "a@b.example", "--password-stdin", stdin="\n").exit_code == 1
    assert relayctl("user", "remove", "a@b.example").exit_code == 1
    assert relayctl("user", "passwd", "a@b.example", "--password-stdin", stdin="x\n").exit_code == 1
    asked = relayctl("user", "add", "a@b.example", stdin="x\n")
    assert asked.exit_code == 2
    assert "--password-stdin" in asked.stderr


def test_usage_errors_are_2(relayctl: Relayctl) -> None:
    assert relayctl("nonsense").exit_code == 2
    assert relayctl("message", "show", "abc").exit_code == 2
    assert relayctl("connector", "show").exit_code == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(relayctl: Relayctl, verb: str) -> None:
    assert relayctl(verb, "--help").exit_code == 0


def test_startup_imports_little(config_file: Path) -> None:
    slow = ("twisted", "pydantic", "klein", "rich", "smtplib")
    code = f"import sys; from twistedrelay.relayctl.main import main; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_users_file_is_private(relayctl: Relayctl, config_file: Path) -> None:
    relayctl("user", "add", "a@b.example", "--password-stdin", stdin="secret\n")
    mode = stat.S_IMODE((config_file.parent / "state" / "users").stat().st_mode)
    assert mode & 0o007 == 0


@pytest.mark.parametrize("verb", [("status",), ("check",), ("user", "list")])
def test_a_configuration_that_cannot_be_read_says_why_and_what_to_do(tmp_path: Path, verb: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["--config", str(tmp_path), *verb])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path} cannot be read: Is a directory.\nName a file with --config.\n"


def test_advice_about_permissions_is_for_permissions_only(relayctl: Relayctl) -> None:
    result = relayctl("user", "add", "nobody", "--password-stdin", stdin="secret\n")
    assert (result.exit_code, result.stderr) == (1, "Error: 'nobody' is no address: there is no @ with a domain behind it.\n")
