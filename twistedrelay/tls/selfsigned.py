"""Self-signed certificates for connectors that have no other: ECDSA P-256, good for five years as Exchange's are.

Devices from before elliptic curves need RSA.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from twistedrelay.config.replace import make_directory, replace
from twistedrelay.tls.pem import PrivateKey

LIFETIME = datetime.timedelta(days=5 * 365)
_LONGEST_COMMON_NAME = 64  #: RFC 5280 appendix A.1, ub-common-name


def new_key(old_clients: bool = False) -> PrivateKey:
    """A new private key.

    @param old_clients: one that clients from before elliptic curves understand too.
    """
    if old_clients:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def write_self_signed(file: str, fqdn: str, now: datetime.datetime, old_clients: bool = False) -> None:
    """Make a certificate for a host and write it with its key into one file (0600), in one step."""
    certificate, key = self_signed(fqdn, now, old_clients)
    write_pair(file, [certificate], key)


def self_signed(fqdn: str, now: datetime.datetime, old_clients: bool = False) -> tuple[x509.Certificate, PrivateKey]:
    """A certificate for a host, with its key."""
    key = new_key(old_clients)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, fqdn)] if len(fqdn) <= _LONGEST_COMMON_NAME else [])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks of peers may be behind
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(fqdn)]), critical=not list(name))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def write_pair(file: str, certificates: Iterable[x509.Certificate], key: PrivateKey) -> None:
    """Write certificates and the key of the first one into one file (0600), in one step."""
    parts = [certificate.public_bytes(Encoding.PEM) for certificate in certificates]
    parts.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    make_directory(os.path.dirname(file))
    replace(file, b"".join(parts).decode("ascii"))
