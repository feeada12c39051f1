"""What a send connector demands of TLS, as one value.

Source: Exchange Set-SendConnector (RequireTLS, IgnoreSTARTTLS, TlsAuthLevel, TlsDomain, SmartHostAuthMechanism).
"""

from __future__ import annotations

from twistedrelay.config.schema import SendConnector
from twistedrelay.values.route import TLSPolicy

OPPORTUNISTIC = TLSPolicy("may")


def tls_policy(connector: SendConnector) -> TLSPolicy:
    """The policy of a connector.

    BasicAuthRequireTLS demands a certificate with the smart host's name, as Exchange does, and so does
    XOAuth2: a password or a token goes to nobody else.
    """
    if connector.require_tls:
        if connector.tls_auth_level == "DomainValidation":
            return TLSPolicy("domain", connector.tls_domain.lower())
        if connector.smart_host_auth_mechanism in ("BasicAuthRequireTLS", "XOAuth2"):
            return TLSPolicy("domain")
        if connector.tls_auth_level == "CertificateValidation":
            return TLSPolicy("certificate")
        return TLSPolicy("encrypt")
    if connector.smart_host_auth_mechanism in ("BasicAuthRequireTLS", "XOAuth2"):
        return TLSPolicy("domain")
    if connector.implicit_tls:
        return TLSPolicy("encrypt")
    return TLSPolicy("none") if connector.ignore_starttls else OPPORTUNISTIC
