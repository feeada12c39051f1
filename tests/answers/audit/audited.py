"""Configurations to audit, and what is found in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from twistedrelay.answers.audit.case import Facts
from twistedrelay.answers.audit.examine import examine
from twistedrelay.answers.audit.finding import Finding
from twistedrelay.config.load import Loaded, load_with_places

NOW = 1_800_000_000.0
DAY = 86400.0


def configuration(connector: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A relay with one receive connector, C{IP_Relay}."""
    given = {"bindings": ["0.0.0.0:2525"], "permission_groups": ["AnonymousUsers"], **(connector or {})}
    return {
        "server": {"name": "EXCSERVER", "fqdn": "mail.akkaya.example", "state_directory": "state"},
        "receive_connectors": {"IP_Relay": given},
        **more,
    }


def relaying(*ranges: Any, **more: Any) -> dict[str, Any]:
    """The same, and these ranges may relay without a login."""
    rights = {"extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}
    return configuration({"remote_ip_ranges": list(ranges), **rights, **more})


def loaded(tmp_path: Path, given: dict[str, Any]) -> Loaded:
    """From a file."""
    file = tmp_path / "relay.yaml"
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    return load_with_places(file)


def found(tmp_path: Path, given: dict[str, Any], also: Sequence[Finding] = (), **facts: Any) -> list[Finding]:
    """All findings."""
    return examine(loaded(tmp_path, given), Facts(**{"now": NOW, **facts}), also)


def codes(tmp_path: Path, given: dict[str, Any], **facts: Any) -> list[str]:
    """Their codes."""
    return [each.code for each in found(tmp_path, given, **facts)]


def of(findings: Sequence[Finding], code: str) -> list[Finding]:
    """Those of a kind."""
    return [each for each in findings if each.code == code]
