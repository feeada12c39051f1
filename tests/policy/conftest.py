"""What the tests of this room are made of: configurations, session facts, users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.policy.realm import SessionFacts
from twistedrelay.values.netrange import parse_ip

MakeConfig = Callable[..., Config]
MakeFacts = Callable[..., SessionFacts]
MakeUser = Callable[..., "FakeUser"]


@attrs.frozen
class FakeUser:
    """An account, as the users file gives it."""

    address: str
    send_as: tuple[str, ...] = ()


def _connector(**keys: Any) -> dict[str, Any]:
    return {
        "bindings": ["0.0.0.0:25"],
        "remote_ip_ranges": ["0.0.0.0/0", "::/0"],
        "fqdn": "relay.akkaya.local",
        "permission_groups": ["AnonymousUsers"],
        **keys,
    }


@pytest.fixture
def make_config() -> MakeConfig:
    """A configuration from receive connectors (keys that differ from an ordinary one) and other top-level keys."""

    def make(connectors: dict[str, dict[str, Any]] | None = None, **keys: Any) -> Config:
        return Config.model_validate(
            {
                "server": {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": "/var/lib/twistedrelay"},
                "accepted_domains": {"akkaya.local": {"next_hop": "mailbox.akkaya.local:25"}},
                "receive_connectors": {
                    name: _connector(**given) for name, given in ({"Default Frontend": {}} if connectors is None else connectors).items()
                },
                **keys,
            }
        )

    return make


@pytest.fixture
def make_facts(make_config: MakeConfig) -> MakeFacts:
    """The facts of a session on a connector with the given keys."""

    def make(peer: str = "192.168.1.30", connector: ReceiveConnector | None = None, **keys: Any) -> SessionFacts:
        chosen = connector or make_config({"Default Frontend": keys}).receive_connectors["Default Frontend"]
        return SessionFacts("0123456789abcdef", "Default Frontend", chosen, parse_ip(peer), 50000, parse_ip("192.168.1.5"), 25)

    return make


@pytest.fixture
def make_user() -> MakeUser:
    """An account from its address and what else it may send as."""
    return FakeUser
