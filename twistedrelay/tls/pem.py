"""A certificate, its chain and its private key from PEM files, or from PKCS#12 files to import."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from twistedrelay.tls.names import host_names, x500

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey


class CertificateError(Exception):
    """A certificate cannot be used; C{str()} says why, and never holds key material."""


@attrs.frozen(slots=True)
class CertificateInfo:
    """What views show of a certificate (Get-ExchangeCertificate).

    @ivar thumbprint: SHA-1 of the certificate in upper case hex: a name, not a protection.
    @ivar issuer: as Exchange prints X.500 names, likewise L{subject}.
    @ivar names: the DNS names it is for.
    @ivar services: as configured.
    @ivar file: where it was read from.
    @ivar self_signed: made by its own key.
    """

    thumbprint: str
    issuer: str
    subject: str
    names: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime
    services: tuple[str, ...]
    file: str
    self_signed: bool

    @property
    def tls_certificate_name(self) -> str:
        """How a connector names it."""
        return f"<I>{self.issuer}<S>{self.subject}"

    def valid_at(self, moment: datetime.datetime) -> bool:
        """Whether it is valid at a time."""
        return self.not_before <= moment <= self.not_after


@attrs.frozen(slots=True, eq=False)
class KeyPair:
    """A certificate that can be used: with its private key and the rest of its chain."""

    info: CertificateInfo
    certificate: x509.Certificate
    key: PrivateKey = attrs.field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()


def read_pair(certificate_file: str, key_file: str, services: Sequence[str]) -> KeyPair:
    """Read and check a pair of files, which may be the same one.  L{CertificateError} where it cannot be used."""
    certificates = read_certificates(certificate_file)
    try:
        key = load_pem_private_key(content_of(key_file), password=None)
    except TypeError:
        raise CertificateError(f"{key_file}: the private key is encrypted; it must be stored without a password") from None
    except ValueError:
        raise CertificateError(f"{key_file}: holds no private key in PEM form") from None
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{key_file}: the private key is of a kind that TLS servers do not use; allowed: RSA, ECDSA, Ed25519, Ed448")
    return pair_of(certificates, key, services, certificate_file, key_file)


def pair_of(certificates: Sequence[x509.Certificate], key: PrivateKey, services: Sequence[str], file: str, key_file: str) -> KeyPair:
    """The certificate that belongs to a key, with the others as its chain.  L{CertificateError} where none does."""
    public = _public(key.public_key())
    for certificate in certificates:
        if _public(certificate.public_key()) == public:
            chain = tuple(other for other in certificates if other is not certificate)
            return KeyPair(describe(certificate, services, file), certificate, key, chain)
    raise CertificateError(f"{key_file}: is not the private key of the certificate in {file}")


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def read_certificates(file: str) -> list[x509.Certificate]:
    """The certificates of a file.  L{CertificateError} where it cannot be read or holds none."""
    return certificates_in(content_of(file), file)


def certificates_in(content: bytes, file: str) -> list[x509.Certificate]:
    """The certificates of a file's content.  L{CertificateError} where it holds none."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise CertificateError(f"{file}: holds no certificate in PEM form") from None


def describe(certificate: x509.Certificate, services: Sequence[str], file: str) -> CertificateInfo:
    """What views show of a certificate."""
    return CertificateInfo(
        thumbprint=certificate.fingerprint(hashes.SHA1()).hex().upper(),
        issuer=x500(certificate.issuer),
        subject=x500(certificate.subject),
        names=host_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        services=tuple(services),
        file=file,
        self_signed=certificate.issuer == certificate.subject,
    )


def content_of(file: str) -> bytes:
    """The content of a file.  L{CertificateError} where it cannot be read."""
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise CertificateError(f"{file}: cannot be read: {error.strerror or error}") from None
