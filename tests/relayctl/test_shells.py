"""Completion in shells: what is read, what is answered, and a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem
from click.testing import CliRunner

from tests.end_to_end.relay import child_environment
from tests.network import PATIENCE
from tests.relayctl.conftest import RELAY_YAML
from twistedrelay.relayctl.main import cli
from twistedrelay.relayctl.shells import Bash, Fish, Zsh

BREAKS = " \t\n\"'@><=;|&(:"


def words(line: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], str]:
    monkeypatch.setenv("COMP_LINE", line)
    return Bash(click.Command("relayctl"), {}, "relayctl", "_RELAYCTL_COMPLETE").get_completion_args()


@pytest.mark.parametrize(
    ("line", "before", "begun"),
    [
        ("relayctl ", [], ""),
        ("relayctl que", [], "que"),
        ("relayctl queue show mail.example.org:2", ["queue", "show"], "mail.example.org:2"),
        ("relayctl queue show mail.example.org:", ["queue", "show"], "mail.example.org:"),
        (r"relayctl connector show Default\ Fr", ["connector", "show"], "Default Fr"),
        ("relayctl connector show Default\\", ["connector", "show"], "Default"),
        ('relayctl connector show "Default Fr', ["connector", "show"], "Default Fr"),
        ("relayctl connector show 'Default Frontend' ", ["connector", "show", "Default Frontend"], ""),
        ("RELAYCTL_CONFIG=/x relayctl se", [], "se"),
        ("relayctl message list --queue=mail.ex", ["message", "list"], "--queue=mail.ex"),
        ("", [], ""),
    ],
)
def test_the_words_of_a_line(monkeypatch: pytest.MonkeyPatch, line: str, before: list[str], begun: str) -> None:
    assert words(line, monkeypatch) == (before, begun)


@pytest.mark.parametrize(
    ("line", "word", "breaks", "value", "answer"),
    [
        ("relayctl queue show ", "", BREAKS, "mail.example.org:25", "mail.example.org:25"),
        ("relayctl queue show mail.example.org:", ":", BREAKS, "mail.example.org:2525", "2525"),
        ("relayctl queue show mail.example.org:25", "25", BREAKS, "mail.example.org:2525", "2525"),
        ("relayctl queue show mail.example.org:25", "x", " \t", "mail.example.org:2525", "mail.example.org:2525"),
        ("relayctl queue show [10", "[10", BREAKS, "[10.0.0.1]:1", r"\[10.0.0.1\]:1"),
        ("relayctl queue show [2001:d", "d", BREAKS, "[2001:db8::1],x", r"db8::1\],x"),
        ("relayctl connector show Def", "Def", BREAKS, "Default Frontend", r"Default\ Frontend"),
        ('relayctl connector show "Def', '"Def', BREAKS, "Default Frontend", "Default Frontend"),
        ('relayctl queue show "mail.example.org:2', '"mail.example.org:2', BREAKS, "mail.example.org:25", "mail.example.org:25"),
        ("relayctl user passwd scanner@ak", "@ak", BREAKS, "scanner@akkaya.local", "@akkaya.local"),
        ("relayctl user passwd scan", "scan", BREAKS, "scanner@akkaya.local", "scanner@akkaya.local"),
        ("relayctl message list --queue=mail.ex", "mail.ex", BREAKS, "mail.example.org", "mail.example.org"),
        ("relayctl message list --queue=mail.ex", "x", " \t", "mail.example.org", "--queue=mail.example.org"),
        ("relayctl message list --qu", "--qu", BREAKS, "--queue", "--queue"),
    ],
)
def test_what_is_put_in_the_place_of_a_word(
    monkeypatch: pytest.MonkeyPatch, line: str, word: str, breaks: str, value: str, answer: str
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_WORD", word)
    monkeypatch.setenv("COMP_WORDBREAKS", breaks)
    assert Bash(click.Command("relayctl"), {}, "relayctl", "x").format_completion(CompletionItem(value)) == f"plain,{answer}"


@pytest.mark.parametrize("shell", [Zsh, Fish])
def test_other_shells_replace_the_whole_word(monkeypatch: pytest.MonkeyPatch, shell: type[Zsh | Fish]) -> None:
    monkeypatch.setenv("COMP_WORDS", "relayctl message list --queue=ma")
    monkeypatch.setenv("COMP_CWORD", "--queue=ma" if shell is Fish else "3")
    made = shell(click.Command("relayctl"), {}, "relayctl", "x")
    assert "--queue=mail.example.org" in made.format_completion(CompletionItem("mail.example.org"))
    assert "--queue=--q" not in made.format_completion(CompletionItem("--quiet"))


def test_what_other_shells_would_take_for_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "relayctl connector show ")
    monkeypatch.setenv("COMP_CWORD", "3")
    made = Zsh(click.Command("relayctl"), {}, "relayctl", "x")
    described, plain = CompletionItem("EXCSERVER\\IP_Relay", help="0.0.0.0:25"), CompletionItem("EXCSERVER\\IP_Relay")
    assert made.format_completion(described).split("\n")[1] == "EXCSERVER\\\\IP_Relay"
    assert made.format_completion(plain).split("\n")[1] == "EXCSERVER\\IP_Relay"
    assert 'string split -m 1 "," $completion' in CliRunner().invoke(cli, ["completion", "fish"]).output


def test_a_real_bash(tmp_path: Path) -> None:
    """The function is called as bash calls it: with the words taken apart at colons."""
    config = tmp_path / "relay.yaml"
    config.write_text(RELAY_YAML.replace("  Old:", '  "Port 25: old":'))
    relayctl = tmp_path / "relayctl"
    relayctl.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from twistedrelay.relayctl.main import main; main()' \"$@\"\n")
    relayctl.chmod(0o755)
    (tmp_path / "script").write_text(CliRunner().invoke(cli, ["completion", "bash"]).output)
    calls = f"""
source {tmp_path}/script
complete -p relayctl
ask() {{
    COMP_LINE=$1 COMP_POINT=${{#1}} COMP_WORDS=("${{@:2}}")
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _relayctl_completion {relayctl}
    printf '<%s>' "${{COMPREPLY[@]}}"
    echo
}}
COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
ask 'relayctl connector sh' relayctl connector sh
ask 'relayctl connector show Port\\ 25:' relayctl connector show 'Port\\ 25' :
ask 'relayctl connector show Cl' relayctl connector show Cl
"""
    environment = {**child_environment(), "RELAYCTL_CONFIG": str(config), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", calls], capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _relayctl_completion relayctl",
        "<show>",
        r"<\ old>",
        r"<Client\ Frontend>",
    ]
