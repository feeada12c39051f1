"""TLS towards next hops: SNI always, and as much verification as the route's policy asks for.

C{may} and C{encrypt} verify nothing (a clear text fallback or any certificate is better than no mail), C{certificate} verifies the chain
against the system's trust, C{domain} the name too.  Whether TLS is used at all is C{delivery}'s.

Sources: Set-SendConnector (TlsAuthLevel), RFC 7435 (opportunistic security), RFC 6125 (names), RFC 6066 section 3 (SNI).
"""

from __future__ import annotations

import ipaddress
import weakref
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, platformTrust
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.values.route import TLSPolicy

_VerifyCallback = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]

_REASONS = {  # the common ones of X509_verify_cert_error_string
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its chain ends at a self-signed certificate that is not trusted",
    20: "its issuer is not trusted",
    21: "its issuer is not known",
    23: "it was revoked",
    26: "it is not for servers",
}


class UntrustedPeer(Exception):
    """A server's certificate does not prove what the route asks for; C{str()} says why."""


class ClientContexts:
    """The two contexts of the client's side, made when first needed and kept.

    @param trust: the trusted authorities; None for the system's.
    """

    def __init__(self, trust: Any = None) -> None:
        self._trust = trust
        self._plain: SSL.Context | None = None
        self._verifying: SSL.Context | None = None

    def warm(self) -> None:
        """Make both contexts now: reading the system's trust takes a moment and is better done in a thread."""
        self._context(False)
        self._context(True)

    def creator(self, policy: TLSPolicy, host: str) -> IOpenSSLClientConnectionCreator:
        """Makes connections to a host under a policy.

        @param host: the next hop's name, or its IP address, for which no SNI is sent.
        """
        if policy.level == "none":
            raise ValueError("a route of level 'none' has no TLS")
        verified = policy.level in ("certificate", "domain")
        wanted = (policy.name or host) if policy.level == "domain" else ""
        return _Creator(self._context(verified), host, verified, wanted)

    def _context(self, verified: bool) -> SSL.Context:
        if verified:
            if self._verifying is None:
                trust = self._trust or platformTrust()
                self._verifying = CertificateOptions(trustRoot=trust).getContext()
            return self._verifying
        if self._plain is None:
            self._plain = CertificateOptions().getContext()
        return self._plain


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    def __init__(self, context: SSL.Context, host: str, verified: bool, wanted: str) -> None:
        self._context = context
        self._host = host
        self._verified = verified
        self._wanted = wanted

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection for a protocol."""
        connection = SSL.Connection(self._context, None)
        # With a name of its own to prove (tls_domain), that is the name to ask for.
        asked = self._wanted or self._host
        if not _is_ip(asked):
            connection.set_tlsext_host_name(asked.rstrip(".").encode("ascii"))
        if self._verified:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verifier(tlsProtocol, self._wanted))
        return connection


def _verifier(protocol: Any, wanted: str) -> _VerifyCallback:
    """A callback for OpenSSL that keeps no reference to the protocol and lets no exception out."""
    peer = weakref.ref(protocol)

    def verify(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        try:
            if not ok:
                raise UntrustedPeer(f"the server's certificate cannot be trusted: {_REASONS.get(error, f'error {error}')}")
            if depth == 0 and wanted:
                _verify_name(certificate, wanted)
        except UntrustedPeer:
            if fail := getattr(peer(), "failVerification", None):
                fail(Failure())
            return False
        except Exception:  # whatever it is, it must not pass for a good certificate
            return False
        return True

    return verify


def _verify_name(certificate: crypto.X509, wanted: str) -> None:
    try:
        if _is_ip(wanted):
            verify_certificate_ip_address(certificate.to_cryptography(), wanted)
        else:
            verify_certificate_hostname(certificate.to_cryptography(), wanted.rstrip("."))
    except (VerificationError, ValueError):
        raise UntrustedPeer(f"the server's certificate is not for {wanted}") from None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
