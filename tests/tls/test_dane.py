"""Tests for L{twistedrelay.tls.dane}, and of level dane through real handshakes."""

from __future__ import annotations

import datetime
import hashlib
from types import SimpleNamespace
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from tests.tls.handshakes import Protocol, handshake
from twistedrelay.tls.dane import matches, public_key_info, usable, verify
from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.values.route import TLSA, TLSPolicy

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Issued:
    """A certificate with its key."""

    def __init__(self, name: str, issuer: Issued | None = None, *, authority: bool = False, ends: datetime.datetime = NOW + DAY) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    def record(self, usage: int, selector: int, matching: int) -> TLSA:
        octets = self.certificate.public_bytes(Encoding.DER)
        if selector:
            octets = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digests = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}
        return TLSA(usage, selector, matching, digests[matching])


ROOT = Issued("Root", authority=True)
MIDDLE = Issued("Middle", ROOT, authority=True)
SERVER = Issued("mx.example", MIDDLE)
OTHER = Issued("Other", authority=True)
EXPIRED = Issued("mx.example", MIDDLE, ends=NOW - DAY)
ALL = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]


def refused(client_policy: TLSPolicy, *shown: Issued, host: str = "mx.example") -> str:
    """Why our client refuses a server that shows these certificates; C{""} where it does not."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(shown[0].key)
    context.use_certificate(shown[0].certificate)
    for other in shown[1:]:
        context.add_extra_chain_cert(other.certificate)
    protocol = Protocol()
    client = ClientContexts().creator(client_policy, host).clientConnectionForTLS(protocol)
    try:
        handshake(client, SSL.Connection(context, None))
    except SSL.Error:
        assert isinstance(protocol.reason, UntrustedPeer)
        return f"{protocol.reason.failure}: {protocol.reason}"
    return ""


def dane(*records: TLSA, name: str = "", names: tuple[str, ...] = ()) -> TLSPolicy:
    return TLSPolicy("dane", name, records, names, source="dane")


@pytest.mark.parametrize(("selector", "matching"), ALL)
def test_the_servers_own_certificate(selector: int, matching: int) -> None:
    """DANE-EE: neither issuer nor name nor date count, only that it is the one."""
    policy = dane(SERVER.record(3, selector, matching))
    assert refused(policy, SERVER, MIDDLE) == ""
    assert refused(policy, SERVER, host="other.name.example") == ""
    assert refused(dane(EXPIRED.record(3, selector, matching)), EXPIRED) == ""
    assert refused(policy, EXPIRED, MIDDLE) == "validation-failure: no TLSA record fits the server's certificate"
    assert refused(dane(OTHER.record(3, selector, matching), SERVER.record(3, selector, matching)), SERVER) == ""


@pytest.mark.parametrize(("selector", "matching"), ALL)
@pytest.mark.parametrize("anchor", [ROOT, MIDDLE])
def test_an_authority(anchor: Issued, selector: int, matching: int) -> None:
    """DANE-TA: the chain that was sent leads to it, with good dates and one of the names."""
    policy = dane(anchor.record(2, selector, matching))
    shown = (SERVER, MIDDLE, ROOT)
    assert refused(policy, *shown) == ""
    assert refused(policy, *shown, host="wrong.example") == "certificate-host-mismatch: the server's certificate is not for wrong.example"
    assert refused(policy, EXPIRED, MIDDLE, ROOT).startswith("certificate-expired")
    failure = "certificate-not-trusted" if (selector, matching) == (0, 0) else "validation-failure: no TLSA record fits"
    assert refused(policy, Issued("mx.example", OTHER), MIDDLE, ROOT).startswith(failure)
    assert refused(policy, Issued("mx.example", Issued("Middle", ROOT, authority=True)), MIDDLE, ROOT) != ""  # same name, another key


def test_names_below_an_authority() -> None:
    """The owner of the records, the host, the recipients' domain: one of them will do, also by a wildcard."""
    record = ROOT.record(2, 1, 1)
    wild = Issued("*.example", MIDDLE)
    assert refused(dane(record, name="mx.example"), SERVER, MIDDLE, ROOT, host="alias.test") == ""
    assert refused(dane(record, names=("mx.example",)), SERVER, MIDDLE, ROOT, host="alias.test") == ""
    assert refused(dane(record), wild, MIDDLE, ROOT) == ""
    assert "certificate-host-mismatch" in refused(dane(record, names=("example",)), wild, MIDDLE, ROOT, host="a.b.example")


def test_an_authority_that_is_in_the_record_only() -> None:
    """A whole certificate in the record need not be sent; of a digest nobody can make a certificate."""
    assert refused(dane(ROOT.record(2, 0, 0)), SERVER, MIDDLE) == ""
    assert refused(dane(MIDDLE.record(2, 0, 0)), SERVER) == ""
    assert refused(dane(ROOT.record(2, 0, 1)), SERVER, MIDDLE).startswith("validation-failure: no TLSA record fits")
    assert refused(dane(OTHER.record(2, 0, 0)), SERVER, MIDDLE, ROOT).startswith("certificate-not-trusted")


def test_usages_do_not_stand_in_for_one_another() -> None:
    assert refused(dane(SERVER.record(2, 1, 1)), SERVER, MIDDLE, ROOT) != ""
    assert refused(dane(ROOT.record(3, 1, 1)), SERVER, MIDDLE, ROOT) != ""


@pytest.mark.parametrize(
    "record",
    [
        TLSA(3, 1, 1, b""),
        TLSA(3, 1, 1, b"abc"),
        TLSA(3, 1, 2, bytes(32)),
        TLSA(3, 1, 0, b""),
        TLSA(3, 0, 0, b"abc"),
        TLSA(2, 1, 0, b"abc"),
        TLSA(3, 2, 1, bytes(32)),
        TLSA(3, 1, 3, bytes(32)),
        TLSA(0, 1, 1, bytes(32)),
        TLSA(1, 1, 1, bytes(32)),
        TLSA(255, 1, 1, bytes(32)),
    ],
)
def test_records_that_cannot_be_used(record: TLSA) -> None:
    assert usable([record]) == ()


def test_a_certificate_that_only_one_library_can_read_cannot_be_used() -> None:
    """Each of them looks at some parts late: what it says then must not end a lookup, or a handshake."""
    octets = SERVER.record(2, 0, 0).data
    version = octets.index(bytes((0xA0, 3, 2, 1, 2)))
    odd_version = octets[: version + 4] + b"\x28" + octets[version + 5 :]
    name = octets.index(bytes.fromhex("5504030c"))
    odd_name = octets[: name + 3] + b"\xf9" + octets[name + 4 :]
    assert usable([TLSA(2, 0, 0, octets), TLSA(2, 0, 0, odd_version), TLSA(2, 0, 0, odd_name)]) == (TLSA(2, 0, 0, octets),)


def test_only_the_strongest_digest_counts() -> None:
    weak, strong, other = SERVER.record(3, 1, 1), SERVER.record(3, 1, 2), SERVER.record(3, 0, 1)
    assert usable([weak, strong, other, strong]) == (strong, other)
    assert usable([weak, SERVER.record(2, 1, 2)]) == (weak, SERVER.record(2, 1, 2))


@given(st.builds(TLSA, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=80)))
def test_any_record_is_judged(record: TLSA) -> None:
    """Whatever a domain publishes, there is no exception but a refusal."""
    for good in usable([record]):
        with pytest.raises(UntrustedPeer):
            verify([good], ["mx.example"], [SERVER.certificate, MIDDLE.certificate])


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_public_key_info(key: rsa.RSAPrivateKey) -> None:
    """Found by position in the certificate; what the library makes of the key anew is the same for usual keys."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n" * 60)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + DAY)
    certificate = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    assert public_key_info(certificate) == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert matches(TLSA(3, 1, 0, public_key_info(certificate)), certificate)


def test_the_first_version_of_certificates() -> None:
    """X.509 version 1 has no version field."""
    octets = SERVER.certificate.tbs_certificate_bytes
    header, version = 2 + (octets[1] & 0x7F), 5
    without = octets[header + version :]
    old = SimpleNamespace(tbs_certificate_bytes=bytes((0x30, 0x82)) + len(without).to_bytes(2, "big") + without)
    assert public_key_info(cast(x509.Certificate, old)) == SERVER.record(3, 1, 0).data
