"""The manual builds as man pages without a warning, they tell of every verb, and can be read at 80 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tests.programs import ROOT
from twistedrelay.relayctl.main import cli


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by their names."""
    target = tmp_path_factory.mktemp("man")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "man", "-d", str(target / "trees"), "docs", str(target)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return {path.name: path.read_text() for path in target.glob("*.[1-8]")}


def test_pages(pages: dict[str, str]) -> None:
    assert set(pages) == {"twistedrelay.8", "relayctl.1", "twistedrelay-sendmail.1", "relay.yaml.5"}
    assert "protocol_logging_level" in pages["relay.yaml.5"].replace("\\", "")


def verbs(command: click.Command, *names: str) -> Iterator[str]:
    """All that relayctl can do."""
    if not isinstance(command, click.Group):
        yield " ".join(names)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from verbs(below, *names, name)


def test_every_verb_has_its_section(pages: dict[str, str]) -> None:
    titles = re.findall(r"^\.SH (.*)$", pages["relayctl.1"].replace("\\", ""), re.MULTILINE)
    told = {each.strip().lower() for title in titles for each in title.split(",")}
    assert set(verbs(cli)) - told == set()


def test_they_are_read_at_80_columns(pages: dict[str, str]) -> None:
    """No table is left whose columns would be too narrow, no reference that leads nowhere, no name with a hyphen in it."""
    for name, page in pages.items():
        assert ".TS" not in page, name
        assert "\\%<>" not in page, name
        assert not re.search(r"<\S*\.rst>", page), name
        assert page.index(".nr HY 0\n") < page.index(".TH "), name
    assert "in twistedrelay(8)" in pages["relayctl.1"]
