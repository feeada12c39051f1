"""Tests for L{twistedrelay.config.keys} and L{twistedrelay.config.later}: every key is used, or an error that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from twistedrelay.config import keys, later
from twistedrelay.config.schema import Config

if TYPE_CHECKING:
    from conftest import Files

CONNECTOR = "  A:\n    bindings: ['0.0.0.0:25']\n    permission_groups: [AnonymousUsers]\n"


def test_unknown_keys_get_a_suggestion(files: Files) -> None:
    assert files.problems("recieve_connectors: {}\n") == [
        "relay.yaml:2: recieve_connectors: unknown key 'recieve_connectors'; did you mean 'receive_connectors'?"
    ]
    assert files.problems(f"receive_connectors:\n{CONNECTOR}    tarpit-intervall: 5s\n") == [
        "relay.yaml:6: receive_connectors.A.tarpit-intervall: unknown key 'tarpit-intervall'; did you mean 'tarpit_interval'?"
    ]
    assert files.problems("transport: {speed: high}\n")[0].startswith(
        "relay.yaml:2: transport.speed: unknown key 'speed'; allowed: queue_glitch_retry_count, "
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("RemoteIPRanges", "remote_ip_ranges"),
        ("-Bindings", "bindings"),
        ("authMechanism", "auth_mechanism"),
        ("TlsCertificateName", "tls_certificate_name"),
        ("RequireEHLODomain", "require_ehlo_domain"),
        ("MaxInboundConnectionPercentagePerSource", "max_inbound_connection_percentage_per_source"),
        ("remote-ip-ranges", "remote_ip_ranges"),
    ],
)
def test_names_of_exchange_get_the_key(files: Files, written: str, meant: str) -> None:
    assert files.problems(f"receive_connectors:\n{CONNECTOR}    {written}: x\n") == [
        (
            f"relay.yaml:6: receive_connectors.A.{written}: unknown key {written!r}; Exchange's names are written in snake_case here: "
            f"did you mean {meant!r}?"
        )
    ]


def test_a_value_of_an_unknown_key_is_not_shown(files: Files) -> None:
    problems = files.problems("""\
        send_connectors:
          Out:
            address_spaces: ["*"]
            smart_hosts: [a.example]
            smart_host_auth_mechanism: BasicAuth
            authentication_credential: {username: u, password_file: f, password: hunter2}
    """)
    assert problems == [
        "relay.yaml:7: send_connectors.Out.authentication_credential.password: unknown key 'password'; did you mean 'password_file'?"
    ]


@pytest.mark.parametrize("key", sorted(later.NOT_YET["transport"]))
def test_keys_of_later_versions_say_so(files: Files, key: str) -> None:
    assert files.problems(f"transport:\n  {key}: x\n") == [
        f"relay.yaml:3: transport.{key}: the key {key!r} is not there yet in this version; leave it out"
    ]


@pytest.mark.parametrize(
    ("text", "place", "key"),
    [
        ("plugins: []\n", "2: plugins", "plugins"),
        ("control_panel: {listen: '127.0.0.1:8025'}\n", "2: control_panel", "control_panel"),
        ("transport: {shadow_redundancy_enabled: false}\n", "2: transport.shadow_redundancy_enabled", "shadow_redundancy_enabled"),
        ("transport:\n  ShadowRedundancyEnabled: false\n", "3: transport.ShadowRedundancyEnabled", "ShadowRedundancyEnabled"),
    ],
)
def test_keys_of_later_versions_everywhere(files: Files, text: str, place: str, key: str) -> None:
    assert files.problems(text) == [f"relay.yaml:{place}: the key {key!r} is not there yet in this version; leave it out"]


@pytest.mark.parametrize("key", ["enable_auth_gssapi", "EnableAuthGSSAPI", "suppress_x_anonymous_tls", "transport_role", "Usage"])
def test_keys_without_a_place_say_why(files: Files, key: str) -> None:
    (problem,) = files.problems(f"receive_connectors:\n{CONNECTOR}    {key}: x\n")
    assert problem.startswith(f"relay.yaml:6: receive_connectors.A.{key}: the key {key!r} has no place here: ")


@pytest.mark.parametrize("word", [*later.VALUES["auth_mechanism"], "integrated"])
def test_mechanisms_without_a_place_say_why(files: Files, word: str) -> None:
    (problem,) = files.problems(f"receive_connectors:\n{CONNECTOR}    auth_mechanism: [Tls, {word}]\n")
    assert problem.startswith(f"relay.yaml:6: receive_connectors.A.auth_mechanism[1]: {word!r} has no place here: ")
    assert "; allowed: None, Tls, BasicAuth, BasicAuthRequireTLS, ExternalAuthoritative, " in problem


def test_a_value_that_is_written_otherwise_says_how(files: Files) -> None:
    (problem,) = files.problems("""\
        send_connectors:
          Out: {address_spaces: ["*"], smart_hosts: [a.example], smart_host_auth_mechanism: OAuthBearer}
    """)
    assert problem.startswith("relay.yaml:3: send_connectors.Out.smart_host_auth_mechanism: 'OAuthBearer'")
    assert "write XOAuth2: it uses XOAUTH2 or OAUTHBEARER, whichever the server offers" in problem


def test_a_wrong_word_gets_a_suggestion(files: Files) -> None:
    (problem,) = files.problems(f"receive_connectors:\n{CONNECTOR}    message_rate_source: user\n")
    assert problem == (
        "relay.yaml:6: receive_connectors.A.message_rate_source: 'user' is unknown; did you mean 'User'?; allowed: None, IPAddress, "
        "User, All"
    )


def test_a_key_without_a_value_is_an_error_and_an_empty_section_is_none(files: Files) -> None:
    assert files.problems(f"receive_connectors:\n{CONNECTOR}    comment:\nusers:\n") == [
        "relay.yaml:6: receive_connectors.A.comment: the key 'comment' has no value; give it one or leave the key out",
        "relay.yaml:7: users: the key 'users' has no value; give it one or leave the key out",
    ]
    assert files.load("receive_connectors:\n  # all commented out\nsend_connectors:\n").receive_connectors == {}


def test_no_key_is_both_there_and_not_there() -> None:
    models = {"": Config, **keys.SINGLE, **keys.NAMED}
    for section, model in models.items():
        missing = later.NOT_YET.get(section, frozenset()) | set(later.NO_PLACE.get(section, {}))
        assert not missing & set(model.model_fields)
        assert not later.NOT_YET.get(section, frozenset()) & set(later.NO_PLACE.get(section, {}))
        assert all(name == keys.snake_case(name) for name in missing)
