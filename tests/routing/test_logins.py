"""The login of a send connector as a value, and what is said of what it lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from twistedrelay.answers.check import check
from twistedrelay.config.load import load
from twistedrelay.config.schema import Config
from twistedrelay.routing.logins import login_of, login_problems
from twistedrelay.routing.router import Router
from twistedrelay.routing.tlspolicy import tls_policy
from twistedrelay.values.route import Login, Route, TLSPolicy, TokenSource

FILE = """\
server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}
accepted_domains: {akkaya.local: {next_hop: "mailbox.akkaya.local:25"}}
receive_connectors: {In: {bindings: ["127.0.0.1:2525"], permission_groups: [AnonymousUsers]}}
send_connectors:
  By file:
    address_spaces: [file.example]
    smart_hosts: [a.example]
    smart_host_auth_mechanism: BasicAuth
    authentication_credential: {username: u, password_file: secret}
  By credential:
    address_spaces: [credential.example]
    smart_hosts: [a.example]
    smart_host_auth_mechanism: BasicAuthRequireTLS
    authentication_credential: {username: u, password_credential: relay}
  By token:
    address_spaces: [token.example]
    preset: microsoft365
    authentication_credential: {username: u@a.example, oauth: {client_id: app, client_secret_credential: app, ca_file: ca.pem}}
  By itself:
    address_spaces: [itself.example]
    preset: microsoft365
    authentication_credential:
      username: u@a.example
      oauth: {client_id: app, grant_type: client_credentials, tenant: a.example, client_secret_file: app}
  None: {address_spaces: ["*"]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "relay.yaml"
    made.write_text(FILE)
    return made


@pytest.fixture
def config(file: Path) -> Config:
    return load(file)


def login(config: Config, name: str) -> Login | None:
    return login_of(name, config.send_connectors[name])


def test_passwords(config: Config, tmp_path: Path) -> None:
    assert login(config, "By file") == Login("u", str(tmp_path / "secret"), requires_tls=False)
    assert login(config, "By credential") == Login("u", "$CREDENTIALS_DIRECTORY/relay", requires_tls=True)
    assert login(config, "None") is None


def test_tokens(config: Config, tmp_path: Path) -> None:
    endpoint = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"
    assert login(config, "By token") == Login(
        "u@a.example",
        tokens=TokenSource(
            endpoint.format("organizations"),
            "app",
            "refresh_token",
            "$CREDENTIALS_DIRECTORY/app",
            str(tmp_path / "state/tokens/By token"),
            "https://outlook.office.com/SMTP.Send offline_access",
            str(tmp_path / "ca.pem"),
            "By token",
        ),
    )
    source = TokenSource(
        endpoint.format("a.example"),
        "app",
        "client_credentials",
        str(tmp_path / "app"),
        scope="https://outlook.office365.com/.default",
        connector="By itself",
    )
    assert login(config, "By itself") == Login("u@a.example", tokens=source)


def test_the_route_has_it_and_a_token_goes_to_nobody_else(config: Config) -> None:
    way = Router(config).way("token.example")
    assert isinstance(way, Route)
    assert way.login == login(config, "By token")
    assert way.tls == TLSPolicy("domain", "smtp.office365.com")
    connector = config.send_connectors["By token"].model_copy(update={"require_tls": False, "tls_auth_level": None, "tls_domain": ""})
    assert tls_policy(connector) == TLSPolicy("domain")


def test_packages_that_are_not_there(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert login_problems(config) == []
    there = importlib.util.find_spec

    def find_spec(name: str, *more: Any) -> Any:
        return None if name == "treq" else there(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    problems = login_problems(config)
    assert [problem.path[1] for problem in problems] == ["By token", "By itself"]
    assert problems[0].text == "XOAuth2 needs a package that is not there (treq); run: pip install 'twistedrelay[oauth]'"


def test_check_warns_of_secrets_that_are_not_there(file: Path, tmp_path: Path) -> None:
    found = {str(problem).partition("send_connectors.")[2] for problem in check(str(file))}
    assert f'"By file".authentication_credential.password_file: {tmp_path}/secret: No such file or directory' in found
    assert f'"By itself".authentication_credential.oauth.client_secret_file: {tmp_path}/app: No such file or directory' in found
    assert f'"By token".authentication_credential.oauth.ca_file: {tmp_path}/ca.pem: No such file or directory' in found
    assert len(found) == 3
