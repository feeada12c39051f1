"""Objects and parameters that differ, in Exchange's terms."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from tests.net.relay import configuration
from twistedrelay.answers.diff.document import Change
from twistedrelay.answers.diff.objects import binding_changes, object_changes
from twistedrelay.config.changes import changes
from twistedrelay.config.schema import Config, Webhook
from twistedrelay.values.netrange import IPRange


def only(changes: list[Change]) -> Change:
    """The one change."""
    assert len(changes) == 1, changes
    return changes[0]


def changed(old: Config, new: Config) -> tuple[Any, ...]:
    """The one changed parameter."""
    change = only(object_changes(old, new))
    return change.kind, change.object, change.identity, change.parameter, change.old, change.new


def test_equal_configurations_do_not_differ() -> None:
    assert object_changes(configuration(), configuration()) == []
    assert binding_changes(configuration(), configuration()) == []


def test_a_parameter_of_a_connector() -> None:
    new = configuration({"Default Frontend": {"tarpit_interval": "7s"}})
    expected = ("changed", "ReceiveConnector", "Default Frontend", "tarpit_interval", "00:00:00", "00:00:07")
    assert changed(configuration(), new) == expected


def test_a_range_with_its_owner() -> None:
    new = configuration({"Default Frontend": {"remote_ip_ranges": [{"range": "10.0.0.1", "owner": "printer"}]}})
    change = only(object_changes(configuration(), new))
    assert (change.parameter, change.old, change.new) == (
        "remote_ip_ranges",
        ["0.0.0.0/0", "::/0"],
        [{"range": "10.0.0.1", "owner": "printer"}],
    )


def test_connectors_that_come_and_go_tell_what_was_set() -> None:
    old = configuration({"A": {}, "B": {"bindings": ["0.0.0.0:26"]}})
    new = configuration({"A": {}, "C": {"bindings": ["0.0.0.0:27"], "max_message_size": "1MB"}})
    added, removed = object_changes(old, new)
    assert (added.kind, added.identity, removed.kind, removed.identity) == ("added", "C", "removed", "B")
    assert added.new["bindings"] == ["0.0.0.0:27"]
    assert added.new["max_message_size"] == 1024 * 1024
    assert "max_hop_count" not in added.new
    assert [(one.kind, one.binding, one.connectors) for one in binding_changes(old, new)] == [
        ("opened", "0.0.0.0:27", ["C"]),
        ("closed", "0.0.0.0:26", ["B"]),
    ]


def test_disabling_the_last_connector_closes_its_binding() -> None:
    new = configuration({"Default Frontend": {"enabled": False}})
    assert [(one.kind, one.binding) for one in binding_changes(configuration(), new)] == [("closed", "0.0.0.0:25")]


def test_domains_send_connectors_server_transport_and_users() -> None:
    send = {"Internet": {"address_spaces": ["*"]}}
    old = configuration(send_connectors=send)
    assert changed(old, configuration(send_connectors={"Internet": {"address_spaces": ["*;5"]}}))[:4] == (
        *("changed", "SendConnector"),
        *("Internet", "address_spaces"),
    )
    assert only(object_changes(old, configuration(send_connectors=send, accepted_domains={}))).kind == "removed"
    assert changed(old, configuration(send_connectors=send, transport={"message_expiration_timeout": "3d"})) == (
        *("changed", "Transport", "", "message_expiration_timeout"),
        *("2.00:00:00", "3.00:00:00"),
    )
    assert changed(old, configuration(None, {"max_connections": 99}, send_connectors=send))[1:4] == ("Server", "", "max_connections")
    assert changed(old, configuration(send_connectors=send, users="/elsewhere"))[1:] == ("Users", "", "users", "", "/elsewhere")


def test_a_password_is_only_where_it_is() -> None:
    def sending(file: str) -> Config:
        login = {"username": "relay", "password_file": file}
        connector = {"address_spaces": ["*"], "smart_hosts": ["a:587"], "smart_host_auth_mechanism": "BasicAuth"}
        return configuration(send_connectors={"Internet": {**connector, "authentication_credential": login}})

    change = only(object_changes(sending("/a"), sending("/b")))
    assert change.new == {"username": "relay", "password_file": "/b"}


def test_passwords_of_checkers_are_not_shown() -> None:
    old, new = (configuration().model_copy(update={"credential_checkers": [f"memory:joe:{word}"]}) for word in ("secret", "other"))
    change = only(object_changes(old, new))
    assert (change.kind, change.parameter, change.old, change.new) == ("changed", "credential_checkers", ["memory:***"], ["memory:***"])


def test_paths_of_webhooks_are_not_shown() -> None:
    hooks = [Webhook(name="Desk", url=f"https://hooks.example/{word}", events=["FAIL"], secret_file="/s") for word in ("key", "other")]
    old, new = (configuration().model_copy(update={"webhooks": [each]}) for each in hooks)
    change = only(object_changes(old, new))
    assert (change.parameter, change.old, change.new) == ("url", "https://hooks.example/***", "https://hooks.example/***")


SECRET = "hunter2"
ADDRESS = f"https://joe:{SECRET}@h.example/p?key={SECRET}"

WHOLE = configuration(
    accepted_domains={"a.example": {"next_hop": "b:25", "recipients": {"file": "/r"}}},
    send_connectors={
        "Internet": {
            "address_spaces": ["*"],
            "smart_hosts": ["a:587"],
            "smart_host_auth_mechanism": "XOAuth2",
            "preset": "microsoft365",
            "authentication_credential": {"username": "u", "oauth": {"client_id": "c", "tenant": "t.example"}},
        }
    },
    certificates=[{"certificate": "c.pem", "private_key": "k.pem"}],
    oauth_providers=[{"issuer": "https://i.example", "audience": "a", "keys_url": "https://i.example/keys"}],
    acme={"directory_url": "https://ca.example/d", "http_listen": "0.0.0.0:80", "terms_of_service_agreed": True},
    system_messages=[{"dsn_code": "5.7.1", "text": "no"}],
    metrics={"listen": "127.0.0.1:9"},
    webhooks=[{"name": "h", "url": "https://h.example/", "events": ["FAIL"], "secret_file": "s"}],
    audit_exceptions=[{"code": "open-relay", "reason": "meant"}],
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of every model below, by the way to it."""
    if isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from places(getattr(value, key), (*path, key))
    elif isinstance(value, dict) and value and all(isinstance(item, BaseModel) for item in value.values()):
        for name, item in value.items():
            yield from places(item, (*path, name))
    elif isinstance(value, list) and value and all(isinstance(item, BaseModel) for item in value):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))
    else:
        yield path


def replaced(value: Any, path: tuple[Any, ...], make: Callable[[Any], Any]) -> Any:
    """The same with another value at a place."""
    if not path:
        return make(value)
    step, *rest = path
    if isinstance(value, BaseModel):
        return value.model_copy(update={step: replaced(getattr(value, step), tuple(rest), make)})
    items = dict(value) if isinstance(value, dict) else list(value)
    items[step] = replaced(value[step], tuple(rest), make)
    return items


def other(value: Any) -> Any:
    """Another value of its kind; one that holds a secret, where that can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 60
    if isinstance(value, list):
        return [*value, ADDRESS] if all(isinstance(item, str) for item in value) else value[1:]
    if isinstance(value, dict):
        return {**value, "x": ADDRESS}
    if isinstance(value, IPRange):
        return IPRange.parse("192.0.2.1")
    return ADDRESS if isinstance(value, str) else datetime.date(2030, 1, 1) if value is None else None


@pytest.mark.parametrize("path", list(places(WHOLE)), ids=lambda path: ".".join(map(str, path)))
def test_every_key_is_compared_and_none_tells_a_secret(path: tuple[Any, ...]) -> None:
    new = replaced(WHOLE, path, other)
    for old, now in ((WHOLE, new), (new, WHOLE)):
        told, shown = changes(old, now), object_changes(old, now)
        assert told, path
        assert shown, path
        assert SECRET not in repr((told, shown))
