"""C{relayctl send-connector} on the file, against a token endpoint of our own."""

from __future__ import annotations

import http.client
import json
import os
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import Result

from tests.end_to_end.authority import server_context
from tests.end_to_end.tokenserver import TokenServer
from tests.relayctl.conftest import Relayctl
from twistedrelay.config.sending import OAuthClient
from twistedrelay.relayctl import authorization
from twistedrelay.values.oauth import OAuthError

AUTHORITY = trustme.CA()

SEND = """\
send_connectors:
  Internet:
    address_spaces: ["*"]
    max_message_size: unlimited
  Cloud:
    address_spaces: [cloud.example]
    preset: microsoft365
    authentication_credential:
      username: relay@example.org
      oauth: {client_id: relay-app, token_url: "%(token)s", device_authorization_url: "%(device)s", ca_file: ca.pem}
  Page:
    address_spaces: [page.example]
    preset: google
    authentication_credential:
      username: relay@example.org
      oauth: {client_id: relay-app, client_secret_file: secret, token_url: "%(token)s", ca_file: ca.pem}
  Itself:
    address_spaces: [itself.example]
    preset: microsoft365
    authentication_credential:
      username: relay@example.org
      oauth:
        client_id: relay-app
        grant_type: client_credentials
        tenant: contoso.example
        client_secret_credential: m365
        token_url: "%(token)s"
        ca_file: ca.pem
"""


@pytest.fixture
def endpoint(config_file: Path) -> Iterator[TokenServer]:
    """A token endpoint, and send connectors that use it."""
    with TokenServer(server_context(AUTHORITY, "localhost")) as server:
        text = SEND % {"token": server.url(), "device": server.url("device")}
        config_file.write_text(config_file.read_text() + text)
        config_file.with_name("ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
        config_file.with_name("secret").write_text("client secret\n")
        yield server


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sleeps between questions."""
    monkeypatch.setattr(authorization.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(authorization.by_device, "__defaults__", (lambda seconds: None, authorization.time.monotonic))


def _done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("endpoint")
def test_list(relayctl: Relayctl) -> None:
    lines = _done(relayctl("send-connector", "list")).splitlines()
    assert lines[0].split() == ["Identity", "AddressSpaces", "Enabled"]
    assert lines[2].split() == [r"EXCSERVER\Internet", "{*}", "True"]
    rows = json.loads(_done(relayctl("send-connector", "list", "--json")))
    assert rows[1]["smart_hosts"] == ["smtp.office365.com:587"]


@pytest.mark.usefixtures("endpoint")
def test_show(relayctl: Relayctl, config_file: Path) -> None:
    (row,) = json.loads(_done(relayctl("send-connector", "show", r"excserver\cloud", "--json")))
    assert (row["identity"], row["message_rate_limit"], row["max_outbound_connections"]) == (r"EXCSERVER\Cloud", 30, 3)
    oauth = row["authentication_credential"]["oauth"]
    assert oauth["authorized"] is False
    assert oauth["refresh_token_file"] == str(config_file.with_name("state") / "tokens/Cloud")
    assert "RequireTLS" in _done(relayctl("send-connector", "show", "Internet"))
    (row,) = json.loads(_done(relayctl("send-connector", "show", "Internet", "--json")))
    assert (row["max_message_size"], row["authentication_credential"]) == ("unlimited", None)


@pytest.mark.usefixtures("endpoint")
def test_an_unknown_name(relayctl: Relayctl) -> None:
    result = relayctl("send-connector", "show", "Clod")
    assert result.exit_code == 1
    assert "There is no send connector 'Clod'" in result.output
    assert "Cloud" in result.output


@pytest.mark.usefixtures("at_once")
def test_authorize_by_device_code(relayctl: Relayctl, endpoint: TokenServer, config_file: Path) -> None:
    endpoint.polls = ["authorization_pending", "slow_down", "authorization_pending"]
    output = _done(relayctl("send-connector", "authorize", "Cloud"))
    assert "https://login.example/device" in output
    assert "ABCD-EFGH" in output
    file = config_file.with_name("state") / "tokens/Cloud"
    assert file.read_text().strip() in endpoint.refresh_tokens
    assert file.read_text().strip() not in output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [request["grant_type"].rpartition(":")[2] for request in endpoint.requests] == ["device_code"] * 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
@pytest.mark.usefixtures("at_once", "endpoint")
def test_what_root_writes_belongs_to_the_relays_user(relayctl: Relayctl, config_file: Path) -> None:
    state = config_file.with_name("state")
    os.chown(state, 65534, 65534)
    _done(relayctl("send-connector", "authorize", "Cloud"))
    facts = [(state / name).stat() for name in ("tokens", "tokens/Cloud")]
    assert [(fact.st_uid, stat.S_IMODE(fact.st_mode)) for fact in facts] == [(65534, 0o700), (65534, 0o600)]


@pytest.mark.usefixtures("at_once")
def test_authorize_as_json(relayctl: Relayctl, endpoint: TokenServer) -> None:
    first, last = map(json.loads, _done(relayctl("send-connector", "authorize", "Cloud", "--json")).splitlines())
    assert (first["verification_uri"], first["user_code"], first["expires_in"]) == ("https://login.example/device", "ABCD-EFGH", 60)
    assert last["authorized"] is True


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("error", "text"), [("access_denied", "has said no"), ("expired_token", "run the command again")])
def test_a_refusal(relayctl: Relayctl, endpoint: TokenServer, config_file: Path, error: str, text: str) -> None:
    endpoint.polls = [error]
    result = relayctl("send-connector", "authorize", "Cloud")
    assert result.exit_code == 1
    assert text in result.output
    assert not (config_file.with_name("state") / "tokens").exists()


@pytest.mark.usefixtures("at_once")
def test_a_failing_server_is_asked_again(relayctl: Relayctl, endpoint: TokenServer) -> None:
    endpoint.answers = [(503, b"down"), (200, b"[]")]
    _done(relayctl("send-connector", "authorize", "Cloud"))
    assert len(endpoint.requests) == 3


@pytest.mark.usefixtures("endpoint")
def test_an_answer_that_is_no_http(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise http.client.BadStatusLine("SSH-2.0")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", broken)
    result = relayctl("send-connector", "authorize", "Cloud")
    assert result.exit_code == 1
    assert "the answer is no HTTP (BadStatusLine)" in result.output


def test_what_if(relayctl: Relayctl, endpoint: TokenServer) -> None:
    assert "tokens/Cloud" in _done(relayctl("send-connector", "authorize", "Cloud", "--what-if"))
    assert endpoint.requests == []


def test_authorize_by_page(endpoint: TokenServer, config_file: Path) -> None:
    client = OAuthClient(client_id="relay-app", token_url=endpoint.url(), authorization_url="https://a.example/auth?x=y", scope="mail")
    post = authorization.https_post(str(config_file.with_name("ca.pem")))
    pages = []

    def ask(page: str) -> str:
        pages.append(page)
        state = page.partition("state=")[2].partition("&")[0]
        return f"http://127.0.0.1:49999/?state={state}&code=good-code\n"

    assert authorization.by_page(client, "", post, ask).refresh in endpoint.refresh_tokens
    assert pages[0].startswith(
        "https://a.example/auth?x=y&response_type=code&client_id=relay-app&redirect_uri=http%3A%2F%2F127.0.0.1%3A49999%2F"
    )
    assert "code_challenge_method=S256" in pages[0]
    for brought in ("", "http://127.0.0.1:49999/?state=x&code=good-code", "http://127.0.0.1:49999/?error=access_denied", "http://[/"):
        with pytest.raises(OAuthError):
            authorization.by_page(client, "", post, lambda page, brought=brought: brought)


def test_a_wrong_address_is_said_to_be_one(relayctl: Relayctl, endpoint: TokenServer) -> None:
    result = relayctl("send-connector", "authorize", "Page", stdin="http://127.0.0.1:49999/\n")
    assert result.exit_code == 1
    assert "https://accounts.google.com/o/oauth2/v2/auth?access_type=offline&prompt=consent&response_type=code" in result.output
    assert "there is no code in that address" in result.output
    assert endpoint.requests == []


def test_an_application_that_signs_in_by_itself(relayctl: Relayctl, endpoint: TokenServer, config_file: Path) -> None:
    result = relayctl("send-connector", "authorize", "Itself")
    assert result.exit_code == 1
    assert "--client-secret-stdin" in result.output
    output = _done(relayctl("send-connector", "authorize", "Itself", "--client-secret-stdin", stdin="client secret\n"))
    assert "good for 60 minutes" in output
    result = relayctl("send-connector", "authorize", "Itself", "--client-secret-stdin", stdin="wrong secret\n")
    assert result.exit_code == 1
    assert "invalid_client" in result.output
    assert "wrong secret" not in result.output
    assert not (config_file.with_name("state") / "tokens").exists()


@pytest.mark.usefixtures("endpoint")
def test_what_cannot_be_authorized(relayctl: Relayctl, config_file: Path) -> None:
    result = relayctl("send-connector", "authorize", "Internet")
    assert (result.exit_code, "does not log in by OAuth" in result.output) == (1, True)
    config_file.with_name("ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    result = relayctl("send-connector", "authorize", "Cloud")
    assert (result.exit_code, "certificate verify failed" in result.output) == (1, True)
    config_file.with_name("state").rmdir()
    result = relayctl("send-connector", "authorize", "Cloud")
    assert (result.exit_code, "Start the relay once" in result.output) == (1, True)
