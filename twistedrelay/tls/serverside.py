"""One TLS context of a receive connector: its versions, ciphers, certificate, and whether it asks clients for theirs.

The profiles: C{Modern} has the strongest authenticated ciphers only, C{Intermediate} all that today's scanners of TLS find nothing wrong
with, C{Old} whatever old devices still speak (TLS 1.0, CBC, keys exchanged by RSA), for a connector of their own.  Nowhere are there
compression, renegotiation, early data, or key exchange by finite field Diffie-Hellman.

Tickets open at their own connector only: each context has keys of its own, and sessions carry the connector's name (session id
context).  Where client certificates are asked for nothing is resumed, so that each session verifies anew.

Sources: Set-ReceiveConnector (DomainSecureEnabled), RFC 9325 (versions, ciphers, resumption), RFC 8446, RFC 3749 (compression).
"""

from __future__ import annotations

import hashlib
import os

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.tls.peer import remember_verdict
from twistedrelay.tls.pem import CertificateError, KeyPair, read_certificates

_STRONG = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
_AUTHENTICATED = f"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:{_STRONG}"

#: OpenSSL's cipher lists by C{tls_cipher_profile}; those of TLS 1.3 are all good.
CIPHERS = {
    "Modern": f"{_STRONG}:@SECLEVEL=2",
    "Intermediate": f"{_AUTHENTICATED}:@SECLEVEL=2",
    "Old": f"{_AUTHENTICATED}:ECDHE+AES:RSA+AESGCM:RSA+AES:3DES:!aNULL:!eNULL:!PSK:!SRP:!AESCCM:!AESCCM8:@SECLEVEL=0",
}

_VERSIONS = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}

#: Groups for key exchange, the first list that this OpenSSL knows.  Without finite fields: a client could make us work with them (D(HE)at).
_GROUPS = (b"X25519MLKEM768:X25519:P-256:X448:P-384:P-521", b"X25519:P-256:X448:P-384:P-521")

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE


def asks_for_certificates(connector: ReceiveConnector) -> bool:
    """Whether clients are asked for a certificate."""
    return connector.domain_secure_enabled or "External" in connector.auth_mechanism


def wants_rsa(connector: ReceiveConnector) -> bool:
    """Whether its clients may be too old for elliptic curves, so that only an RSA certificate serves them all."""
    return connector.tls_cipher_profile == "Old"


def server_context(pair: KeyPair, name: str, connector: ReceiveConnector) -> SSL.Context:
    """A context that shows a certificate at a receive connector.  Reads the file of client authorities, where there is one.

    @raise CertificateError: it cannot be used.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # idle sessions keep no buffers
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # what is resumed is in the ticket
    context.set_session_id(hashlib.sha256(name.encode()).digest())
    _limit_groups(context)
    try:
        context.set_min_proto_version(_VERSIONS[connector.tls_minimum_version])
        context.set_max_proto_version(_VERSIONS[connector.tls_maximum_version])
        context.set_cipher_list(CIPHERS[connector.tls_cipher_profile].encode("ascii"))
        context.use_privatekey(pair.key)
        context.use_certificate(pair.certificate)
        for other in pair.chain:
            context.add_extra_chain_cert(other)
    except (SSL.Error, ValueError, TypeError) as error:
        raise CertificateError(f"the certificate {pair.info.thumbprint} cannot be used: {reason_text(error)}") from None
    if asks_for_certificates(connector):
        _ask_for_certificates(context, connector)
    return context


def _limit_groups(context: SSL.Context) -> None:
    """Set the groups.  pyOpenSSL has no method for it; where its library cannot be reached in this way either, OpenSSL's own stay."""
    choose = getattr(lib, "SSL_CTX_set1_curves_list", None)
    if choose is not None and not any(choose(context._context, groups) == 1 for groups in _GROUPS):
        raise CertificateError("OpenSSL knows none of the usual groups for key exchange")
    lib.ERR_clear_error()


def client_authorities(connector: ReceiveConnector) -> list[x509.Certificate]:
    """Whose client certificates are believed; empty where the system's authorities are.  L{CertificateError} where the file is no good."""
    return read_certificates(connector.tls_client_ca_file) if connector.tls_client_ca_file else []


def _ask_for_certificates(context: SSL.Context, connector: ReceiveConnector) -> None:
    context.set_options(SSL.OP_NO_TICKET)
    store = context.get_cert_store()
    authorities = [crypto.X509.from_cryptography(item) for item in client_authorities(connector)]
    if authorities and store is not None:
        for authority in authorities:
            store.add_cert(authority)
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # the file may hold an intermediate authority alone
        context.load_client_ca(os.fsencode(connector.tls_client_ca_file))
    else:
        context.set_default_verify_paths()
    demanded = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if connector.domain_secure_enabled else 0
    context.set_verify(SSL.VERIFY_PEER | demanded, remember_verdict(bool(demanded)))


def reason_text(error: BaseException | None) -> str:
    """What OpenSSL says, without its codes."""
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(str(part[-1]) for part in error.args[0]) or "unknown"
    return str(error)
