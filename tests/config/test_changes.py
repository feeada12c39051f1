"""What is different between two configurations, and what a relay that runs can make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from twistedrelay.config.changes import changes, in_place
from twistedrelay.config.load import load
from twistedrelay.config.schema import Config, Webhook

BASE: dict[str, Any] = {
    "server": {"name": "EXC", "fqdn": "relay.example", "state_directory": "state"},
    "accepted_domains": {"a.example": {"next_hop": "mx.a.example:25"}},
    "receive_connectors": {"A": {"bindings": ["0.0.0.0:25"], "permission_groups": ["AnonymousUsers"]}},
    "send_connectors": {
        "Out": {
            "address_spaces": ["*"],
            "preset": "google",
            "smart_host_auth_mechanism": "XOAuth2",
            "authentication_credential": {"username": "u@a.example", "oauth": {"client_id": "c", "client_secret_file": "s"}},
        }
    },
}


def config(tmp_path: Path, **sections: dict[str, Any]) -> Config:
    """The base with other keys."""
    (tmp_path / "relay.yaml").write_text(yaml.safe_dump({**BASE, **{key: {**BASE.get(key, {}), **more} for key, more in sections.items()}}))
    return load(tmp_path / "relay.yaml")


def of_connector(**keys: Any) -> dict[str, dict[str, Any]]:
    return {"A": {**BASE["receive_connectors"]["A"], **keys}}


@pytest.mark.parametrize(
    ("section", "more", "expected"),
    [
        ("server", {"name": "EXC"}, []),
        ("server", {"max_connections": 100}, ["server.max_connections: 20000 -> 100"]),
        ("transport", {"message_retry_interval": "1h"}, ["transport.message_retry_interval: 5m -> 1h"]),
        ("receive_connectors", of_connector(max_message_size="1MB"), ["receive connector A: max_message_size: 36MB -> 1MB"]),
        ("receive_connectors", of_connector(require_tls=True), ["receive connector A: require_tls: false -> true"]),
        ("receive_connectors", of_connector(message_rate_limit=5), ["receive connector A: message_rate_limit: none -> 5"]),
        ("receive_connectors", of_connector(bindings=["0.0.0.0:26"]), ["receive connector A: bindings: +0.0.0.0:26, -0.0.0.0:25"]),
        (
            "receive_connectors",
            of_connector(remote_ip_ranges=["10.0.0.1", {"range": "10.0.0.2", "owner": "x"}]),
            ["receive connector A: remote_ip_ranges: +10.0.0.1, +{range: 10.0.0.2, owner: x}, -0.0.0.0-255.255.255.255, -::/0"],
        ),
        ("accepted_domains", {"b.example": {"domain_type": "ExternalRelay"}}, ["accepted domain b.example: added"]),
    ],
)
def test_what_is_different(tmp_path: Path, section: str, more: dict[str, Any], expected: list[str]) -> None:
    assert list(changes(config(tmp_path), config(tmp_path, **{section: more}))) == expected


def test_added_removed_and_moved(tmp_path: Path) -> None:
    two = {"B": {"bindings": ["0.0.0.0:26"], "permission_groups": ["AnonymousUsers"]}}
    both = config(tmp_path, receive_connectors=two)
    assert changes(both, config(tmp_path)) == ("receive connector B: removed",)
    turned = both.model_copy(update={"receive_connectors": dict(reversed(both.receive_connectors.items()))})
    assert changes(both, turned) == ("receive connectors: in another order",)


def test_what_is_long_is_cut(tmp_path: Path) -> None:
    many = config(tmp_path, receive_connectors=of_connector(remote_ip_ranges=[f"10.0.{number}.1" for number in range(200)]))
    (line,) = changes(config(tmp_path), many)
    assert len(line) < 300 and line.endswith(" ...")


def test_what_only_a_start_reads_stays(tmp_path: Path) -> None:
    current = config(tmp_path)
    wanted = config(tmp_path, server={"state_directory": "elsewhere", "control_socket": "x", "max_connections": 50})
    used, waiting = in_place(current, wanted)
    assert waiting == ("server.state_directory", "server.control_socket")
    assert changes(current, used) == ("server.max_connections: 20000 -> 50",)
    credential = used.send_connectors["Out"].authentication_credential
    assert credential is not None and credential.oauth is not None
    assert credential.oauth.refresh_token_file == str(tmp_path / "state/tokens/Out")


def test_a_users_file_that_is_named_is_used_whatever_becomes_of_the_state_directory(tmp_path: Path) -> None:
    (tmp_path / "relay.yaml").write_text(yaml.safe_dump({**BASE, "users": "elsewhere/users"}))
    wanted = load(tmp_path / "relay.yaml")
    assert in_place(config(tmp_path), wanted)[0].users == str(tmp_path / "elsewhere/users")


def test_acme_waits(tmp_path: Path) -> None:
    acme = {"directory_url": "https://acme.example/d", "http_listen": "0.0.0.0:80", "terms_of_service_agreed": True}
    used, waiting = in_place(config(tmp_path), config(tmp_path, acme=acme))
    assert (used.acme, waiting) == (None, ("acme",))


def test_passwords_of_checkers_are_not_told(tmp_path: Path) -> None:
    """They stand in their descriptions, and what changes goes to the log and to whoever reloads."""
    checkers = (["memory:joe:secret", "file:/etc/logins", "anonymous"], ["memory:joe:other", "file:/etc/others"])
    old, new = (config(tmp_path).model_copy(update={"credential_checkers": each}) for each in checkers)
    assert changes(old, new) == ("credential_checkers: +memory:***, +file:/etc/others, -memory:***, -file:/etc/logins, -anonymous",)


def test_the_paths_of_webhooks_are_not_told(tmp_path: Path) -> None:
    hooks = [Webhook(name="Desk", url=f"https://hooks.example/{word}", events=["FAIL"], secret_file="/s") for word in ("key", "other")]
    old, new = (config(tmp_path).model_copy(update={"webhooks": [each]}) for each in hooks)
    shown = "{name: Desk, url: https://hooks.example/***, events: [FAIL], secret_file: /s}"
    assert changes(old, new) == (f"webhooks: +{shown}, -{shown}",)
