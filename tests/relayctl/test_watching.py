"""A list that is shown again and again."""

from __future__ import annotations

import io
import os
import sys
import time

import click
import pytest
from click.testing import CliRunner

from twistedrelay.relayctl.session import DaemonNeeded
from twistedrelay.relayctl.watching import watch_option


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Shown:
    """A list, and who presses Ctrl-C."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
        self.looks = 0
        self.slept: list[float] = []
        self.away: set[int] = set()
        self.on_terminal: set[bool] = set()
        self._most = looks
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._most:
            raise KeyboardInterrupt

    @property
    def command(self) -> click.Command:
        @click.command()
        @watch_option
        @click.option("--json", "as_json", is_flag=True)
        def command(as_json: bool) -> None:
            self.looks += 1
            self.on_terminal.add(sys.stdout.isatty())
            if self.looks in self.away:
                raise DaemonNeeded("No daemon answers.")
            click.echo(f"look {self.looks}" + (" as JSON" if as_json else ""))

        return command


def test_once_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, 1)
    assert CliRunner().invoke(shown.command, []).output == "look 1\n"
    assert shown.slept == []


@pytest.mark.parametrize(("arguments", "seconds", "more"), [(["--watch"], 2.0, ""), (["--watch", "0.5", "--json"], 0.5, " as JSON")])
def test_off_a_terminal(monkeypatch: pytest.MonkeyPatch, arguments: list[str], seconds: float, more: str) -> None:
    shown = Shown(monkeypatch, 3)
    done = CliRunner().invoke(shown.command, arguments)
    assert done.exit_code == 0
    assert done.output == f"look 1{more}\n\nlook 2{more}\n\nlook 3{more}\n"
    assert shown.slept == [seconds] * 3
    assert shown.on_terminal == {False}


def test_on_a_terminal_each_look_takes_the_place_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, screen = Shown(monkeypatch, 2), Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    shown.command.main(["--watch", "1"], standalone_mode=False)
    _, first, second = screen.getvalue().split("\x1b[H\x1b[J")
    assert first.endswith(", every 1 s; Ctrl-C ends it\n\nlook 1\n")
    assert second.endswith("\n\nlook 2\n")
    assert shown.on_terminal == {True}


def test_a_look_is_not_longer_than_the_terminal_and_has_what_is_told_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Shown(monkeypatch, 1)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 10)))

    @click.command()
    @watch_option
    def command() -> None:
        for number in range(30):
            click.echo(f"line {number}")
        click.echo("There are more.", err=True)

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    command.main(["--watch"], standalone_mode=False)
    lines = screen.getvalue().splitlines()
    assert len(lines) == 9
    assert lines[-2:] == ["line 5", "… and 25 more lines"]


def test_a_daemon_that_is_away_for_a_moment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, 3)
    shown.away = {2}
    done = CliRunner().invoke(shown.command, ["--watch"])
    assert done.exit_code == 0
    assert done.output == "look 1\n\nNo daemon answers.\n\nlook 3\n"


def test_a_daemon_that_was_never_there_does(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, 3)
    shown.away = {1}
    assert CliRunner().invoke(shown.command, ["--watch"]).exit_code == 3
    assert shown.slept == []


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_how_often_is_checked(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    assert CliRunner().invoke(Shown(monkeypatch, 1).command, ["--watch", seconds]).exit_code == 2
