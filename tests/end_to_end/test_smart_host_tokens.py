"""Logins by token at a smart host that checks each token, and tokens that end under way: all mail arrives, none returns."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.tokenserver import TokenServer
from tests.network import PATIENCE, eventually

USER = "relay@example.org"


@attrs.frozen
class Cloud:
    """A provider: a smart host and a token endpoint; a mailbox server for reports; and how to make the relay that uses them."""

    outside: Sink
    tokens: TokenServer
    mailbox: Sink
    secret: Path
    make: Callable[..., Relay]

    def send(self, relay: Relay, *numbers: int) -> None:
        """Submit a message to each of these recipients."""
        for number in numbers:
            relay.submit([f"user{number}@cloud.example"])

    def rest(self, relay: Relay) -> None:
        """Wait until all was delivered, then end the sessions, so that the next message needs a login."""
        eventually(relay.is_empty, "nothing waits")
        self.outside.cut()

    @property
    def arrived(self) -> set[str]:
        """Who got a message."""
        return {message.recipients[0].partition("@")[0] for message in list(self.outside.delivered)}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A L{Cloud} that offers both mechanisms."""
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(authority.cert_pem.bytes())
    context = server_context(authority, "localhost")
    with Sink(tls=context) as outside, TokenServer(context) as tokens, Sink() as mailbox:
        secret = tmp_path / "secret"
        secret.write_text(tokens.client_secret + "\n")
        outside.mechanisms = ["LOGIN", "XOAUTH2"]
        outside.bearer = lambda user, token: user == USER and tokens.is_good(token)

        def make(environment: Mapping[str, str] | None = None, **oauth: Any) -> Relay:
            configuration, ports = article(mailbox.hop)
            endpoints = {"token_url": tokens.url(), "device_authorization_url": tokens.url("device"), "ca_file": str(trusted)}
            configuration["send_connectors"] = {
                "Cloud": {
                    "address_spaces": ["*"],
                    "preset": "microsoft365",
                    "smart_hosts": [outside.hop],
                    "tls_domain": "localhost",
                    "message_rate_limit": "unlimited",
                    "authentication_credential": {"username": USER, "oauth": {"client_id": tokens.client_id, **endpoints, **oauth}},
                }
            }
            relay = Relay(configuration, ports, environment={"SSL_CERT_FILE": str(trusted), **(environment or {})})
            (relay.state / "tokens").mkdir(parents=True)
            return relay

        yield Cloud(outside, tokens, mailbox, secret, make)


def grant(cloud: Cloud, relay: Relay) -> Path:
    """Give the relay a refresh token; its file."""
    file = relay.state / "tokens/Cloud"
    file.write_text(cloud.tokens.grant() + "\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_that_ends_under_way(cloud: Cloud, mechanism: str) -> None:
    """By refresh tokens that change each time.  The provider forgets the access token although it said that it lasts an hour."""
    cloud.outside.mechanisms = ["LOGIN", mechanism]
    cloud.tokens.rotating = True
    relay = cloud.make()
    file = grant(cloud, relay)
    first = file.read_text()
    with relay:
        cloud.send(relay, *range(8))
        cloud.rest(relay)
        assert len(cloud.arrived) == 8
        cloud.tokens.expire()
        cloud.send(relay, *range(8, 16))
        eventually(lambda: len(cloud.arrived) == 16, "the others arrive, with a new token")
        eventually(relay.is_empty, "nothing waits")
        output = relay.output()
        assert relay.listed("queue", "list") == [] or all(row["message_count"] == 0 for row in relay.listed("queue", "list"))
        refused = [login for login in cloud.outside.logins if not cloud.tokens.is_good(login.password)]
        assert {login.mechanism for login in cloud.outside.logins} == {mechanism}
        assert all(login.secure for login in cloud.outside.logins)
        assert len({login.password for login in refused}) == 1
        assert len(cloud.tokens.requests) == 2
        assert len(cloud.outside.delivered) == 16
        assert cloud.mailbox.delivered == []
        assert file.read_text() != first
        assert file.read_text().strip() in cloud.tokens.refresh_tokens
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not any(login.password in output for login in cloud.outside.logins)
        assert "refresh-" not in output


def test_tokens_are_renewed_ahead_of_their_end(cloud: Cloud) -> None:
    """By client credentials, the secret being a systemd credential.  What is said of a token counts, not only that it is refused."""
    cloud.tokens.lifetime, cloud.tokens.grace = 2.0, PATIENCE
    service = {"CREDENTIALS_DIRECTORY": str(cloud.secret.parent)}
    oauth = {"grant_type": "client_credentials", "tenant": "contoso.example", "client_secret_credential": cloud.secret.name}
    with cloud.make(service, **oauth) as relay:
        for number in range(12):
            cloud.send(relay, number)
            cloud.rest(relay)
            time.sleep(0.3)
        eventually(lambda: len(cloud.arrived) == 12, "all arrive")
        eventually(relay.is_empty, "nothing waits")
    shown = len({login.password for login in cloud.outside.logins})
    assert 2 <= shown <= len(cloud.tokens.requests) <= 12  # one that was renewed is not shown where nothing comes any more
    assert len(cloud.outside.logins) == 12
    assert {request["grant_type"] for request in cloud.tokens.requests} == {"client_credentials"}
    assert cloud.mailbox.delivered == []


def test_a_revoked_grant_waits_for_a_person(cloud: Cloud) -> None:
    """The queue says what to do; the message goes once it is done, without a restart."""
    with cloud.make() as relay:
        cloud.send(relay, 1)
        [row] = eventually(lambda: [row for row in relay.queues(status="Retry") if row["last_error"]], "it waits")
        assert "relayctl send-connector authorize Cloud" in row["last_error"]
        grant(cloud, relay)
        eventually(lambda: cloud.arrived == {"user1"}, "it arrives")
        cloud.rest(relay)
        cloud.tokens.refresh_tokens.clear()
        cloud.tokens.expire()
        cloud.send(relay, 2)
        [row] = eventually(lambda: [row for row in relay.queues(status="Retry") if "invalid_grant" in row["last_error"]], "it waits")
        assert row["last_error"].startswith("454 4.7.0 The grant for the smart host is not valid any more; run: relayctl send-connector")
        assert "access." not in row["last_error"]
        cloud.tokens.polls = ["authorization_pending"]
        done = relay.relayctl("send-connector", "authorize", "Cloud")
        assert done.returncode == 0, done.stderr
        assert "ABCD-EFGH" in done.stdout
        eventually(lambda: cloud.arrived == {"user1", "user2"}, "it arrives")
        eventually(relay.is_empty, "nothing waits")
    assert cloud.mailbox.delivered == []


def test_too_many_connections_return_nothing(cloud: Cloud) -> None:
    """What Exchange Online says to a fourth connection."""
    busy = iter(range(4))
    cloud.outside.on("connect", lambda _: "432 4.3.2 Concurrent connections limit exceeded" if next(busy, None) is not None else None)
    relay = cloud.make()
    grant(cloud, relay)
    with relay:
        cloud.send(relay, *range(6))
        eventually(lambda: [row for row in relay.queues() if row["last_error"].startswith("432 4.3.2")], "the queue says why it waits")
        eventually(lambda: len(cloud.arrived) == 6, "all arrive")
        eventually(relay.is_empty, "nothing waits")
    assert cloud.mailbox.delivered == []
    assert len(cloud.outside.delivered) == 6
