"""A configuration to work on, and how relayctl is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twistedrelay.relayctl.main import cli

RELAY_YAML = """\
server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: state}
accepted_domains:
  akkaya.local: {next_hop: "maildir:mail"}
receive_connectors:
  Default Frontend:
    bindings: ["0.0.0.0:25", "[::]:25"]
    permission_groups: [AnonymousUsers]
  Client Frontend:
    bindings: ["0.0.0.0:587"]
    auth_mechanism: [Tls, BasicAuth, BasicAuthRequireTLS]
    permission_groups: [ExchangeUsers]
  IP_Relay:
    bindings: ["0.0.0.0:25"]
    remote_ip_ranges: ["192.168.1.55", {range: "10.1.2.0/28", owner: "scanners", expires: 2099-06-30}]
    permission_groups: [AnonymousUsers]
    extended_rights: {Anonymous Logon: [Accept-Any-Recipient]}
  Old:
    enabled: false
    bindings: ["0.0.0.0:717"]
    permission_groups: [AnonymousUsers]
"""

Relayctl = Callable[..., Result]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """The configuration."""
    file = tmp_path / "relay.yaml"
    file.write_text(RELAY_YAML)
    (tmp_path / "state").mkdir()
    return file


@pytest.fixture
def relayctl(config_file: Path) -> Relayctl:
    """Calls relayctl with the configuration."""

    def call(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["--config", str(config_file), *arguments], input=stdin, prog_name="relayctl")

    return call
