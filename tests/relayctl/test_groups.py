"""What is said to a word that is no verb."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tests.programs import ROOT
from twistedrelay.relayctl import cmdlets
from twistedrelay.relayctl.main import cli


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Get-Queue", "`relayctl queue list`"),
        ("get-receiveconnector", "`relayctl connector list`"),
        ("Set-ReceiveConnector", "`relayctl connector set`"),
        ("Get-MessageTrackingLog", "`relayctl track`"),
        ("Send-MailMessage", "`relayctl send`"),
        ("Search-AdminAuditLog", "`relayctl history`"),
        ("set-transportconfig", "the keys of `transport` in the configuration"),
    ],
)
def test_a_cmdlet_is_told_the_verb(word: str, said: str) -> None:
    result = CliRunner().invoke(cli, [word, "-Identity", "x"])
    assert result.exit_code == 2
    assert said in result.output


def test_other_words_are_told_what_is_near() -> None:
    assert "Did you mean send-connector" in CliRunner().invoke(cli, ["send-conector"]).output
    assert CliRunner().invoke(cli, ["Foo-Bar"]).output.rstrip().endswith("No such command 'Foo-Bar'.")


def exchanges() -> Iterator[str]:
    """The cmdlets of docs/exchange.rst's table; C{``Set-``} stands for the one before with another verb."""
    table = (ROOT / "docs/exchange.rst").read_text(encoding="utf-8").partition("Cmdlets\n")[2].partition("The receive connector\n")[0]
    noun = ""
    for line in table.splitlines():
        for verb, own in re.findall(r"``([A-Z][a-z]+-)([A-Za-z]*)", line[:49]):
            noun = own or noun
            yield verb + noun


def test_each_cmdlet_of_the_manual_is_answered() -> None:
    found = set(exchanges())
    assert {"New-ReceiveConnector", "Remove-SendConnector", "Set-SystemMessage", "Get-ExchangeDiagnosticInfo"} <= found
    assert [cmdlet for cmdlet in found if not cmdlets.answer(cmdlet, cli)] == []


def test_answers_name_verbs_that_there_are() -> None:
    for cmdlet in {*exchanges(), *cmdlets._OTHERS}:
        for verbs in re.findall("`relayctl ([^`]+)`", cmdlets.answer(cmdlet, cli)):
            command: click.Command | None = cli
            for verb in verbs.split():
                assert isinstance(command, click.Group), (cmdlet, verbs)
                command = command.get_command(click.Context(command), verb)
            assert command is not None, (cmdlet, verbs)
