"""What a send connector demands of TLS, as one value, and whether what domains publish is asked for.

DANE and MTA-STS belong to routes by MX whose connector does not itself say what a server proves: where it names a certificate level, that
is the proof, and where it ignores STARTTLS there is none.

Source: Exchange Set-SendConnector (RequireTLS, IgnoreSTARTTLS, TlsAuthLevel, TlsDomain, TlsCertificateName, SmartHostAuthMechanism).
"""

from __future__ import annotations

from typing import Literal

import attrs

from twistedrelay.config.schema import SendConnector
from twistedrelay.values.route import TLSPolicy

OPPORTUNISTIC = TLSPolicy("may")

#: Mechanisms that send a secret in clear text inside TLS: to nobody whose certificate is not the smart host's.
_SECRETS = ("BasicAuthRequireTLS", "XOAuth2")


def tls_policy(connector: SendConnector) -> TLSPolicy:
    """The policy of a connector.

    BasicAuthRequireTLS and XOAuth2 demand a certificate with the smart host's name, as Exchange does: a password goes to nobody else.
    """
    policy = _level(connector)
    return attrs.evolve(policy, certificate=connector.tls_certificate_name) if connector.tls_certificate_name else policy


def _level(connector: SendConnector) -> TLSPolicy:
    if connector.require_tls and connector.tls_auth_level == "DomainValidation":
        return TLSPolicy("domain", connector.tls_domain.lower())
    if connector.smart_host_auth_mechanism in _SECRETS:
        return TLSPolicy("domain")
    if connector.require_tls and connector.tls_auth_level == "CertificateValidation":
        return TLSPolicy("certificate")
    if connector.require_tls or connector.implicit_tls:
        return TLSPolicy("encrypt")
    return TLSPolicy("none") if connector.ignore_starttls else OPPORTUNISTIC


def dane_of(connector: SendConnector) -> Literal["None", "Opportunistic", "Required"]:
    """Whether TLSA records are asked for."""
    return connector.smtp_dane if _asks_domains(connector) else "None"


def mta_sts_of(connector: SendConnector) -> bool:
    """Whether MTA-STS policies are asked for."""
    return connector.mta_sts_enabled and _asks_domains(connector)


def _asks_domains(connector: SendConnector) -> bool:
    return not connector.smart_hosts and _level(connector).level in ("may", "encrypt")
