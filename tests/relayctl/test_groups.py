"""What is said to a word that is no verb."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from twistedrelay.relayctl.main import cli


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Get-Queue", "`relayctl queue list`"),
        ("get-receiveconnector", "`relayctl connector list`"),
        ("Set-ReceiveConnector", "`relayctl connector set`"),
        ("Get-MessageTrackingLog", "`relayctl track`"),
        ("Send-MailMessage", "`relayctl send`"),
    ],
)
def test_a_cmdlet_is_told_the_verb(word: str, said: str) -> None:
    result = CliRunner().invoke(cli, [word, "-Identity", "x"])
    assert result.exit_code == 2
    assert said in result.output


def test_other_words_are_told_what_is_near() -> None:
    assert "Did you mean send-connector" in CliRunner().invoke(cli, ["send-conector"]).output
    assert CliRunner().invoke(cli, ["Foo-Bar"]).output.rstrip().endswith("No such command 'Foo-Bar'.")
