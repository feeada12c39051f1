"""Tests for L{twistedrelay.answers.doubts}, through files."""

from __future__ import annotations

from pathlib import Path

import pytest

from twistedrelay.answers.check import check, load_checked
from twistedrelay.answers.doubts import doubts
from twistedrelay.config.schema import Config

HEAD = """\
server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: state}
receive_connectors:
  Scanners:
    permission_groups: [AnonymousUsers, ExchangeUsers]
"""
EVERYBODY = '    bindings: ["0.0.0.0:2525"]\n'
DEVICES = EVERYBODY + "    remote_ip_ranges: [10.1.2.0/24, 2001:db8::/64]\n"


def findings(tmp_path: Path, where: str, setting: str) -> list[str]:
    file = tmp_path / "relay.yaml"
    file.write_text(HEAD + where + setting)
    load_checked(str(file))
    return [str(found).removeprefix(f"{file}:").partition(": receive_connectors.Scanners.")[2] for found in check(str(file))]


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("tls_minimum_version: TLSv1\n    tls_cipher_profile: Old", "tls_minimum_version: TLSv1 is broken"),
        ("tls_minimum_version: TLSv1.1\n    tls_cipher_profile: Old", "tls_minimum_version: TLSv1.1 is broken"),
        ("tls_cipher_profile: Old", "tls_cipher_profile: Old has broken ciphers"),
        ("auth_mechanism: [Tls, BasicAuth]", "auth_mechanism: BasicAuth without BasicAuthRequireTLS"),
        ("bare_linefeed_rejection_enabled: false", "bare_linefeed_rejection_enabled: false is for devices"),
    ],
)
def test_what_is_for_devices_is_doubted_for_everybody(tmp_path: Path, setting: str, found: str) -> None:
    [told] = findings(tmp_path, EVERYBODY, f"    {setting}\n")
    assert told.startswith(found)
    assert findings(tmp_path, DEVICES, f"    {setting}\n") == []
    assert findings(tmp_path, '    bindings: ["127.0.0.1:2525", "[::1]:2525"]\n', f"    {setting}\n") == []
    assert findings(tmp_path, EVERYBODY + "    enabled: false\n", f"    {setting}\n") == []


def test_many_private_addresses_that_relay_are_doubted(tmp_path: Path) -> None:
    setting = "    extended_rights: {Anonymous Logon: [Accept-Any-Recipient]}\n"
    [told] = findings(tmp_path, EVERYBODY + "    remote_ip_ranges: [10.0.0.0/8]\n", setting)
    assert told.startswith("extended_rights: an open relay")
    assert findings(tmp_path, DEVICES, setting) == []
    assert findings(tmp_path, '    bindings: ["127.0.0.1:2525", "[::1]:2525"]\n', setting) == []


def test_ranges_that_are_over(tmp_path: Path) -> None:
    ranges = "    remote_ip_ranges: [10.0.0.1, {range: 10.0.0.2, expires: 2020-02-29}, {range: 10.0.0.3, expires: 2999-12-31}]\n"
    assert findings(tmp_path, EVERYBODY + ranges, "") == [
        "remote_ip_ranges: 10.0.0.2 expired on 2020-02-29: renew it, or take it out; it has no effect"
    ]


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("max_header_size: 5MB", "max_header_size: is 5242880 octets"),
        ("message_rate_limit: 5\n    message_rate_source: None", "message_rate_limit: has no effect"),
        ("xclient_from: [10.0.0.0/8]", "xclient_from: 10.0.0.0/8 lets 16777216 addresses"),
        ("proxy_protocol_from: ['::/0']", "proxy_protocol_from: ::/0 lets "),
    ],
)
def test_what_is_doubted_for_anybody(tmp_path: Path, setting: str, found: str) -> None:
    [told] = findings(tmp_path, DEVICES, f"    {setting}\n")
    assert told.startswith(found)


def test_externally_secured_for_everybody_is_an_open_relay(tmp_path: Path) -> None:
    setting = "    auth_mechanism: [ExternalAuthoritative]\n"
    file = HEAD.replace("AnonymousUsers, ExchangeUsers", "ExchangeServers")
    (tmp_path / "relay.yaml").write_text(file + EVERYBODY + setting)
    [told] = check(str(tmp_path / "relay.yaml"))
    assert "an open relay" in str(told)


def test_cram_md5_is_doubted() -> None:
    connector = {"bindings": ["127.0.0.1:25"], "permission_groups": ["ExchangeUsers"], "auth_mechanism": ["Tls", "CramMd5"]}
    server = {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": "state"}
    [told] = doubts(Config.model_validate({"server": server, "receive_connectors": {"A": connector}}))
    assert told.path == ("receive_connectors", "A", "auth_mechanism")
    assert "clear text" in told.text


def test_tls_for_who_logs_in_leaves_nothing_to_doubt(tmp_path: Path) -> None:
    for setting in ("require_tls: true", "implicit_tls: true"):
        assert findings(tmp_path, EVERYBODY, f"    auth_mechanism: [Tls, BasicAuth]\n    {setting}\n") == []
