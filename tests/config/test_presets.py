"""Presets of send connectors, and what a login must be."""

from __future__ import annotations

import pytest

from tests.config.conftest import Files
from tests.programs import ROOT
from twistedrelay.config.login_rules import token_file
from twistedrelay.config.presets import PRESETS
from twistedrelay.config.schema import Credential, OAuthClient, SendConnector

MICROSOFT = "preset: microsoft365\n"
OAUTH = "authentication_credential: {username: relay@example.org, oauth: {client_id: app}}\n"


def text(lines: str) -> str:
    return "send_connectors:\n  A b:\n    address_spaces: ['*']\n" + "".join(f"    {line}\n" for line in lines.splitlines())


def load(files: Files, lines: str) -> SendConnector:
    return files.load(text(lines)).send_connectors["A b"]


def problems(files: Files, lines: str) -> list[str]:
    found = files.problems(text(lines))
    return [problem.partition('send_connectors."A b".')[2].removeprefix("authentication_credential") for problem in found]


def test_microsoft365(files: Files) -> None:
    connector = load(files, MICROSOFT + OAUTH)
    assert [str(hop) for hop in connector.smart_hosts] == ["smtp.office365.com:587"]
    assert (connector.require_tls, connector.tls_auth_level, connector.tls_domain) == (True, "DomainValidation", "smtp.office365.com")
    assert connector.smart_host_auth_mechanism == "XOAuth2"
    assert (connector.max_outbound_connections, connector.message_rate_limit) == (3, 30)
    assert connector.authentication_credential is not None
    oauth = connector.authentication_credential.oauth
    assert oauth is not None
    assert oauth.token_url == "https://login.microsoftonline.com/organizations/oauth2/v2.0/token"
    assert oauth.device_authorization_url == "https://login.microsoftonline.com/organizations/oauth2/v2.0/devicecode"
    assert oauth.scope == "https://outlook.office.com/SMTP.Send offline_access"
    assert oauth.refresh_token_file == str(files.directory / "state/tokens/A b")


def test_microsoft365_with_client_credentials(files: Files) -> None:
    login = "{client_id: app, tenant: contoso.example, grant_type: client_credentials, client_secret_credential: m365}"
    connector = load(files, MICROSOFT + f"authentication_credential: {{username: u@x.example, oauth: {login}}}")
    assert connector.authentication_credential is not None
    oauth = connector.authentication_credential.oauth
    assert oauth is not None
    assert oauth.token_url == "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
    assert oauth.scope == "https://outlook.office365.com/.default"


def test_google(files: Files) -> None:
    connector = load(files, "preset: google\n" + OAUTH)
    assert [str(hop) for hop in connector.smart_hosts] == ["smtp.gmail.com:587"]
    assert (connector.smart_host_auth_mechanism, connector.message_rate_limit) == ("XOAuth2", None)
    assert connector.authentication_credential is not None
    oauth = connector.authentication_credential.oauth
    assert oauth is not None
    assert (oauth.token_url, oauth.scope) == ("https://oauth2.googleapis.com/token", "https://mail.google.com/")
    assert oauth.device_authorization_url == ""
    assert oauth.authorization_url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")


def test_google_with_an_app_password(files: Files) -> None:
    connector = load(files, "preset: google\nauthentication_credential: {username: u@example.org, password_file: app}")
    assert connector.smart_host_auth_mechanism == "BasicAuthRequireTLS"


def test_googles_relay_by_address(files: Files) -> None:
    connector = load(files, "preset: google\nsmart_hosts: ['smtp-relay.gmail.com:587']\nsmart_host_auth_mechanism: None")
    assert (connector.tls_domain, connector.tls_auth_level) == ("smtp-relay.gmail.com", "DomainValidation")


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ("max_outbound_connections: 1", "max_outbound_connections", 1),
        ("message_rate_limit: unlimited", "message_rate_limit", None),
        ("require_tls: false", "tls_auth_level", None),
        ("tls_auth_level: CertificateValidation", "tls_domain", ""),
        ("smart_hosts: ['a.example:587', 'b.example:587']\ntls_domain: a.example", "tls_domain", "a.example"),
        ("tls_domain: other.example", "tls_domain", "other.example"),
    ],
)
def test_what_is_given_wins(files: Files, given: str, key: str, value: object) -> None:
    assert getattr(load(files, MICROSOFT + OAUTH + given), key) == value


def test_given_endpoints_win(files: Files) -> None:
    login = "{client_id: app, token_url: 'https://a.example/t', scope: mine}"
    connector = load(files, MICROSOFT + f"authentication_credential: {{username: u@x.example, oauth: {login}}}")
    assert connector.authentication_credential is not None
    oauth = connector.authentication_credential.oauth
    assert oauth is not None
    assert (oauth.token_url, oauth.scope) == ("https://a.example/t", "mine")


def test_no_preset_changes_nothing(files: Files) -> None:
    connector = load(files, "comment: x")
    assert (connector.smart_hosts, connector.require_tls, connector.smart_host_auth_mechanism) == ([], False, "None")


def _login(oauth: str) -> str:
    return f"authentication_credential: {{username: u@x.example, oauth: {oauth}}}"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (MICROSOFT, "smart_host_auth_mechanism: XOAuth2 needs authentication_credential: {username: ..., oauth: {client_id: ...}}"),
        (MICROSOFT + "authentication_credential: {username: u}",
         ": needs exactly one of password_file, password_credential, oauth; there is none"),
        (MICROSOFT + "authentication_credential: {username: u, password_file: a, password_credential: b}",
         ": needs exactly one of password_file, password_credential, oauth; there is password_file and password_credential"),
        (MICROSOFT + "smart_host_auth_mechanism: XOAuth2\nauthentication_credential: {username: u, password_file: a}",
         ".password_file: is not used by XOAuth2, which needs oauth: {client_id: ...}; for a password write BasicAuthRequireTLS"),
        (MICROSOFT + OAUTH + "smart_host_auth_mechanism: BasicAuthRequireTLS",
         ".oauth: is not used by BasicAuthRequireTLS; write smart_host_auth_mechanism: XOAuth2"),
        (MICROSOFT + "authentication_credential: {username: u, password_credential: ../x}",
         ".password_credential: '../x' is no systemd credential; allowed: the name in LoadCredential=NAME:FILE, without a path"),
        (MICROSOFT + _login("{client_id: a, grant_type: client_credentials, tenant: t}"),
         ".oauth: client_credentials needs client_secret_file or client_secret_credential"),
        (MICROSOFT + _login("{client_id: a, grant_type: client_credentials, client_secret_file: f}"),
         ".oauth: client_credentials needs tenant: the directory (tenant) id of your organisation"),
        (MICROSOFT + _login("{client_id: a, tenant: a/b}"), ".oauth.tenant: 'a/b' is no tenant; allowed: its id, or one of its domains"),
        ("preset: google\n" + _login("{client_id: a, tenant: b}"), ".oauth.tenant: is only used with preset: microsoft365"),
        ("preset: google\n" + _login("{client_id: a, grant_type: client_credentials, client_secret_file: f}"),
         ".oauth.grant_type: google has no client_credentials for mail; use refresh_token"),
        (MICROSOFT + _login("{client_id: a, client_secret_file: f, client_secret_credential: g}"),
         ".oauth.client_secret_credential: stands beside client_secret_file; leave one out"),
        (MICROSOFT + _login("{client_id: ''}"), ".oauth.client_id: is empty; allowed: the application's id at the provider"),
        (MICROSOFT + _login("{client_id: a, token_url: 'http://a.example/'}"),
         ".oauth.token_url: 'http://a.example/' is not safe; allowed: https://..."),
        ("smart_hosts: [a.example]\nsmart_host_auth_mechanism: XOAuth2\n" + OAUTH,
         ".oauth.token_url: is required, https://..., where no preset gives it"),
    ],
)  # fmt: skip
def test_wrong_logins(files: Files, lines: str, problem: str) -> None:
    assert problems(files, lines) == [problem]


@pytest.mark.parametrize(
    ("name", "file"), [("Internet", "Internet"), ("To A/B", "To A%2FB"), ("..", "%2E."), (".x", "%2Ex"), ("é%", "%C3%A9%25")]
)
def test_the_file_of_a_refresh_token(name: str, file: str) -> None:
    assert token_file(name) == file


def test_all_of_it_is_documented() -> None:
    manual = (ROOT / "docs/smart-hosts.rst").read_text(encoding="utf-8")
    for key in (*Credential.model_fields, *OAuthClient.model_fields):
        assert f"``{key}``" in manual, key
    for name, preset in PRESETS.items():
        assert f"``{name}``" in manual
        assert f"``{preset.host}:587``" in manual
        assert all(f"``{scope}``" in manual for scope in preset.scopes.values())
