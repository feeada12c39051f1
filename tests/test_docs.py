"""The documentation is true: its examples load, its keys, defaults, commands and options are the program's."""

from __future__ import annotations

import io
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.programs import ROOT
from twistedrelay.answers.check import check
from twistedrelay.config.keys import NAMED, SINGLE, snake_case
from twistedrelay.config.later import NO_PLACE, NOT_YET
from twistedrelay.config.load import load
from twistedrelay.config.problems import ConfigError
from twistedrelay.config.schema import Config, Model
from twistedrelay.policy.external.ldap_settings import load_settings
from twistedrelay.relayctl.key_options import KeyOption
from twistedrelay.relayctl.main import VERBS, cli

README = (ROOT / "README.rst").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.rst").read_text(encoding="utf-8")
RELAYCTL = (ROOT / "docs/relayctl.rst").read_text(encoding="utf-8")
EXCHANGE = (ROOT / "docs/exchange.rst").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs/protocol.rst").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.rst", *ROOT.glob("docs/*.rst"), *filter(Path.is_file, ROOT.glob("etc/*"))])

#: What a model cannot do without, besides the key that is looked at.
NEEDED: dict[str, dict[str, Any]] = {
    "server": {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": "state"},
    "accepted_domains": {},
    "receive_connectors": {"bindings": ["0.0.0.0:25"], "permission_groups": ["AnonymousUsers"]},
    "send_connectors": {"address_spaces": ["*"]},
    "acme": {"directory_url": "https://acme.example/directory", "http_listen": "0.0.0.0:80"},
    "transport": {},
    "metrics": {"listen": "127.0.0.1:9345"},
}


def indented(text: str, start: str) -> str:
    """The indented block that follows C{start}, without its indentation."""
    _, found, rest = text.partition(start)
    assert found, f"{start!r} is gone"
    lines = []
    for line in rest.lstrip("\n").splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line[4:])
    return "\n".join(lines).rstrip("\n") + "\n"


def sections(text: str) -> dict[str, str]:
    """The text of each section by its title, the marks for code removed."""
    parts = re.split(r"^(.+)\n-{4,}\n", text, flags=re.MULTILINE)
    return {title.replace("``", ""): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def rows(section: str) -> Iterator[tuple[str, str]]:
    """The first and the last column of a section's tables, for each key."""
    borders = list(re.finditer(r"^=+(?: =+)+$", section, re.MULTILINE))
    found: list[list[str]] = []
    for top, bottom in zip(borders[::3], borders[2::3], strict=True):  # the middle one is below the titles
        ends = [match.span() for match in re.finditer("=+", top[0])]
        first, last = ends[0], ends[-1]
        for line in section[top.end() : bottom.start()].splitlines():
            name, value = line[first[0] : first[1]].strip(), line[last[0] :].strip()
            if name.startswith("``"):
                found.append([name, value])
            elif not name and found and value:
                found[-1][1] = value
    for name, value in found:
        previous = ""
        for key in re.findall(r"``(\w+)``", name):
            previous = previous.rpartition("_")[0] + key if key.startswith("_") else key
            yield previous, value


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """The classic scenario's C{relay.yaml}, as the README has it."""
    file = tmp_path / "relay.yaml"
    file.write_text(indented(README, ".. code-block:: yaml\n"), encoding="utf-8")
    return file


def relayctl(file: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--config", str(file), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_classic_scenario_is_good(scenario: Path) -> None:
    assert check(str(scenario)) == []


@pytest.mark.parametrize("document", [README, RELAYCTL], ids=["README", "relayctl"])
def test_the_list_of_connectors_is_the_scenarios(scenario: Path, document: str) -> None:
    shown = indented(document, "$ relayctl connector list\n").partition("\n\n")[0]
    assert relayctl(scenario, "connector", "list").rstrip("\n") == shown.rstrip("\n")


@pytest.mark.parametrize("document", [README, RELAYCTL], ids=["README", "relayctl"])
def test_the_mistake_is_reported_as_shown(scenario: Path, document: str) -> None:
    scenario.write_text(scenario.read_text().replace("remote_ip_ranges", "remote_ip_range"))
    [problem] = check(str(scenario))
    assert f"{problem}".removeprefix(str(scenario.parent)).lstrip("/") in document


@pytest.mark.parametrize("name", ["relay.yaml", "quickstart.yaml"])
def test_the_files_in_etc_are_good(name: str) -> None:
    assert check(str(ROOT / "etc" / name)) == []


#: A comment that is an example: a key with its value or its block, or an entry of a list.
EXAMPLE = re.compile(r"^( *)# ( *(?:- |[\w\"*.-]+(?: \w+)?:(?: \S|$)).*)$", re.MULTILINE)


def unusable(file: Path) -> list[str]:
    """What is wrong with a configuration, but for files that are not there."""
    try:
        load(str(file))
    except ConfigError as error:
        return [f"{problem}" for problem in error.problems if "No such file" not in problem.text]
    return []


def test_the_comments_in_etc_are_good_too(tmp_path: Path) -> None:
    text = (ROOT / "etc/relay.yaml").read_text(encoding="utf-8")
    uncommented, count = EXAMPLE.subn(r"\1\2", text)
    assert count > 40
    (tmp_path / "connectors.d").mkdir()
    (tmp_path / "connectors.d/more.yaml").write_text(
        "receive_connectors: {More: {bindings: ['0.0.0.0:26'], permission_groups: [Custom]}}\n"
    )
    file = tmp_path / "relay.yaml"
    file.write_text(uncommented, encoding="utf-8")
    assert unusable(file) == []
    assert {"IP_Relay", "Old Scanners", "LMTP Inside", "More"} < set(load(str(file)).receive_connectors)


def yaml_blocks() -> Iterator[Any]:
    """Each example of YAML in the documents."""
    for document in DOCUMENTS:
        if document.suffix == ".rst":
            blocks = re.findall(r"^\.\. code-block:: yaml\n\n((?:(?: .*)?\n)+)", document.read_text(encoding="utf-8"), re.MULTILINE)
            for number, block in enumerate(blocks, 1):
                yield pytest.param(textwrap.dedent(block), id=f"{document.stem}-{number}")


@pytest.mark.parametrize("block", list(yaml_blocks()))
def test_every_example_of_a_configuration_is_good(block: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    if block.startswith("# ldap.yaml"):
        (tmp_path / "password").write_text("secret\n")
        file.write_text(block.replace("tls_ca_file: ca.pem\n", ""), encoding="utf-8")
        assert load_settings(str(file)).urls
        return
    if block.startswith("# recipients.yaml"):
        (tmp_path / "password").write_text("secret\n")
        file.write_text(block.replace("tls_ca_file: ca.pem\n", ""), encoding="utf-8")
        directory = pytest.importorskip("twistedrelay.policy.recipients.directory")
        assert load_settings(str(file), directory.RecipientDirectorySettings).base
        return
    given = block if "\nserver:" in f"\n{block}" else f"server: {{name: A, fqdn: relay.akkaya.local, state_directory: state}}\n{block}"
    needed = {"receive_connectors": "{IP_Relay: {bindings: ['0.0.0.0:25'], permission_groups: [AnonymousUsers]}}", "send_connectors": "{}"}
    file.write_text(given + "".join(f"{key}: {value}\n" for key, value in needed.items() if f"{key}:" not in given), encoding="utf-8")
    assert unusable(file) == []


@pytest.mark.parametrize(("section", "model"), [*SINGLE.items(), *NAMED.items()])
def test_every_key_is_documented_and_every_documented_key_is_there(section: str, model: type[Model]) -> None:
    documented = [key for key, _ in rows(sections(CONFIGURATION)[section])]
    assert sorted(documented) == sorted(model.model_fields)


@pytest.mark.parametrize(("section", "model"), [*SINGLE.items(), *NAMED.items()])
def test_documented_defaults_are_the_defaults(section: str, model: type[Model]) -> None:
    compared = 0
    for key, shown in rows(sections(CONFIGURATION)[section]):
        if key in NEEDED[section]:
            assert shown == "required", key
            continue
        literal = re.fullmatch(r"(?:(?P<count>\d+) × )?``(?P<value>[^`]+)``", shown)
        assert shown != "required", key
        if literal is None or "/" in literal["value"] or "." in literal["value"]:  # in words, or another key's value
            continue
        text = literal["count"] if literal["count"] and key.endswith("_count") else literal["value"]
        value = text[1:-1].split(", ") if text.startswith("[") else text
        made = model.model_validate({**NEEDED[section], key: value})
        if key != "tls_auth_level":  # depends on require_tls and the rest until it is given
            assert getattr(made, key) == getattr(model.model_validate(NEEDED[section]), key), key
        compared += 1
    assert compared or section in ("accepted_domains", "acme", "metrics")


def test_every_top_level_key_is_documented() -> None:
    titles = " ".join(sections(CONFIGURATION)).replace(",", " ").split()
    assert set(Config.model_fields) == set(titles)


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of relayctl with its words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield (*path, name), command
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_and_option_of_relayctl_is_documented() -> None:
    for words, command in commands():
        assert f"``{' '.join(words)}``" in RELAYCTL, words
        for parameter in command.params:
            if isinstance(parameter, KeyOption):
                continue  # made from a key, which has its row in docs/configuration.rst
            for option in (option for option in parameter.opts if isinstance(parameter, click.Option)):
                assert f"``{option}" in RELAYCTL or option in {"--help", "-h"}, (words, option)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_relayctl_in_the_documents_are_commands(document: Path) -> None:
    known = dict(commands())
    for found in re.findall(r"relayctl\"?((?: --config \S+)? [a-z]+(?: [^\n`]*)?)", document.read_text(encoding="utf-8")):
        words = [word for word in shlex.split(found.replace("\\", ""), comments=True) if word not in {"|"}]
        words = words[2:] if words[0] == "--config" else words
        if words[0] not in VERBS:
            continue  # a sentence that speaks of relayctl
        name = tuple(words[:1]) if tuple(words[:1]) in known else tuple(words[:2])
        options = [word for word in words if word.startswith("--")]
        assert name in known or len(words) == 1, found
        if name in known:
            allowed = {option for parameter in known[name].params for option in parameter.opts}
            assert set(options) <= allowed, found


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.suffix == ".rst"], ids=lambda path: path.name)
def test_files_and_modules_in_the_documents_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    files = re.findall(r"(?:^|[\s`])((?:tests|etc|docs|benchmarks)/[\w./-]*\w)", text)
    rooms = "|".join(path.parent.name for path in ROOT.glob("twistedrelay/*/__init__.py"))
    modules = re.findall(rf"``((?:{rooms})\.(?!db`)[a-z]+)(?:\.[A-Z]\w+)?``", text)
    for name in files:
        assert (ROOT / name).exists(), name
    for module in modules:
        path = ROOT / "twistedrelay" / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.suffix == ".rst"], ids=lambda path: path.name)
def test_the_documents_are_whole(document: Path) -> None:
    """No table is torn, no mark left open."""
    core, roles = pytest.importorskip("docutils.core"), pytest.importorskip("docutils.parsers.rst.roles")
    for role in ("doc", "ref"):  # Sphinx's
        roles.register_generic_role(role, pytest.importorskip("docutils.nodes").literal)
    said = io.StringIO()
    text = re.sub(r"^\.\. toctree::\n(?:(?: .*)?\n)+", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    core.publish_doctree(text, settings_overrides={"warning_stream": said, "report_level": 2, "syntax_highlight": "none"})
    assert said.getvalue() == ""


def test_every_rule_of_the_protocol_names_a_module_and_a_test_that_are_there() -> None:
    tests = re.findall(r"``([\w/]+\.py)::(\w+)``", PROTOCOL)
    assert len(tests) > 100
    for file, name in tests:
        assert re.search(rf"^ *def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE), (file, name)
    rooms = "|".join(path.parent.name for path in ROOT.glob("twistedrelay/*/__init__.py"))
    for module in re.findall(rf"``((?:{rooms})(?:\.\w+)+)``", PROTOCOL):
        path = ROOT / "twistedrelay" / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
    rules = sum(line.startswith("=") for section in sections(PROTOCOL).values() for line in section.splitlines())
    assert rules % 3 == 0  # no table is torn


def test_every_extension_that_can_be_turned_off_is_in_the_protocol() -> None:
    connector = NAMED["receive_connectors"]
    not_extensions = ("enabled", "bare_linefeed_rejection_enabled", "lenient_syntax_enabled", "domain_secure_enabled")
    for key in connector.model_fields:
        if key.endswith("_enabled") and key not in not_extensions:
            assert f"``{key}``" in PROTOCOL, key


@pytest.mark.parametrize(("title", "section"), [("Set-SendConnector", "send_connectors"), ("Set-TransportService", "transport")])
def test_the_tables_for_exchange_are_true_and_complete(title: str, section: str) -> None:
    """A parameter without a default has no place or is not there yet; all others are keys, and no key is left out."""
    model = NAMED.get(section) or SINGLE[section]
    body = next(text for name, text in sections(EXCHANGE).items() if name.startswith(title))
    keys = set(re.findall(r"``([a-z_]+)``", body.partition("\nOurs")[2]))
    for line in body.partition("\nOurs")[0].splitlines():
        names = re.match(r"((?:``[A-Z]\w+``(?:, )?)+) +(\S)", line)
        for name in re.findall(r"\w+", names[1]) if names else ():
            key = {"ConnectionInactivityTimeOut": "connection_inactivity_timeout"}.get(name, snake_case(name))
            refused = key in NO_PLACE[section] or key in NOT_YET.get(section, ())
            assert names is not None
            assert (names[2] == "–") is refused is (key not in model.model_fields), name
            keys.add(key)
    assert set(model.model_fields) <= keys
