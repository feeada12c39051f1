"""Where passwords come from."""

from __future__ import annotations

import io
import sys
from typing import Any

import click
import pytest

from twistedrelay.relayctl.passwords import read_password


class Terminal(io.StringIO):
    """Standard input at a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_first_line_of_stdin_blanks_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" a b \r\nsecond\n"))
    assert read_password(True, confirm=True) == " a b "


@pytest.mark.parametrize("confirm", [True, False])
def test_a_terminal_is_asked_unseen(monkeypatch: pytest.MonkeyPatch, confirm: bool) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **options: Any) -> str:
        asked.append(options)
        return "typed"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click, "prompt", prompt)
    assert read_password(False, confirm=confirm) == "typed"
    assert asked == [{"hide_input": True, "confirmation_prompt": confirm, "err": True}]


def test_no_terminal_and_no_option_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("x\n"))
    with pytest.raises(click.UsageError, match="--password-stdin"):
        read_password(False, confirm=False)
