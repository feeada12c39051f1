"""Tests for L{twistedrelay.answers.ledger}: owners, totals, what nobody uses, what breaks if."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twistedrelay.answers.ledger import rows
from twistedrelay.answers.ledger.consequences import Thought, ThoughtError, changed, consequences
from twistedrelay.answers.ledger.ranges import Owners, is_restricted
from twistedrelay.answers.ledger.rows import page, totals
from twistedrelay.answers.ledger.unused import unused
from twistedrelay.config.load import load
from twistedrelay.config.schema import Config
from twistedrelay.config.users import User
from twistedrelay.observe.ledger.file import Extent
from twistedrelay.values.usage import Usage

DAY = 86400.0
NOW = 1_790_000_000.0
EXTENT = Extent(NOW - 400 * DAY, 0, 0)

CONFIGURATION = """
server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: state}
accepted_domains: {akkaya.local: {next_hop: "127.0.0.1:26"}}
receive_connectors:
  Default Frontend: {bindings: ["192.0.2.1:25"], permission_groups: [AnonymousUsers]}
  IP_Relay:
    bindings: ["192.0.2.1:25"]
    remote_ip_ranges:
      - {range: 10.1.2.0/28, owner: "scanners, building B", expires: 2027-06-30}
      - {range: 10.1.2.3, owner: the printer}
      - {range: 10.9.9.9, owner: nobody}
    permission_groups: [AnonymousUsers]
    extended_rights: {Anonymous Logon: [Accept-Any-Recipient]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "relay.yaml"
    file.write_text(CONFIGURATION)
    return load(str(file))


def usage(client: str, **more: Any) -> Usage:
    given: dict[str, Any] = {
        "connector": "IP_Relay",
        "local": "192.0.2.1:25",
        "helo": "printer.akkaya.local",
        "sender_domain": "akkaya.local",
        "first_seen": NOW - 10 * DAY,
        "last_seen": NOW - DAY,
        "sessions": 1,
        "messages": 90,
        "recipient_domains": ("customer.example",),
    }
    return Usage(client=client, **{**given, **more})


def test_the_most_specific_entry_owns_a_client(config: Config) -> None:
    owners = Owners(config)
    found = [owners.entry("IP_Relay", client) for client in ("10.1.2.3", "10.1.2.4", "10.2.0.0", "(others)", "10.1.2.0/24")]
    assert [entry.owner if entry else None for entry in found] == ["the printer", "scanners, building B", None, None, None]
    assert owners.entry("", "10.1.2.3") is None


def test_a_connector_with_another_name_keeps_its_clients(config: Config) -> None:
    rows = [usage("10.1.2.3", connector="Old_Relay"), usage("192.0.2.99", connector="Old_Relay")]
    found = unused(config, rows, [], NOW - 90 * DAY, EXTENT).unused
    assert [each.identity for each in found if each.connector == "IP_Relay"] == ["10.1.2.0/28", "10.9.9.9"]
    printer, stranger = page(config, rows, 0, EXTENT).rows
    assert (printer.range, printer.owner, stranger.range) == ("10.1.2.3", "the printer", "")


def test_a_connector_for_everybody_is_not_restricted(config: Config) -> None:
    assert (is_restricted(config, "IP_Relay"), is_restricted(config, "Default Frontend"), is_restricted(config, "x")) == (
        True,
        False,
        False,
    )


def test_a_row_has_its_owner_and_its_rate(config: Config) -> None:
    [row] = page(config, [usage("10.1.2.4")], 0, EXTENT).rows
    assert (row.owner, str(row.expires), row.range, row.shared) == ("scanners, building B", "2027-06-30", "10.1.2.0/28", False)
    assert row.messages_per_day == 10.0
    [row] = page(config, [usage("10.1.2.4", first_seen=NOW - 60, last_seen=NOW, messages=3)], 0, EXTENT).rows
    assert row.messages_per_day == 3.0


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("client", {"10.1.2.3": 180, "10.1.2.4": 90}),
        ("range", {"10.1.2.3": 180, "10.1.2.0/28": 90}),
        ("user", {"": 180, "eren": 90}),
        ("domain", {"akkaya.local": 270}),
        ("connector", {"IP_Relay": 270}),
        ("tls", {"none": 180, "TLSv1.2": 90}),
    ],
)
def test_totals(config: Config, by: str, expected: dict[str, int]) -> None:
    rows = [usage("10.1.2.3"), usage("10.1.2.3", user="eren", tls="TLSv1.2"), usage("10.1.2.4", helo="other")]
    found = totals(config, rows, by, EXTENT).totals
    assert {total.identity: total.messages for total in found} == expected
    assert [total.messages for total in found] == sorted(expected.values(), reverse=True)


def test_very_many_totals(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_TOTALS", 2)
    found = totals(config, [usage(f"10.1.2.{number}", messages=number) for number in range(1, 6)], "client", EXTENT)
    assert ([total.identity for total in found.totals], found.more) == (["10.1.2.5", "10.1.2.4"], 3)


def test_what_nobody_uses(config: Config) -> None:
    rows = [usage("10.1.2.3"), usage("10.1.2.4", last_seen=NOW - 100 * DAY), usage("10.1.2.3", user="Eren@akkaya.local")]
    users = [User("eren@akkaya.local"), User("dora@akkaya.local")]
    found = unused(config, rows, users, NOW - 90 * DAY, EXTENT)
    assert {(each.identity, each.owner, each.last_seen is None) for each in found.unused if each.connector != "Default Frontend"} == {
        ("10.1.2.0/28", "scanners, building B", False),
        ("10.9.9.9", "nobody", True),
        ("dora@akkaya.local", "", True),
    }
    assert found.notes == []
    [note] = unused(config, rows, users, NOW - 90 * DAY, Extent(NOW - 5 * DAY)).notes
    assert "what was used before is not known" in note


def broken(config: Config, rows: list[Usage], **thought: str) -> list[tuple[str, str, str]]:
    found = consequences(config, Thought(**thought), rows, NOW, EXTENT)
    assert found.looked_at == len(rows)
    return [(each.client, each.effect, each.new_connector) for each in found.affected]


def test_without_a_range(config: Config) -> None:
    rows = [usage("10.1.2.3"), usage("10.1.2.4", recipient_domains=("akkaya.local",)), usage("192.0.2.99", connector="Default Frontend")]
    assert broken(config, rows, without_range="10.1.2.0/24") == [
        ("10.1.2.3", "refused", "Default Frontend"),
        ("10.1.2.4", "changed", "Default Frontend"),
    ]
    assert broken(config, rows, without_range="10.1.2.3") == []  # the wider one holds it, too
    assert broken(config, rows, without_range="10.9.9.9", connector="ip_relay") == []


def test_without_a_connector_and_with_login_only(config: Config) -> None:
    rows = [usage("10.1.2.3", helo="(others)", sender_domain="(others)"), usage("198.51.100.0/24", connector="")]
    assert [effect for _, effect, _ in broken(config, rows, without_connector="IP_Relay")] == ["refused"]
    assert [effect for _, effect, _ in broken(config, rows, require_login="IP_Relay")] == ["refused"]


def test_with_a_later_tls(config: Config) -> None:
    rows = [usage("10.1.2.3", tls="TLSv1.2"), usage("10.1.2.4", tls="TLSv1.3"), usage("10.1.2.5")]
    assert broken(config, rows, minimum_tls="TLSv1.3") == [("10.1.2.3", "refused", "IP_Relay")]
    after = changed(changed(config, Thought(minimum_tls="TLSv1.3")), Thought(minimum_tls="TLSv1.2"))
    assert {connector.tls_minimum_version for connector in after.receive_connectors.values()} == {"TLSv1.3"}  # it is never lowered


@pytest.mark.parametrize(
    "thought",
    [
        {},
        {"without_range": "10.1.2.3", "minimum_tls": "TLSv1.3"},
        {"without_range": "203.0.113.0/24"},
        {"without_range": "nonsense"},
        {"minimum_tls": "SSLv3"},
        {"without_connector": "Nobody"},
        {"require_login": "Nobody"},
        {"without_range": "10.1.2.3", "connector": "Default Frontend"},
    ],
)
def test_what_cannot_be_thought_of(config: Config, thought: dict[str, str]) -> None:
    with pytest.raises(ThoughtError):
        changed(config, Thought(**thought))
