"""What a check finds."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import trustme

from twistedrelay.answers.check import CHECKS, check, load_checked
from twistedrelay.config.load import load_with_places
from twistedrelay.config.problems import ConfigError

BASE = """\
server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: state}
receive_connectors:
  Frontend:
    bindings: ["127.0.0.1:2525"]
    permission_groups: [AnonymousUsers]
"""


def written(tmp_path: Path, text: str) -> str:
    """A configuration file."""
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    return str(file)


def test_open_relays_are_refused_wherever_a_configuration_comes_in(tmp_path: Path) -> None:
    file = written(tmp_path, BASE)
    opened = BASE.replace("127.0.0.1", "0.0.0.0") + "    extended_rights: {Anonymous Logon: [Accept-Any-Recipient]}\n"
    with pytest.raises(ConfigError, match=r"relay.yaml:6: .*this is an open relay"):
        load_with_places(file, CHECKS, {file: opened.encode()})
    [told] = check(written(tmp_path, opened))
    assert told.blocks
    assert load_checked(written(tmp_path, opened + "    i_know_this_is_an_open_relay: true\n"))


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    file = written(tmp_path, BASE)
    assert check(file) == []
    assert load_checked(file).server.name == "EXCSERVER"


def test_the_loaders_and_the_rooms_findings_are_found_together(tmp_path: Path) -> None:
    text = BASE + (
        "    extended_rights: {Anonymous Logon: [Accept-Everything]}\n"
        "    tls_certificate_name: <I>CN=Some CA<S>CN=mail.cozumpark.com\n"
        "  Twin:\n"
        '    bindings: ["127.0.0.1:2525"]\n'
        "    permission_groups: [AnonymousUsers]\n"
        "  Typo:\n"
        '    bindings: ["127.0.0.1:2526"]\n'
        "    permission_groups: [AnonymousUsers]\n"
        "    baner: x\n"
    )
    file = written(tmp_path, text)
    findings = [str(found) for found in check(file)]
    assert all(found.startswith(f"{file}:") for found in findings)
    assert any(":6: " in found and "Accept-Everything" in found for found in findings)
    assert any(":7: " in found and "is not in the store" in found for found in findings)
    assert any("Frontend" in found and "Twin" in found for found in findings)
    assert any(":14: " in found and "baner" in found for found in findings)
    with pytest.raises(ConfigError):
        load_checked(file)


def test_a_file_of_passwords_that_is_not_there(tmp_path: Path) -> None:
    absent = tmp_path / "devices"
    file = written(tmp_path, BASE + f'credential_checkers: ["file:{absent}"]\n')
    [found] = check(file)
    assert str(found).startswith(f"{file}:6: credential_checkers[0]: {absent}: is no file")
    assert not found.blocks
    absent.write_text("copier:x\n")
    assert check(file) == []


def test_a_certificate_that_ends_soon_is_a_finding_and_no_obstacle(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    made = trustme.CA().issue_cert("relay.akkaya.local", not_before=now, not_after=now + datetime.timedelta(days=9))
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "mail.pem"))
    file = written(tmp_path, BASE + "certificates:\n  - {certificate: mail.pem, private_key: mail.pem}\n")
    (finding,) = check(file)
    assert str(finding).startswith(f"{file}:3: receive_connectors.Frontend: the certificate ")
    assert load_checked(file).server.name == "EXCSERVER"


def test_a_disabled_connectors_certificate_may_be_missing(tmp_path: Path) -> None:
    assert check(written(tmp_path, BASE + "    enabled: false\n    tls_certificate_name: <I>CN=a<S>CN=b\n")) == []


def test_files_that_cannot_be_used_are_findings_but_no_reason_not_to_start(tmp_path: Path) -> None:
    text = BASE + (
        "certificates:\n"
        "  - {certificate: none.pem, private_key: none.key}\n"
        "users: users\n"
        "send_connectors:\n"
        "  Internet:\n"
        '    address_spaces: ["*"]\n'
        "    smart_hosts: [smtp.provider.example]\n"
        "    smart_host_auth_mechanism: BasicAuthRequireTLS\n"
        "    require_tls: true\n"
        "    authentication_credential: {username: relay, password_file: none.secret}\n"
    )
    (tmp_path / "users").write_text("nonsense\n")
    file = written(tmp_path, text)
    load_checked(file)
    findings = [str(found) for found in check(file)]
    assert any(":7: certificates[0]: " in found and "none.pem" in found for found in findings)
    assert any(":15: " in found and "none.secret" in found for found in findings)
    assert any(":8: users: " in found for found in findings)
    assert len(findings) == 3
