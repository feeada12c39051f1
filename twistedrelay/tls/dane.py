"""DANE: whether a TLSA record can be used at all, and whether a server's certificates are what a domain published.

Of the usages there are DANE-TA(2) and DANE-EE(3); the PKIX ones say nothing between mail servers (RFC 7672 section 3.1.3).  EE(3) compares
the server's own certificate and nothing else: neither names nor dates.  TA(2) wants a chain from it to a certificate that a record means,
with all signatures and dates good, and one of the names.  That certificate comes with the handshake, or is itself in the record.  Of
several digests for the same thing only the strongest counts.  Nothing is looked up here.

Sources: RFC 6698, RFC 7671 (sections 5 and 9), RFC 7672 section 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from OpenSSL import crypto

from twistedrelay.tls.failures import UntrustedPeer, untrusted, wrong_name
from twistedrelay.tls.names import fits, host_names
from twistedrelay.values.route import TLSA

DANE_TA, DANE_EE = 2, 3
CERTIFICATE, PUBLIC_KEY = 0, 1
FULL, SHA_256, SHA_512 = 0, 1, 2

_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    FULL: bytes,
    SHA_256: lambda octets: hashlib.sha256(octets).digest(),
    SHA_512: lambda octets: hashlib.sha512(octets).digest(),
}
_LENGTHS = {SHA_256: 32, SHA_512: 64}
_VERSION = 0xA0  #: the tag of an explicit version


def usable(records: Iterable[TLSA]) -> tuple[TLSA, ...]:
    """The records that a certificate can be compared with, without weaker digests of what a stronger one is there for."""
    good = tuple(dict.fromkeys(record for record in records if _is_usable(record)))
    strong = {(record.usage, record.selector) for record in good if record.matching == SHA_512}
    return tuple(record for record in good if record.matching != SHA_256 or (record.usage, record.selector) not in strong)


def _is_usable(record: TLSA) -> bool:
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (CERTIFICATE, PUBLIC_KEY):
        return False
    if record.matching != FULL:
        return _LENGTHS.get(record.matching) == len(record.data)
    try:
        if record.selector == CERTIFICATE:
            crypto.X509.from_cryptography(x509.load_der_x509_certificate(record.data))  # one of them is not enough: each is lazy
        else:
            load_der_public_key(record.data)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, crypto.Error):
        return False
    return True


def verify(records: Sequence[TLSA], names: Sequence[str], chain: Sequence[x509.Certificate]) -> None:
    """Check the certificates of a server, its own first.

    @param records: usable ones.
    @param names: those that a certificate below a TA(2) record may have.
    @raise UntrustedPeer: they are not what was published.
    """
    own, issuers = chain[0], chain[1:]
    if any(record.usage == DANE_EE and matches(record, own) for record in records):
        return
    anchors = list(_anchors(records, issuers))
    if not anchors:
        raise UntrustedPeer("no TLSA record fits the server's certificate")
    _verify_chain(own, issuers, anchors)
    patterns = host_names(own)
    if not any(fits(pattern, name) for pattern in patterns for name in names):
        raise wrong_name(" or ".join(names))


def matches(record: TLSA, certificate: x509.Certificate) -> bool:
    """Whether a usable record means a certificate."""
    octets = certificate.public_bytes(Encoding.DER) if record.selector == CERTIFICATE else public_key_info(certificate)
    return _DIGESTS[record.matching](octets) == record.data


def _anchors(records: Sequence[TLSA], issuers: Sequence[x509.Certificate]) -> Iterable[x509.Certificate]:
    for record in records:
        if record.usage == DANE_TA:
            yield from (issuer for issuer in issuers if matches(record, issuer))
            if (record.selector, record.matching) == (CERTIFICATE, FULL):
                yield x509.load_der_x509_certificate(record.data)


def _verify_chain(own: x509.Certificate, issuers: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> None:
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # an anchor may be an intermediate authority
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    others = [crypto.X509.from_cryptography(issuer) for issuer in issuers]
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(own), others).verify_certificate()
    except crypto.X509StoreContextError as error:
        raise untrusted(error.errors[0]) from None


def public_key_info(certificate: x509.Certificate) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, octet for octet: a record is about how it was written there."""
    octets = certificate.tbs_certificate_bytes
    offset, _ = _content(octets, 0)
    skipped = 6 if octets[offset] == _VERSION else 5  # version, serial number, signature algorithm, issuer, validity, subject
    for _ in range(skipped):
        offset = _content(octets, offset)[1]
    return octets[offset : _content(octets, offset)[1]]


def _content(octets: bytes, offset: int) -> tuple[int, int]:
    """Where the content of the DER element at an offset begins, and where it ends.  The octets were parsed before."""
    length = octets[offset + 1]
    begin = offset + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(octets[begin : begin + size], "big")
        begin += size
    return begin, begin + length
