"""What a send connector demands of TLS, as one value.

Source: Exchange Set-SendConnector (RequireTLS, IgnoreSTARTTLS, TlsAuthLevel, TlsDomain, TlsCertificateName, SmartHostAuthMechanism).
"""

from __future__ import annotations

import attrs

from twistedrelay.config.schema import SendConnector
from twistedrelay.config.units import domain_name
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
        return TLSPolicy("domain", domain_name(connector.tls_domain) if connector.tls_domain else "")
    if connector.smart_host_auth_mechanism in _SECRETS:
        return TLSPolicy("domain")
    if connector.require_tls and connector.tls_auth_level == "CertificateValidation":
        return TLSPolicy("certificate")
    if connector.require_tls or connector.implicit_tls:
        return TLSPolicy("encrypt")
    return TLSPolicy("none") if connector.ignore_starttls else OPPORTUNISTIC
