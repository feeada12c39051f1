"""What a shell is offered: names, quickly, and never an error."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tests.end_to_end.relay import child_environment
from tests.relayctl.conftest import RELAY_YAML
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.main import VERBS, cli

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(config_file: Path) -> Complete:
    """What is offered behind some words, where the last has begun so."""

    def offered(*words: str, begun: str = "") -> list[str]:
        shell = ShellComplete(cli, {}, "relayctl", "_RELAYCTL_COMPLETE")
        return [item.value for item in shell.get_completions(["--config", str(config_file), *words], begun)]

    return offered


def test_verbs(complete: Complete) -> None:
    assert complete(begun="se") == ["send-connector", "send", "session"]
    assert complete("session") == ["disconnect", "list", "show"]
    assert complete(begun="--ver") == ["--version"]


def test_verbs_are_offered_without_importing_them() -> None:
    code = """
import sys
from click.shell_completion import ShellComplete
from twistedrelay.relayctl.main import cli
shell = ShellComplete(cli, {}, "relayctl", "_RELAYCTL_COMPLETE")
assert [item.value for item in shell.get_completions([], "que")] == ["queue"]
assert [item.value for item in shell.get_completions(["session"], "l")] == ["list"]
assert [item.value for item in shell.get_completions(["track"], "--re")] == ["--recipient", "--recipients", "--reply"]
print([name for name in ("pydantic", "yaml", "rich", "twisted.internet") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=child_environment())
    assert done.stdout == "[]\n"


def test_values_of_options(complete: Complete) -> None:
    setting = ("connector", "set", "IP_Relay")
    assert complete(*setting, "--protocol-logging-level") == ["None", "Verbose"]
    assert complete(*setting, "--auth-mechanism", begun="Tls,basica") == ["Tls,BasicAuth", "Tls,BasicAuthRequireTLS"]
    assert complete(*setting, "--comment") == []


@pytest.mark.parametrize(
    "words",
    [
        ("--config",),
        ("track", "--export"),
        ("message", "export", "1", "--output"),
        ("connector", "set", "IP_Relay", "--tls-client-ca-file"),
    ],
)
def test_files_are_left_to_the_shell(words: tuple[str, ...]) -> None:
    shell = ShellComplete(cli, {}, "relayctl", "_RELAYCTL_COMPLETE")
    assert [(item.type, item.value) for item in shell.get_completions(list(words), "re")] == [("file", "re")]


def test_connectors(complete: Complete) -> None:
    assert complete("connector", "show") == ["Default Frontend", "Client Frontend", "IP_Relay", "Old"]
    assert complete("connector", "show", begun="def") == ["Default Frontend"]
    assert complete("connector", "show", begun="excserver\\ip") == ["excserver\\IP_Relay"]
    assert complete("connector", "show", begun="OTHER\\ip") == []
    assert complete("trace", "--connector", begun="IP") == ["IP_Relay"]


def test_objects_of_the_configuration(complete: Complete) -> None:
    assert complete("connector", "remove", begun="old") == ["Old"]
    assert complete("connector", "add", begun="old") == []
    assert complete("domain", "set") == ["akkaya.local"]
    assert complete("permission", "add", begun="IP") == ["IP_Relay"]
    assert complete("ledger", "--require-login", begun="IP") == ["IP_Relay"]
    assert complete("send-connector", "show") == complete("webhook", "test") == complete("user", "passwd") == []


@pytest.mark.parametrize("words", [("session", "show"), ("queue", "show"), ("message", "show"), ("session", "disconnect")])
def test_without_a_daemon_nothing_is_offered(complete: Complete, words: tuple[str, ...]) -> None:
    assert complete(*words) == []


def test_without_a_configuration_nothing_is_offered(complete: Complete, config_file: Path) -> None:
    config_file.write_text("nonsense: [")
    assert complete("connector", "show") == []
    config_file.unlink()
    assert complete("connector", "show") == []


def test_a_daemon_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "PATIENCE", 0.05)
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{directory}/s")
        silent.listen()
        file = Path(directory) / "relay.yaml"
        file.write_text(RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {directory}/s"))
        shell = ShellComplete(cli, {}, "relayctl", "_RELAYCTL_COMPLETE")
        began = time.monotonic()
        assert shell.get_completions(["--config", str(file), "session", "show"], "") == []
        assert time.monotonic() - began < 20  # seconds: far less than a verb waits


def test_each_verb_is_there_and_told_as_it_tells_itself() -> None:
    context = click.Context(cli)
    for name in VERBS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_RELAYCTL_COMPLETE={shell}_complete" in done.stdout
