"""Tests for L{twistedrelay.policy.external.ldap_settings}."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.programs import ROOT
from twistedrelay.config.problems import ConfigError
from twistedrelay.policy.external.ldap_settings import LDAPSettings, load_settings

SEARCHING = {"bind_dn": "cn=relay,dc=x", "password_file": "password", "base": "ou=people,dc=x", "filter": "(uid={user})"}
BINDING = {"bind_dn_template": "uid={user},ou=people,dc=x"}


def loaded(tmp_path: Path, **keys: Any) -> LDAPSettings:
    """What a file with these keys says."""
    (tmp_path / "password").write_text("geheim\n")
    (tmp_path / "ca.pem").write_text("certificate\n")
    file = tmp_path / "ldap.yaml"
    file.write_text(yaml.safe_dump({"urls": ["ldaps://ldap.example.org"], **keys}, sort_keys=False).replace("null", ""))
    return load_settings(str(file))


def test_search_and_bind(tmp_path: Path) -> None:
    settings = loaded(tmp_path, **SEARCHING, tls_ca_file="ca.pem", domain="Example.ORG", timeout="2s", start_tls="false")
    assert settings.password_file == str(tmp_path / "password")
    assert settings.tls_ca_file == str(tmp_path / "ca.pem")
    assert (settings.domain, settings.timeout, settings.scope) == ("example.org", 2.0, "sub")
    assert settings.send_as_attributes == ["mail", "proxyAddresses"]


@pytest.mark.parametrize("template", ["uid={user},ou=people,dc=x", "{user}@example.org", "{login}"])
def test_logins_bind_by_themselves(tmp_path: Path, template: str) -> None:
    assert loaded(tmp_path, bind_dn_template=template).bind_dn_template == template


@pytest.mark.parametrize("url", ["ldaps://a", "ldap://a:1389", "ldaps://[::1]:636", "ldapi://%2Frun%2Fslapd%2Fldapi", "ldap://127.0.0.1/"])
def test_servers(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, **BINDING, urls=[url]).urls == [url]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"urls": []}, "'urls' needs at least one server"),
        ({"urls": ["http://a"], **BINDING}, "'http://a' is no server; allowed: ldaps://host"),
        ({"urls": ["ldap://a/dc=x??sub"], **BINDING}, "is no server"),
        ({"urls": ["ldap://user:secret@a"], **BINDING}, "is no server"),
        ({"urls": ["ldap://a:x"], **BINDING}, "is no server"),
        ({"urls": ["ldap://a"], "start_tls": "false", **BINDING}, "'ldap://a' without start_tls would send passwords in clear text"),
        ({}, "exactly one of 'bind_dn_template' .* and 'bind_dn' .* is needed"),
        ({**SEARCHING, **BINDING}, "exactly one of"),
        ({"bind_dn": "cn=relay,dc=x"}, "'bind_dn' needs 'password_file', 'base' and 'filter'"),
        ({**SEARCHING, "filter": "(uid=cengiz)"}, "every login would find the same entry"),
        ({"bind_dn_template": "cn=relay,dc=x"}, "every login would be the same entry"),
        ({**BINDING, "base": "dc=x"}, "'base' and 'filter' go together"),
        ({**BINDING, "group_filter": "(member={dn})"}, "'group_filter' needs 'group_base'"),
        ({**SEARCHING, "filter": "(uid={name})"}, r"placeholder \{name\} is unknown; allowed: \{login\}, \{user\}, \{domain\}"),
        ({**SEARCHING, "filter": "(uid={user)"}, "a brace stands alone"),
        ({**BINDING, "timeout": "1h"}, "timeout"),
        ({**BINDING, "scope": "tree"}, "'tree' is unknown; allowed: base, one, sub"),
        ({**BINDING, "domain": "a b"}, "no domain name"),
        ({**BINDING, "tls_ca_file": "missing.pem"}, "missing.pem: No such file"),
        ({**BINDING, "bind_password": "x"}, "the key 'bind_password' is unknown"),
        ({**BINDING, "base": None}, "the key 'base' has no value"),
    ],
)
def test_mistakes(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        loaded(tmp_path, **keys)
    assert all(problem.file == str(tmp_path / "ldap.yaml") and problem.line for problem in caught.value.problems)


def test_every_mistake_at_once_each_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ldap.yaml"
    file.write_text("urls:\n- http://a\n- ldaps://b\nbind_dn_template: '{user}@x.org'\nfliter: x\nscope: all\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(str(file))
    assert sorted((problem.line, problem.path[0]) for problem in caught.value.problems) == [(2, "urls"), (5, "fliter"), (6, "scope")]


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"- a\n", "holds a list"), (b"a: [\n", "bad YAML"), (b"\xff", "UTF-8")])
def test_files_that_are_none(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "ldap.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_settings(str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(str(tmp_path / "missing"))


def test_the_environment_and_the_defaults_send_nothing_in_clear_text(tmp_path: Path) -> None:
    settings = loaded(tmp_path, **BINDING)
    assert settings.start_tls
    assert settings.group_base == ""
    local = loaded(tmp_path, **BINDING, urls=["ldap://127.0.0.1", "ldap://localhost", "ldap://[::1]"], start_tls="false")
    assert not local.start_tls


def documented() -> list[str]:
    """The examples of the manual."""
    text = (ROOT / "docs/authentication.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)", text)
    return [textwrap.dedent(block) for block in blocks]


@pytest.mark.parametrize("example", [block for block in documented() if block.startswith("# ldap.yaml")])
def test_the_examples_of_the_manual_are_good(tmp_path: Path, example: str) -> None:
    for name in ("password", "ca.pem"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "ldap.yaml").write_text(example)
    assert load_settings(str(tmp_path / "ldap.yaml")).urls


def test_the_manual_has_all_keys() -> None:
    text = (ROOT / "docs/authentication.rst").read_text(encoding="utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("``"))
    assert [key for key in LDAPSettings.model_fields if f"``{key}``" not in rows] == []
    assert len([block for block in documented() if block.startswith("# ldap.yaml")]) == 3
