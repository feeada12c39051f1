"""Tests for L{twistedrelay.tls.serverside} and L{twistedrelay.tls.peer}."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL._util import lib

from tests.tls.handshakes import Protocol, config_of, connector, contexts_of, handshake
from twistedrelay.config.schema import Certificate, ReceiveConnector
from twistedrelay.tls import peer
from twistedrelay.tls.checks import certificate_problems
from twistedrelay.tls.contexts import ServerCreator
from twistedrelay.tls.selfsigned import write_pair

if TYPE_CHECKING:
    from conftest import Authority


VERSIONS = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}


def contexts_for(tmp_path: Path, authority: Authority, *connectors: ReceiveConnector) -> list[SSL.Context]:
    """The contexts of connectors named 0, 1, ..., with a certificate for relay.example and one for other.example."""
    certificates = (authority.issue("relay.example"), authority.issue("other.example"))
    config = config_of(tmp_path, {str(index): item for index, item in enumerate(connectors)}, certificates)
    contexts, said = contexts_of(config)
    assert said == []
    return [contexts.server_context(item) for item in config.receive_connectors.values()]


def client_context(version: str = "", ciphers: str = "ALL:@SECLEVEL=0") -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(ciphers.encode())
    if version:
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
    return context


def connected(context: SSL.Context, client: SSL.Context, name: str = "", session: SSL.Session | None = None) -> tuple[Any, Any]:
    """Both sides after a handshake, and after the client has read the tickets that follow it."""
    ours, theirs = ServerCreator(context).serverConnectionForTLS(Protocol()), SSL.Connection(client, None)
    if name:
        theirs.set_tlsext_host_name(name.encode())
    if session is not None:
        theirs.set_session(session)
    handshake(theirs, ours)
    with pytest.raises(SSL.WantReadError):
        theirs.recv(1)
    return ours, theirs


@pytest.mark.parametrize(
    ("profile", "minimum", "maximum", "spoken"),
    [
        ("Intermediate", "TLSv1.2", "TLSv1.3", {"TLSv1.2", "TLSv1.3"}),
        ("Modern", "TLSv1.3", "TLSv1.3", {"TLSv1.3"}),
        ("Modern", "TLSv1.2", "TLSv1.2", {"TLSv1.2"}),
        ("Old", "TLSv1", "TLSv1.3", set(VERSIONS)),
        ("Old", "TLSv1.1", "TLSv1.1", {"TLSv1.1"}),
    ],
)
def test_versions(authority: Authority, tmp_path: Path, profile: str, minimum: str, maximum: str, spoken: set[str]) -> None:
    wanted = connector(tls_cipher_profile=profile, tls_minimum_version=minimum, tls_maximum_version=maximum)
    (context,) = contexts_for(tmp_path, authority, wanted)
    for version in VERSIONS:
        if version in spoken:
            ours, _ = connected(context, client_context(version))
            assert ours.get_protocol_version_name() == version
        else:
            with pytest.raises(SSL.Error):
                connected(context, client_context(version))


@pytest.mark.parametrize(
    ("profile", "cipher", "spoken"),
    [
        ("Intermediate", "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("Modern", "ECDHE-ECDSA-AES128-GCM-SHA256", False),
        ("Modern", "ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("Intermediate", "ECDHE-ECDSA-AES256-SHA384", False),
        ("Old", "ECDHE-ECDSA-AES256-SHA384", True),
        ("Old", "ECDHE-ECDSA-AES128-SHA", True),
    ],
)
def test_ciphers(authority: Authority, tmp_path: Path, profile: str, cipher: str, spoken: bool) -> None:
    (context,) = contexts_for(tmp_path, authority, connector(tls_cipher_profile=profile))
    client = client_context("TLSv1.2", f"{cipher}:@SECLEVEL=0")
    if spoken:
        ours, _ = connected(context, client)
        assert ours.get_cipher_name() == cipher
    else:
        with pytest.raises(SSL.Error):
            connected(context, client)


@pytest.mark.parametrize("groups", [b"ffdhe2048:ffdhe3072", b"P-256", b"X25519"])
def test_groups(authority: Authority, tmp_path: Path, groups: bytes) -> None:
    (context,) = contexts_for(tmp_path, authority, connector())
    client = client_context("TLSv1.3")
    assert lib.SSL_CTX_set1_curves_list(client._context, groups) == 1
    if groups.startswith(b"ff"):
        with pytest.raises(SSL.Error):
            connected(context, client)
    else:
        connected(context, client)


def test_old_devices_without_elliptic_curves(tmp_path: Path) -> None:
    """A connector that has no certificate makes one that they understand, beside the others' own."""
    old = connector(tls_cipher_profile="Old", tls_minimum_version="TLSv1")
    config = config_of(tmp_path, {"New": connector(), "Old": old})
    contexts, _ = contexts_of(config)
    ours, _ = connected(contexts.server_context(old), client_context("TLSv1", "AES128-SHA:@SECLEVEL=0"))
    assert (ours.get_protocol_version_name(), ours.get_cipher_name()) == ("TLSv1", "AES128-SHA")
    ours, _ = connected(contexts.server_context(config.receive_connectors["New"]), client_context("TLSv1.2"))
    assert "ECDSA" in ours.get_cipher_name()


def test_a_client_cannot_renegotiate(authority: Authority, tmp_path: Path) -> None:
    (context,) = contexts_for(tmp_path, authority, connector())
    ours, theirs = connected(context, client_context("TLSv1.2"))
    theirs.renegotiate()
    with pytest.raises(SSL.WantReadError):
        theirs.do_handshake()
    ours.bio_write(theirs.bio_read(65536))
    with pytest.raises(SSL.WantReadError):
        ours.recv(1)
    theirs.bio_write(ours.bio_read(65536))
    with pytest.raises(SSL.Error, match="no renegotiation"):
        theirs.do_handshake()
    assert ours.total_renegotiations() == 0


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("name", ["", "relay.example", "other.example"])
def test_sessions_resume_at_their_own_connector_only(authority: Authority, tmp_path: Path, version: str, name: str) -> None:
    first, second = contexts_for(tmp_path, authority, connector(), connector())
    client = client_context(version)
    resumed = []
    for context in (first, second):
        _, before = connected(first, client, name)
        session = before.get_session()
        assert session is not None
        _, again = connected(context, client, name, session)
        resumed.append(bool(lib.SSL_session_reused(again._ssl)))
    assert resumed == [True, False]


@pytest.fixture
def clients(tmp_path: Path) -> trustme.CA:
    """The authority of client certificates, its certificate in clients.pem."""
    made = trustme.CA(organization_name="Client Authority")
    made.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    return made


def with_certificate(made: trustme.LeafCert, version: str = "") -> SSL.Context:
    context = client_context(version)
    context.use_certificate(x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()))
    key = load_pem_private_key(made.private_key_pem.bytes(), None)
    context.use_privatekey(key)  # type: ignore[arg-type]
    return context


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_client_certificate_that_is_demanded(authority: Authority, clients: trustme.CA, tmp_path: Path, version: str) -> None:
    wanted = connector(domain_secure_enabled=True, tls_client_ca_file=str(tmp_path / "clients.pem"))
    (context,) = contexts_for(tmp_path, authority, wanted)
    ours, _ = connected(context, with_certificate(clients.issue_cert("mx.partner.example", common_name="MX.partner"), version))
    found = peer.client_certificate(ours)
    assert found is not None
    assert found.subject.startswith("CN=MX.partner, ")
    assert (found.dns_names, found.emails, len(found.thumbprint)) == (("mx.partner.example",), (), 40)
    for refused in (client_context(version), with_certificate(trustme.CA().issue_cert("mx.partner.example"), version)):
        with pytest.raises(SSL.Error):
            connected(context, refused)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("name", ["", "other.example"])
def test_a_client_certificate_that_is_asked_for(authority: Authority, clients: trustme.CA, tmp_path: Path, version: str, name: str) -> None:
    wanted = connector(auth_mechanism=["Tls", "External"], tls_client_ca_file=str(tmp_path / "clients.pem"))
    (context,) = contexts_for(tmp_path, authority, wanted)
    good = with_certificate(clients.issue_cert("scanner@akkaya.local"), version)
    ours, before = connected(context, good, name)
    assert [item.O for item in before.get_client_ca_list()] == ["Client Authority"]
    found = peer.client_certificate(ours)
    assert found is not None
    assert found.emails == ("scanner@akkaya.local",)
    for anonymous in (client_context(version), with_certificate(trustme.CA().issue_cert("scanner@akkaya.local"), version)):
        ours, _ = connected(context, anonymous, name)
        assert peer.client_certificate(ours) is None
    if (session := before.get_session()) is not None:
        _, again = connected(context, good, name, session)
        assert not lib.SSL_session_reused(again._ssl)


def test_the_systems_authorities(authority: Authority, clients: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a certificate is demanded and no file says whose."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "clients.pem"))
    (context,) = contexts_for(tmp_path, authority, connector(domain_secure_enabled=True))
    ours, _ = connected(context, with_certificate(clients.issue_cert("mx.partner.example")))
    assert peer.client_certificate(ours) is not None
    with pytest.raises(SSL.Error):
        connected(context, with_certificate(trustme.CA().issue_cert("mx.partner.example")))


def test_nobody_is_asked_without_need(authority: Authority, clients: trustme.CA, tmp_path: Path) -> None:
    (context,) = contexts_for(tmp_path, authority, connector())
    ours, _ = connected(context, with_certificate(clients.issue_cert("a@akkaya.local")))
    assert peer.client_certificate(ours) is None


def test_the_files_of_authorities_are_read_again(authority: Authority, clients: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "clients.pem"
    wanted = connector(domain_secure_enabled=True, tls_client_ca_file=str(file))
    config = config_of(tmp_path, {"A": wanted}, (authority.issue("relay.example"),))
    contexts, _ = contexts_of(config)
    other = trustme.CA()
    client = with_certificate(other.issue_cert("mx.example"))
    file.write_text("garbage")
    (event,) = contexts.refresh()
    assert event.text.startswith(f"A: {file}: holds no certificate in PEM form; the certificate ")
    with pytest.raises(SSL.Error):
        connected(contexts.server_context(wanted), client)
    other.cert_pem.write_to_path(str(file))
    assert contexts.refresh() == []
    ours, _ = connected(contexts.server_context(wanted), client)
    assert peer.client_certificate(ours) is not None
    file.unlink()
    (problem,) = certificate_problems(config)
    assert (problem.path[2], problem.text) == ("tls_client_ca_file", f"{file}: cannot be read: No such file or directory")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("name", ["relay.example", "other.example"])
def test_channel_bindings(authority: Authority, tmp_path: Path, version: str, name: str) -> None:
    """Both sides see the same; the certificate is the one that was shown."""
    (context,) = contexts_for(tmp_path, authority, connector())
    ours, theirs = connected(context, client_context(version), name)
    found = peer.channel_bindings(ours)
    shown = theirs.get_peer_certificate(as_cryptography=True)
    assert shown is not None
    expected = {"tls-server-end-point": hashlib.sha256(shown.public_bytes(Encoding.DER)).digest()}
    if version == "TLSv1.3":
        expected["tls-exporter"] = theirs.export_keying_material(b"EXPORTER-Channel-Binding", 32, None)
    assert found == expected


def test_a_certificate_that_binds_no_channel(tmp_path: Path) -> None:
    """RFC 5929: without a single hash in its signature, the end point is not defined."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.example")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=99)).sign(key, None)
    write_pair(str(tmp_path / "a.pem"), [made], key)
    certificate = Certificate(certificate=str(tmp_path / "a.pem"), private_key=str(tmp_path / "a.pem"))
    config = config_of(tmp_path, {"A": connector(tls_certificate_name=made.fingerprint(hashes.SHA1()).hex())}, (certificate,))
    contexts, _ = contexts_of(config)
    ours, _ = connected(contexts.server_context(config.receive_connectors["A"]), client_context("TLSv1.2"))
    assert peer.channel_bindings(ours) == {}
