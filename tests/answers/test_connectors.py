"""What is shown of a receive connector."""

from __future__ import annotations

import json

from twistedrelay.answers.connectors import connector_properties
from twistedrelay.config.schema import Config, ReceiveConnector


def test_every_parameter_can_be_shown_as_json() -> None:
    keys = ("remote_ip_ranges", "proxy_protocol_from", "health_probe_from", "xclient_from")
    lists = {key: ["10.1.2.0/24", "::1"] for key in keys}
    connector = {"bindings": ["[::1]:25"], "permission_groups": ["AnonymousUsers"], "message_rate_limit": "unlimited", **lists}
    server = {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": "state"}
    config = Config.model_validate({"server": server, "receive_connectors": {"A": connector}})
    shown = json.loads(json.dumps(connector_properties(config, "A")))
    assert set(shown) >= set(ReceiveConnector.model_fields)
    assert {key: shown[key] for key in lists} == lists
    assert shown["message_rate_limit"] == "unlimited"
    assert shown["max_future_release_interval"] == "7.00:00:00"
