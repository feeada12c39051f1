"""Findings about domains, ways out, files, accounts and the clock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import argon2
import pytest

from tests.answers.audit.audited import DAY, codes, configuration, found, of
from twistedrelay.answers.audit import clock
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.config.passwords import Hasher
from twistedrelay.config.users import UsersFile

WAY = {"send_connectors": {"Internet": {"address_spaces": ["*"]}}}
LOOPBACK = {"bindings": ["127.0.0.1:2525"]}


def domains(item: dict[str, Any] | None = None, name: str = "akkaya.local", connector: dict[str, Any] | None = None, **more: Any) -> Any:
    return configuration(connector, accepted_domains={name: item or {"next_hop": "mail.akkaya.local:25"}}, **more)


@pytest.mark.parametrize(
    ("name", "code", "severity"),
    [
        ("*.com", "accepted-domain-wide", Severity.HIGH),
        ("com", "accepted-domain-wide", Severity.LOW),
        ("*.akkaya.local", "accepted-domain-wildcard", Severity.INFO),
        ("*.com.tr", "accepted-domain-wide", Severity.HIGH),
        ("co.uk", "accepted-domain-wide", Severity.LOW),
        ("*.mail.de", "accepted-domain-wildcard", Severity.INFO),
    ],
)
def test_broad_domains(tmp_path: Path, name: str, code: str, severity: Severity) -> None:
    [finding] = of(found(tmp_path, domains(name=name)), code)
    assert (finding.severity, finding.object) == (severity, name)
    assert not {"accepted-domain-wide", "accepted-domain-wildcard"} & set(codes(tmp_path, domains()))


def test_domains_outside(tmp_path: Path) -> None:
    given = domains({"domain_type": "ExternalRelay"}, **WAY)
    assert of(found(tmp_path, given), "external-relay")[0].severity is Severity.LOW
    assert "external-relay" not in codes(tmp_path, domains({"domain_type": "ExternalRelay"}, connector=LOOPBACK, **WAY))


def test_domains_without_a_way(tmp_path: Path) -> None:
    [finding] = of(found(tmp_path, domains({"domain_type": "InternalRelay"})), "no-way-out")[:1]
    assert (finding.object, finding.severity) == ("akkaya.local", Severity.MEDIUM)
    for spaces in (["*"], ["akkaya.local"], ["*.local"]):
        way = {"send_connectors": {"Out": {"address_spaces": spaces}}}
        assert not [
            each for each in of(found(tmp_path, domains({"domain_type": "InternalRelay"}, **way)), "no-way-out") if each.severity > 0
        ]


def test_backscatter(tmp_path: Path) -> None:
    [finding] = of(found(tmp_path, domains()), "backscatter")
    assert (finding.severity, finding.cure) == (Severity.MEDIUM, "relayctl domain set akkaya.local --recipients-call-ahead true")
    assert of(found(tmp_path, domains({"next_hop": "maildir:mail"})), "backscatter")[0].severity is Severity.LOW
    known = {"next_hop": "mail.akkaya.local:25", "recipients": {"call_ahead": True}}
    assert "backscatter" not in codes(tmp_path, domains(known))
    assert "backscatter" not in codes(tmp_path, domains(connector=LOOPBACK))
    assert "backscatter" not in codes(tmp_path, domains(connector={"permission_groups": ["ExchangeUsers"]}))


def test_send_connectors(tmp_path: Path) -> None:
    out = {
        "address_spaces": ["*", "akkaya.local"],
        "private_targets_enabled": True,
    }
    findings = found(tmp_path, domains(send_connectors={"Out": out}))
    assert of(findings, "address-space-unused")[0].cure == "relayctl send-connector set Out --remove-address-spaces akkaya.local"
    assert of(findings, "private-targets")[0].severity is Severity.MEDIUM
    assert not {"address-space-unused", "private-targets"} & set(codes(tmp_path, domains(**WAY)))


def test_a_smart_hosts_password_in_clear_text(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    out = {
        "address_spaces": ["*"],
        "smart_hosts": ["smart.example:25"],
        "smart_host_auth_mechanism": "BasicAuth",
        "authentication_credential": {"username": "relay", "password_file": str(secret)},
    }
    given = configuration(send_connectors={"Out": out})
    assert of(found(tmp_path, given), "clear-text-login")[0].severity is Severity.HIGH
    out["smart_host_auth_mechanism"] = "BasicAuthRequireTLS"
    assert "clear-text-login" not in codes(tmp_path, given)


def test_postmaster(tmp_path: Path) -> None:
    assert of(found(tmp_path, configuration()), "postmaster")[0].severity is Severity.MEDIUM
    assert "postmaster" not in codes(tmp_path, domains())
    assert "postmaster" not in codes(tmp_path, configuration(**WAY))


def test_hosts_that_do_not_answer(tmp_path: Path) -> None:
    hosts = {"send_connectors": {"Out": {"address_spaces": ["*"], "smart_hosts": ["one.example:25", "two.example"]}}}
    unreachable = {"one.example:25": "timed out", "mail.akkaya.local:25": "Connection refused"}
    findings = found(tmp_path, domains(**hosts), unreachable=unreachable)
    assert of(findings, "smart-host-unreachable")[0].severity is Severity.MEDIUM  # the other one answers
    assert of(findings, "next-hop-unreachable")[0].severity is Severity.HIGH
    both = {**unreachable, "two.example:25": "timed out"}
    assert of(found(tmp_path, domains(**hosts), unreachable=both), "smart-host-unreachable")[0].severity is Severity.HIGH
    assert not [code for code in codes(tmp_path, domains(**hosts)) if code.endswith("unreachable")]


def test_files(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for name in ("", "spool", "control"):
        (state / name).mkdir(mode=0o755 if not name else 0o700)
    file, users = tmp_path / "relay.yaml", state / "users"
    users.write_text("")
    users.chmod(0o600)
    given = configuration()
    assert not {"file-writable", "file-readable", "control-socket"} & set(codes(tmp_path, given))
    wrong = [(file, 0o666, "file-writable"), (users, 0o644, "file-readable"), (state, 0o777, "file-writable")]
    wrong += [(state / "spool", 0o755, "file-readable"), (state / "control", 0o755, "control-socket"), (tmp_path, 0o777, "file-writable")]
    for path, mode, code in wrong:
        before = path.stat().st_mode
        path.chmod(mode)
        told = of(found(tmp_path, given), code)
        assert [each.object for each in told] == [str(path)], code
        assert told[0].cure.startswith("chmod o-")
        path.chmod(before & 0o7777)


def test_files_of_passwords(tmp_path: Path) -> None:
    for name in ("hook.key", "devices", "ldap.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/srs.secret").write_text("x")
    given = configuration(
        credential_checkers=[f"file:{tmp_path}/devices", f"ldap:{tmp_path}/ldap.yaml", "memory:joe:secret"],
        webhooks=[{"url": "https://h.example/", "events": ["FAIL"], "secret_file": "hook.key"}],
    )
    wanted = {str(tmp_path / name) for name in ("hook.key", "devices", "ldap.yaml", "state/srs.secret", "relay.yaml")}
    for path in map(Path, wanted - {str(tmp_path / "relay.yaml")}):
        path.chmod(0o644)
    assert {each.object for each in of(found(tmp_path, given), "file-readable")} == wanted
    for path in map(Path, wanted):
        path.chmod(0o600)
    assert of(found(tmp_path, given), "file-readable") == []


def test_accounts(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    users = UsersFile(str(tmp_path / "state/users"))
    weak = UsersFile(users.path, hasher=Hasher(argon2.PasswordHasher(time_cost=1, memory_cost=64)))
    users.add("good@akkaya.local", "correct horse")
    weak.add("weak@akkaya.local", "battery staple")
    users.add("many@akkaya.local", "x1-y2-z3", [f"other{number}@akkaya.local" for number in range(11)])
    now = Path(users.path).stat().st_mtime
    findings = found(tmp_path, configuration(), now=now)
    assert [each.object for each in of(findings, "old-hash")] == ["weak@akkaya.local"]
    assert [each.object for each in of(findings, "send-as-wide")] == ["many@akkaya.local"]
    assert not of(findings, "user-unused")
    later = of(found(tmp_path, configuration(), now=now + 91 * DAY), "user-unused")
    assert [each.cure for each in later] == [f"relayctl user remove {name}@akkaya.local" for name in ("good", "weak", "many")]


def test_passwords_in_the_configuration(tmp_path: Path) -> None:
    given = configuration(credential_checkers=["memory:admin:secret"])
    [finding] = of(found(tmp_path, given), "clear-text-passwords")
    assert finding.severity is Severity.HIGH
    assert "secret" not in str(finding) + finding.cure


def test_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(found(tmp_path, configuration(), synchronised=False), "clock-not-kept")[0].severity is Severity.LOW
    for said in (True, None):
        assert "clock-not-kept" not in codes(tmp_path, configuration(), synchronised=said)
    assert clock.synchronised() in (True, False, None)
    written = (tmp_path / "relay.yaml").stat().st_mtime
    assert "clock-wrong" in codes(tmp_path, configuration(), now=written - 10 * DAY)
    assert "clock-wrong" not in codes(tmp_path, configuration(), now=written)


def test_warnings_of_a_check_are_findings(tmp_path: Path) -> None:
    given = configuration(
        {"linked_send_connector": "Off", "max_header_size": "5MB"},
        send_connectors={"Off": {"address_spaces": ["*"], "enabled": False}},
        credential_checkers=["file:/nonexistent/passwords"],
    )
    findings = found(tmp_path, given)
    assert {"no-way-out", "large-headers", "checker-unusable"} <= {each.code for each in findings}
    assert all(os.path.basename(each.place).startswith("relay.yaml:") for each in findings)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/users").write_text("broken\n")
    assert of(found(tmp_path, given), "users-unusable")[0].severity is Severity.HIGH


def test_the_worst_comes_first(tmp_path: Path) -> None:
    severities = [each.severity for each in found(tmp_path, domains(name="*.com"))]
    assert severities == sorted(severities, reverse=True)
