"""What the help of commands says of the configuration's keys: their units, their defaults, and an example that can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from twistedrelay.config.keys import NAMED
from twistedrelay.config.parameters import parameters
from twistedrelay.relayctl.main import cli


def help_of(*words: str) -> str:
    """A command's help, its lines joined."""
    result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--max-message-size", "SIZE MaxMessageSize. [default: 36MB]"),
        ("--connection-timeout", "DURATION ConnectionTimeout. [default: 10m]"),
        ("--max-hop-count", "NUMBER MaxHopCount. [default: 60]"),
        ("--message-rate-limit", "NUMBER|unlimited MessageRateLimit. [default: unlimited]"),
        ("--pipelining-enabled", "[true|false] PipeliningEnabled. [default: true]"),
        ("--remote-ip-ranges", "A,B,… RemoteIPRanges. [default: all addresses]"),
        ("--tls-minimum-version", "[TLSv1|TLSv1.1|TLSv1.2|TLSv1.3] TlsMinimumVersion. [default: TLSv1.2]"),
        ("--fqdn", "VALUE Fqdn."),
    ],
)
@pytest.mark.parametrize("verb", ["add", "set"])
def test_units_and_defaults_are_said(verb: str, option: str, said: str) -> None:
    assert f" {option} {said}" in " ".join(help_of("connector", verb).split())


def test_what_is_needed_is_said_where_something_new_is_made() -> None:
    assert "AddressSpaces; required." in help_of("send-connector", "add")
    assert "required" not in help_of("send-connector", "set")
    assert "required" not in help_of("connector", "add")  # there, --usage says what is needed


@pytest.mark.parametrize("section", ["receive_connectors", "send_connectors", "accepted_domains"])
def test_numbers_have_units(section: str) -> None:
    """What is a number in the model is none of the texts that may be anything."""
    for parameter in parameters(NAMED[section]):
        assert bool(parameter.unit) == (type(parameter.default) in (int, float)) or parameter.default is None, parameter.name


def _verbs(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _verbs(below, *words, name)
    else:
        yield words


def test_examples_have_options_that_exist() -> None:
    shown = set()
    for words in _verbs(cli):
        text = help_of(*words)
        for example in re.findall(r"^ {4,}relayctl (?:.*\\\n)*.*", text, re.MULTILINE):
            assert max(map(len, example.splitlines())) <= 80
            typed = shlex.split(example.replace("\\\n", " "))
            assert typed[1 : 1 + len(words)] == list(words), example
            for option in (word for word in typed if word.startswith("--")):
                assert re.search(rf"^  (?:-.*, )?{option}\b", text, re.MULTILINE), example
            shown.add(words[0])
    assert shown >= {"connector", "send-connector", "domain", "permission", "explain", "track", "ledger", "message", "queue", "user"}


def test_a_size_is_given_as_everywhere() -> None:
    """C{explain --size} takes what C{--max-message-size} takes."""
    refused = CliRunner().invoke(cli, ["explain", "--from", "192.0.2.1", "--size", "much"])
    assert refused.exit_code == 2
    assert "36MB" in refused.output
