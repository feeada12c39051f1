"""Findings about ranges that relay, and about what the ledger says of them."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import pytest

from tests.answers.audit.audited import DAY, NOW, codes, configuration, found, of, relaying
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.values.usage import Usage

ELSEWHERE = "10.1.2.3"


def day(offset: int) -> str:
    return (datetime.datetime.fromtimestamp(NOW, datetime.UTC).date() + datetime.timedelta(days=offset)).isoformat()


def test_an_open_relay_that_says_so_is_critical_each_time(tmp_path: Path) -> None:
    given = relaying("0.0.0.0/0", i_know_this_is_an_open_relay=True)
    [finding] = of(found(tmp_path, given), "open-relay")
    assert finding.severity is Severity.CRITICAL
    assert finding.object == "EXCSERVER\\IP_Relay"
    assert finding.place == f"{tmp_path / 'relay.yaml'}:13"
    assert finding.cure == "relayctl permission remove IP_Relay --user 'Anonymous Logon' --extended-rights Accept-Any-Recipient"
    assert "relay-wide" not in codes(tmp_path, given)


def test_many_private_addresses(tmp_path: Path) -> None:
    [finding] = of(found(tmp_path, relaying("10.0.0.0/8")), "relay-wide")
    assert finding.severity is Severity.HIGH
    assert "open-relay" not in codes(tmp_path, relaying("10.0.0.0/8"))
    assert not {"open-relay", "relay-wide"} & set(codes(tmp_path, relaying("10.0.0.0/24")))


def test_externally_secured_is_cured_otherwise(tmp_path: Path) -> None:
    connector = {
        "auth_mechanism": ["ExternalAuthoritative"],
        "permission_groups": ["ExchangeServers"],
        "remote_ip_ranges": ["10.0.0.0/8"],
    }
    [finding] = of(found(tmp_path, configuration(connector)), "relay-wide")
    assert finding.cure == "relayctl connector set IP_Relay --auth-mechanism Tls --permission-groups AnonymousUsers"


@pytest.mark.parametrize("key", ["proxy_protocol_from", "xclient_from"])
def test_a_load_balancer(tmp_path: Path, key: str) -> None:
    given = relaying("10.1.2.0/28", ELSEWHERE)
    front = {"bindings": ["0.0.0.0:2526"], "permission_groups": ["AnonymousUsers"], key: ["10.1.2.5"]}
    given["receive_connectors"]["Front"] = front
    [finding] = of(found(tmp_path, given), "relay-load-balancer")
    assert finding.severity is Severity.HIGH
    assert "10.1.2.5" in finding.reason
    assert finding.cure == "relayctl connector set IP_Relay --remove-remote-ip-ranges 10.1.2.0/28"
    front[key] = ["10.1.2.77"]
    assert "relay-load-balancer" not in codes(tmp_path, given)


def test_a_load_balancer_that_says_for_whom_it_speaks_wherever_the_range_is_served(tmp_path: Path) -> None:
    """It is never taken for itself there, so what comes through it has no more rights than it would have without it."""
    given = relaying("10.1.2.0/28", ELSEWHERE, proxy_protocol_from=["10.1.2.5"])
    assert "relay-load-balancer" not in codes(tmp_path, given)
    given["receive_connectors"]["IP_Relay"]["bindings"].append("0.0.0.0:2526")
    assert "relay-load-balancer" not in codes(tmp_path, given)
    given["receive_connectors"]["Other"] = {
        "bindings": ["0.0.0.0:2527"],
        "permission_groups": ["AnonymousUsers"],
        "proxy_protocol_from": ["10.1.2.7"],
    }
    assert "10.1.2.7" in of(found(tmp_path, given), "relay-load-balancer")[0].reason


def test_another_mail_server(tmp_path: Path) -> None:
    given = relaying("10.1.2.0/28", ELSEWHERE)
    given["accepted_domains"] = {"akkaya.local": {"next_hop": "10.1.2.9:25"}}
    [finding] = of(found(tmp_path, given), "relay-mail-server")
    assert finding.severity is Severity.MEDIUM
    given["receive_connectors"]["IP_Relay"]["remote_ip_ranges"] = ["10.1.2.9", ELSEWHERE]
    [finding] = of(found(tmp_path, given), "relay-mail-server")
    assert finding.severity is Severity.LOW
    given["send_connectors"] = {"Out": {"address_spaces": ["*"], "smart_hosts": ["smart.example:25"]}}
    given["accepted_domains"] = {}
    assert "relay-mail-server" not in codes(tmp_path, given)
    hosts = {"smart.example": (ipaddress.IPv4Address("10.1.2.9"),)}
    [finding] = of(found(tmp_path, given, hosts=hosts), "relay-mail-server")
    assert "smart.example (10.1.2.9)" in finding.reason


def test_this_host(tmp_path: Path) -> None:
    own = (ipaddress.IPv4Address("10.1.2.9"),)
    given = relaying("10.1.2.0/28", ELSEWHERE)
    [finding] = of(found(tmp_path, given, own=own), "relay-this-host")
    assert finding.severity is Severity.MEDIUM
    assert "relay-this-host" not in codes(tmp_path, given)
    [finding] = of(found(tmp_path, relaying("127.0.0.1")), "relay-this-host")
    assert finding.severity is Severity.LOW
    assert finding.cure == "relayctl connector disable IP_Relay"  # it has no other range
    assert "relay-this-host" not in codes(tmp_path, configuration({"remote_ip_ranges": ["10.1.2.0/28"]}), own=own)


def test_shared_ranges_want_an_owner(tmp_path: Path) -> None:
    [finding] = of(found(tmp_path, relaying({"range": ELSEWHERE, "shared": True})), "relay-shared")
    assert finding.severity is Severity.MEDIUM
    assert "owner" in finding.reason
    [finding] = of(found(tmp_path, relaying({"range": ELSEWHERE, "shared": True, "owner": "IT"})), "relay-shared")
    assert finding.severity is Severity.INFO
    assert "relay-shared" not in codes(tmp_path, relaying(ELSEWHERE))


@pytest.mark.parametrize(
    ("days", "severity"), [(0, Severity.MEDIUM), (7, Severity.MEDIUM), (8, Severity.LOW), (30, Severity.INFO), (31, None)]
)
def test_entries_that_end_soon(tmp_path: Path, days: int, severity: Severity | None) -> None:
    ending = of(found(tmp_path, relaying({"range": ELSEWHERE, "expires": day(days)})), "range-expires")
    assert [each.severity for each in ending] == ([severity] if severity is not None else [])


def test_entries_that_are_over(tmp_path: Path) -> None:
    given = relaying({"range": ELSEWHERE, "expires": "2020-01-01", "shared": True}, "10.1.2.4")
    [finding] = of(found(tmp_path, given), "range-expired")
    assert finding.cure == "relayctl connector set IP_Relay --remove-remote-ip-ranges 10.1.2.3"
    assert "relay-shared" not in codes(tmp_path, given)


def used(client: str, last: float = 1, connector: str = "IP_Relay", **more: Any) -> Usage:
    """Seen some days ago for the last time."""
    return Usage(connector=connector, local="10.0.0.1:2525", client=client, first_seen=NOW - 200 * DAY, last_seen=NOW - last * DAY, **more)


def test_ranges_that_nobody_uses(tmp_path: Path) -> None:
    given = relaying("10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6")
    rows = [used("10.1.2.3"), used("10.1.2.4", 91), used("10.1.2.5", connector="Other"), used("nonsense")]
    unused = of(found(tmp_path, given, usage=rows), "range-unused")
    assert [each.reason.split()[5] for each in unused] == ["10.1.2.4", "10.1.2.5", "10.1.2.6"]
    assert all(each.severity is Severity.LOW for each in unused)


def test_nothing_is_said_of_a_time_without_a_record(tmp_path: Path) -> None:
    given = relaying("10.1.2.3", "10.1.2.4")
    young = Usage(connector="IP_Relay", local="", client="10.1.2.3", first_seen=NOW - 10 * DAY, last_seen=NOW)
    for usage in (None, [], [young]):
        assert "range-unused" not in codes(tmp_path, given, usage=usage)


def test_all_addresses_are_no_range_that_nobody_uses(tmp_path: Path) -> None:
    assert "range-unused" not in codes(tmp_path, configuration(), usage=[used("10.1.2.3", connector="Other")])


@pytest.mark.parametrize("facts", [{"helo": "pc{}"}, {"sender_domain": "customer{}.example"}])
def test_addresses_that_stand_for_many(tmp_path: Path, facts: dict[str, str]) -> None:
    rows = [used("10.1.2.3", **{key: text.format(number) for key, text in facts.items()}) for number in range(5)]
    [finding] = of(found(tmp_path, relaying(ELSEWHERE), usage=rows), "relay-many-clients")
    assert finding.severity is Severity.MEDIUM
    [finding] = of(found(tmp_path, relaying({"range": ELSEWHERE, "owner": "IT"}), usage=rows), "relay-many-clients")
    assert finding.severity is Severity.INFO
    assert "relay-many-clients" not in codes(tmp_path, relaying(ELSEWHERE), usage=rows[:4])
    assert "relay-many-clients" not in codes(tmp_path, configuration({"remote_ip_ranges": [ELSEWHERE]}), usage=rows)
