"""Reads a certificate with its private key as people get them: PEM in one file or two, or PKCS#12 (.pfx), with or without a password.

Sources: Import-ExchangeCertificate; RFC 7292 (PKCS#12), RFC 7468 (PEM).
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from twistedrelay.tls.pem import CertificateError, KeyPair, PrivateKey, certificates_in, content_of, pair_of

_PEM = b"-----BEGIN "


class PasswordNeeded(CertificateError):
    """The private key is encrypted: it needs a password, or another one."""


def read_import(certificate_file: str, key_file: str, password: str | None, services: Sequence[str] = ("SMTP",)) -> KeyPair:
    """Read a certificate with its chain and its key.

    @param key_file: the same file where both are in one.
    @raise PasswordNeeded: without the right password.
    @raise CertificateError: it cannot be used.
    """
    content = content_of(certificate_file)
    if _PEM not in content and certificate_file == key_file:
        return _from_pkcs12(content, certificate_file, password, services)
    certificates = certificates_in(content, certificate_file)
    key = _key(content_of(key_file), key_file, password)
    return pair_of(certificates, key, services, certificate_file, key_file)


def _key(content: bytes, file: str, password: str | None) -> PrivateKey:
    try:
        key = load_pem_private_key(content, None)
    except TypeError:  # it is encrypted
        try:
            key = load_pem_private_key(content, _octets(password, file))
        except ValueError:
            raise PasswordNeeded(f"{file}: the password is wrong") from None
    except ValueError:
        raise CertificateError(f"{file}: holds no private key in PEM form") from None
    return _usable(key, file)


def _from_pkcs12(content: bytes, file: str, password: str | None, services: Sequence[str]) -> KeyPair:
    try:
        key, certificate, others = load_key_and_certificates(content, None if password is None else password.encode())
    except ValueError as error:
        if "password" not in str(error).lower():
            raise CertificateError(f"{file}: holds neither PEM nor PKCS#12") from None
        wrong = "it needs a password" if password is None else "the password is wrong"
        raise PasswordNeeded(f"{file}: {wrong}") from None
    if key is None or certificate is None:
        raise CertificateError(f"{file}: holds no certificate with its private key")
    return pair_of([certificate, *others], _usable(key, file), services, file, file)


def _usable(key: object, file: str) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{file}: the private key is of a kind that TLS servers do not use; allowed: RSA, ECDSA, Ed25519, Ed448")
    return key


def _octets(password: str | None, file: str) -> bytes:
    if not password:
        raise PasswordNeeded(f"{file}: the private key needs a password")
    return password.encode()
