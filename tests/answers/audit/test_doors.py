"""Findings about connectors that many can reach, and about their certificates."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.answers.audit.audited import DAY, NOW, codes, configuration, found, of
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.tls.pem import read_pair
from twistedrelay.tls.selfsigned import self_signed
from twistedrelay.tls.store import CertificateStore

FEW = {"remote_ip_ranges": ["10.1.2.0/28"]}
LOGINS = {"auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"], "permission_groups": ["ExchangeUsers"]}


@pytest.mark.parametrize(
    ("setting", "code", "severity", "cure"),
    [
        ({"max_inbound_connection_per_source": "unlimited"}, "no-limits", Severity.MEDIUM, "--max-inbound-connection-per-source 20"),
        ({"max_protocol_errors": "unlimited"}, "no-limits", Severity.MEDIUM, "--max-protocol-errors 5"),
        ({"min_data_rate": 0}, "no-limits", Severity.MEDIUM, "--min-data-rate 100"),
        ({}, "no-rate-limit", Severity.INFO, "--message-rate-limit 100"),
        ({"auth_mechanism": ["None"]}, "no-tls", Severity.MEDIUM, "--auth-mechanism Tls"),
        ({"banner": "220 mail.example Microsoft ESMTP"}, "banner-leak", Severity.LOW, "--unset banner"),
        ({"banner": "220 mail.example Foo 4.95"}, "banner-leak", Severity.LOW, "--unset banner"),
        ({"fqdn": "exc01.akkaya.local"}, "internal-name", Severity.INFO, ""),
        (
            {"auth_mechanism": ["Tls", "BasicAuth"]},
            "clear-text-auth",
            Severity.HIGH,
            "--auth-mechanism Tls,BasicAuth,BasicAuthRequireTLS",
        ),
        (
            {"tls_minimum_version": "TLSv1", "tls_cipher_profile": "Old"},
            "weak-tls",
            Severity.MEDIUM,
            "--unset tls_minimum_version --unset tls_cipher_profile",
        ),
        ({"tls_cipher_profile": "Old"}, "weak-ciphers", Severity.MEDIUM, "--unset tls_cipher_profile"),
        ({"bare_linefeed_rejection_enabled": False}, "bare-linefeed", Severity.MEDIUM, "--unset bare_linefeed_rejection_enabled"),
    ],
)
def test_what_many_can_reach(tmp_path: Path, setting: dict[str, Any], code: str, severity: Severity, cure: str) -> None:
    [finding] = of(found(tmp_path, configuration(setting)), code)
    assert finding.severity is severity
    assert finding.cure == (f"relayctl connector set IP_Relay {cure}" if cure else "")
    few = of(found(tmp_path, configuration({**FEW, **setting})), code)
    assert [each.severity for each in few] == ([Severity.LOW] if code in ("clear-text-auth", "weak-ciphers") else [])
    assert code not in codes(tmp_path, configuration({**setting, "bindings": ["127.0.0.1:2525"]}))
    assert code not in codes(tmp_path, configuration({**setting, "enabled": False}))


def test_loopback_behind_a_proxy_is_everybodys(tmp_path: Path) -> None:
    behind = {"bindings": ["127.0.0.1:2525"], "proxy_protocol_from": ["127.0.0.1"], "max_protocol_errors": "unlimited"}
    assert "no-limits" in codes(tmp_path, configuration(behind))


def test_what_is_good_has_none_of_it(tmp_path: Path) -> None:
    way = {"send_connectors": {"Internet": {"address_spaces": ["*"]}}}
    assert codes(tmp_path, configuration({"message_rate_limit": 100}, **way)) == ["self-signed"]


@pytest.mark.parametrize(("key", "code"), [("proxy_protocol_from", "proxy-wide"), ("xclient_from", "xclient-wide")])
def test_many_who_speak_for_others(tmp_path: Path, key: str, code: str) -> None:
    [finding] = of(found(tmp_path, configuration({**FEW, key: ["10.0.0.0/8"]})), code)
    assert (finding.severity, finding.cure) == (Severity.HIGH, f"relayctl connector set IP_Relay --unset {key}")
    assert code not in codes(tmp_path, configuration({**FEW, key: ["10.0.0.1"]}))


def certificate(tmp_path: Path, days: float) -> dict[str, Any]:
    """One that ends so many days after L{NOW}."""
    began = datetime.datetime.fromtimestamp(NOW + days * DAY, datetime.UTC) - datetime.timedelta(days=5 * 365)
    made, key = self_signed("mail.akkaya.example", began)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "mail.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    file.chmod(0o600)
    return {"certificates": [{"certificate": str(file), "private_key": str(file)}]}


@pytest.mark.parametrize(
    ("days", "code", "severity"),
    [
        (-1, "certificate-expired", Severity.HIGH),
        (6.5, "certificate-expires", Severity.HIGH),
        (13, "certificate-expires", Severity.MEDIUM),
        (29, "certificate-expires", Severity.LOW),
        (31, "", None),
        (5 * 365 + 2, "certificate-not-yet", Severity.HIGH),
    ],
)
def test_certificates_by_their_days(tmp_path: Path, days: float, code: str, severity: Severity | None) -> None:
    given = configuration({"message_rate_limit": 100}, **certificate(tmp_path, days))
    file = given["certificates"][0]["certificate"]
    given["receive_connectors"]["IP_Relay"]["tls_certificate_name"] = read_pair(file, file, ()).info.thumbprint
    about = [each for each in found(tmp_path, given) if each.code.startswith("certificate")]
    assert [(each.code, each.severity) for each in about] == ([(code, severity)] if code else [])


def test_the_end_of_one_that_was_imported_is_told(tmp_path: Path) -> None:
    """Also of a self-signed one, such as Exchange's own."""
    [file] = {each["certificate"] for each in certificate(tmp_path, 6.5)["certificates"]}
    given = configuration({"message_rate_limit": 100})
    pair = read_pair(file, file, ())
    kept = CertificateStore([], str(tmp_path / "state")).add(pair)
    given["receive_connectors"]["IP_Relay"]["tls_certificate_name"] = kept.info.thumbprint
    [finding] = of(found(tmp_path, given), "certificate-expires")
    assert finding.cure == "relayctl certificate import mail.akkaya.example.pem"
    assert "import a newer one" in finding.reason


def test_self_signed_matters_most_for_logins(tmp_path: Path) -> None:
    [finding] = of(found(tmp_path, configuration()), "self-signed")
    assert finding.severity is Severity.INFO
    [finding] = of(found(tmp_path, configuration(LOGINS)), "self-signed")
    assert finding.severity is Severity.MEDIUM
    assert "self-signed" not in codes(tmp_path, configuration({**LOGINS, "bindings": ["127.0.0.1:2525"]}))
