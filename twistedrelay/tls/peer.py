"""What is known of the other side of a TLS connection: its verified certificate, and what binds a login to the channel.

Only what was verified counts: a certificate that the connector's authorities did not sign is as good as none.

Sources: RFC 4422 appendix A (EXTERNAL), RFC 5929 (tls-server-end-point), RFC 9266 (tls-exporter).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from twistedrelay.tls.names import x500

_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
_EXPORTER_LENGTH = 32

_Verify = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]


@attrs.frozen(slots=True)
class ClientCertificate:
    """A client's certificate that was verified.

    @ivar subject: as Exchange prints X.500 names.
    @ivar emails: mail addresses, as written: of the subject alternative names, then of the subject.
    @ivar dns_names: host names in lower case, of the subject alternative names.
    @ivar thumbprint: SHA-1 of the certificate in upper case hex.
    """

    subject: str
    emails: tuple[str, ...]
    dns_names: tuple[str, ...]
    thumbprint: str


def remember_verdict(demanded: bool) -> _Verify:
    """A callback for OpenSSL that lets the connection remember whether its certificate could be verified.

    @param demanded: whether the handshake fails where it could not.
    """

    def verify(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        # Some checks follow after the first good word, so that a bad one stays.
        connection.set_app_data(bool(ok) and connection.get_app_data() is not False)
        return bool(ok) or not demanded

    return verify


def client_certificate(connection: SSL.Connection) -> ClientCertificate | None:
    """The verified certificate of a client, after the handshake; None where there is none."""
    if connection.get_app_data() is not True:
        return None
    certificate = connection.get_peer_certificate(as_cryptography=True)
    return None if certificate is None else describe_client(certificate)


def describe_client(certificate: x509.Certificate) -> ClientCertificate:
    """Who a certificate says a client is."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        emails, hosts = names.get_values_for_type(x509.RFC822Name), names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        emails, hosts = [], []
    in_subject = [str(pair.value) for pair in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    return ClientCertificate(
        subject=x500(certificate.subject),
        emails=tuple(dict.fromkeys([*emails, *in_subject])),
        dns_names=tuple(name.lower() for name in hosts),
        thumbprint=certificate.fingerprint(hashes.SHA1()).hex().upper(),
    )


def channel_bindings(connection: SSL.Connection) -> dict[str, bytes]:
    """The channel bindings of our side of a connection, by their IANA names.

    C{tls-exporter} is there in TLS 1.3 only: in TLS 1.2 it would need the extended master secret, of which we are not told.
    """
    return _bindings(connection, connection.get_certificate(as_cryptography=True))


def server_bindings(connection: SSL.Connection) -> dict[str, bytes]:
    """The same where the server, whose certificate is bound to, is the other side."""
    return _bindings(connection, connection.get_peer_certificate(as_cryptography=True))


def _bindings(connection: SSL.Connection, certificate: x509.Certificate | None) -> dict[str, bytes]:
    found = {}
    if connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
        found["tls-exporter"] = connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_LENGTH, b"")
    if certificate is not None and (digest := _end_point(certificate)):
        found["tls-server-end-point"] = digest
    return found


def _end_point(certificate: x509.Certificate) -> bytes:
    """The certificate's digest by the hash of its own signature, MD5 and SHA-1 being SHA-256; nothing where that is no single hash."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if algorithm is None:
        return b""
    if algorithm.name in ("md5", "sha1"):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(certificate.public_bytes(Encoding.DER))
    return digest.finalize()
