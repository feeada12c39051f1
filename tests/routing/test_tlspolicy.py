"""Tests for L{twistedrelay.routing.tlspolicy}: what the levels of other keys do not show."""

from __future__ import annotations

from typing import Any

import pytest

from twistedrelay.config.schema import SendConnector
from twistedrelay.routing.tlspolicy import tls_policy
from twistedrelay.values.route import TLSPolicy


@pytest.mark.parametrize(
    ("keys", "policy"),
    [
        ({"smart_host_auth_mechanism": "XOAuth2"}, TLSPolicy("domain")),
        ({"smart_host_auth_mechanism": "XOAuth2", "require_tls": True, "tls_auth_level": "EncryptionOnly"}, TLSPolicy("domain")),
        (
            {"smart_host_auth_mechanism": "BasicAuthRequireTLS", "require_tls": True, "tls_auth_level": "CertificateValidation"},
            TLSPolicy("domain"),
        ),
        ({"tls_certificate_name": "AB" * 20}, TLSPolicy("may", certificate="AB" * 20)),
        ({"tls_certificate_name": "AB" * 20, "implicit_tls": True}, TLSPolicy("encrypt", certificate="AB" * 20)),
        (
            {"tls_certificate_name": "AB" * 20, "require_tls": True, "tls_auth_level": "DomainValidation", "tls_domain": "A.example"},
            TLSPolicy("domain", "a.example", certificate="AB" * 20),
        ),
        (
            {"require_tls": True, "tls_auth_level": "DomainValidation", "tls_domain": "MX.bücher.example"},
            TLSPolicy("domain", "mx.xn--bcher-kva.example"),
        ),
    ],
)
def test_policies(keys: dict[str, Any], policy: TLSPolicy) -> None:
    """A secret goes to nobody but the smart host; our certificate is shown at each level."""
    assert tls_policy(SendConnector(address_spaces=["*"], **keys)) == policy
