"""Tests for L{twistedrelay.config.webhooks}."""

from __future__ import annotations

from pathlib import Path

import pytest

from twistedrelay.config.load import load
from twistedrelay.config.problems import ConfigError

BEGIN = "server: {name: A, fqdn: relay.akkaya.local, state_directory: state}\nwebhooks:\n"
GOOD = "url: 'https://desk.akkaya.local/x', events: [FAIL], secret_file: secret"


def problems(tmp_path: Path, *entries: str) -> list[str]:
    file = tmp_path / "relay.yaml"
    file.write_text(BEGIN + "".join(f"  - {{{entry}}}\n" for entry in entries))
    try:
        load(str(file))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_paths_names_and_defaults(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD, f"name: Two, {GOOD}, ca_file: ca.pem, connectors: [Pickup], enabled: false") == []
    first, second = load(str(tmp_path / "relay.yaml")).webhooks
    assert (first.name, first.secret_file, first.enabled) == ("desk.akkaya.local", str(tmp_path / "secret"), True)
    assert (second.name, second.ca_file, second.enabled) == ("Two", str(tmp_path / "ca.pem"), False)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (GOOD.replace("https", "ftp"), "is no address"),
        (GOOD.replace("desk.akkaya.local", ""), "is no address"),
        (GOOD.replace("desk", "desk:99999 "), "is no address"),
        (GOOD.replace("desk", "eren:secret@desk"), "holds a login"),
        (GOOD.replace("FAIL", ""), "is empty"),
        (GOOD.replace("FAIL", "fail"), "did you mean 'FAIL'?"),
        (GOOD.replace("FAIL", "spool_sck"), "did you mean 'spool_sick'?"),
        (GOOD.replace("secret_file: secret", "secret_file: ''"), "openssl rand"),
        (GOOD.replace("https", "http") + ", ca_file: x", "no use without https"),
        (GOOD + ", secrets: x", "unknown key 'secrets'"),
        ("events: [FAIL], secret_file: secret", "url"),
    ],
)
def test_what_is_wrong(tmp_path: Path, entry: str, said: str) -> None:
    [problem] = problems(tmp_path, entry)
    assert said in problem
    assert "eren:secret" not in problem


def test_two_of_one_name(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, GOOD, GOOD)
    assert "is the name of another webhook" in problem
    assert problem.startswith(str(tmp_path))
