"""Tests for L{twistedrelay.config.tls_rules}, through files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Files


def problems(files: Files, *lines: str) -> list[str]:
    """Problems of a send connector, without its path."""
    body = "".join(f"    {line}\n" for line in lines)
    found = files.problems(f"send_connectors:\n  A:\n    address_spaces: ['*']\n{body}")
    return [problem.replace("relay.yaml:", "").replace("send_connectors.A.", "") for problem in found]


HOST = "smart_hosts: ['smtp.example']"
THUMBPRINT = "AB" * 20


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            ("tls_certificate_name: mail.pem",),
            "5: tls_certificate_name: 'mail.pem' is no certificate name; allowed: '<I>issuer<S>subject' or",
        ),
        (
            (f"tls_certificate_name: {THUMBPRINT}", "ignore_starttls: true"),
            "5: tls_certificate_name: is only shown under TLS, which ignore_starttls: true takes away",
        ),
        (
            (f"tls_certificate_name: {THUMBPRINT}", "smart_hosts: ['lmtp:unix:/x']"),
            "5: tls_certificate_name: is only shown on the network, not to a maildir: or a socket",
        ),
        (("smtp_dane: Required", HOST), "5: smtp_dane: Required needs delivery by MX"),
        (("smtp_dane: Required", "ignore_starttls: true"), "5: smtp_dane: Required needs TLS"),
        (
            ("smtp_dane: Required", "require_tls: true", "tls_auth_level: CertificateValidation"),
            "5: smtp_dane: Required and tls_auth_level: CertificateValidation are two proofs",
        ),
        (("smtp_dane: Required", "force_helo: true"), "5: smtp_dane: Required needs STARTTLS, which force_helo: true takes away"),
        (("smtp_dane: Opportunistic", HOST), "5: smtp_dane: is only used without smart_hosts"),
        (("mta_sts_enabled: true", HOST), "5: mta_sts_enabled: is only used without smart_hosts"),
    ],
)
def test_what_does_not_go_together(files: Files, lines: tuple[str, ...], problem: str) -> None:
    [found] = problems(files, *lines)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "lines",
    [
        (f"tls_certificate_name: {THUMBPRINT}",),
        (f"tls_certificate_name: '{':'.join(['ab'] * 20)}'", "require_tls: true"),
        ("tls_certificate_name: '<I>CN=Some CA<S>CN=mail.example'", HOST),
        ("smtp_dane: Required",),
        ("smtp_dane: Required", "require_tls: true", "tls_auth_level: EncryptionOnly"),
        ("smtp_dane: None", "mta_sts_enabled: false", HOST),
        (HOST,),
    ],
)
def test_what_does(files: Files, lines: tuple[str, ...]) -> None:
    body = "".join(f"    {line}\n" for line in lines)
    assert files.load(f"send_connectors:\n  A:\n    address_spaces: ['*']\n{body}").send_connectors["A"]
