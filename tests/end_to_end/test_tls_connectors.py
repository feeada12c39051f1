"""TLS of the receive connectors, as clients see it: versions, tickets, client certificates, certificates that change."""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from tests.end_to_end.relay import FQDN, Relay, article
from tests.network import LOOPBACK, PATIENCE, eventually, free_port, unverified

Program = Callable[[str], str]


@pytest.fixture(scope="module")
def partners() -> trustme.CA:
    """Who signs the client certificates of partners."""
    return trustme.CA()


@pytest.fixture(scope="module")
def relay(partners: trustme.CA) -> Iterator[Relay]:
    """The article's relay with a connector for old scanners, and one for partners with certificates."""
    configuration, ports = article("maildir:mail")
    connectors = configuration["receive_connectors"]
    old = {"tls_minimum_version": "TLSv1", "tls_cipher_profile": "Old"}
    mutual = {"domain_secure_enabled": True, "tls_client_ca_file": "partners.pem"}
    for name, special in (("old", old), ("partner", mutual)):
        ports[name] = free_port()
        connectors[name] = {**connectors["Default Frontend"], "bindings": [f"{LOOPBACK}:{ports[name]}"], **special}
    made = Relay(configuration, ports)
    partners.cert_pem.write_to_path(str(made.directory / "partners.pem"))
    with made:
        yield made


def s_client(program: Program, relay: Relay, port: str, *options: str) -> subprocess.CompletedProcess[str]:
    """OpenSSL's client with STARTTLS; it quits as soon as TLS is there."""
    return subprocess.run(
        [program("openssl"), "s_client", "-starttls", "smtp", "-connect", f"{LOOPBACK}:{relay.ports[port]}", *options],
        input="QUIT\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("ciphers", ["ALL", "AES128-SHA"])
def test_an_old_scanner_has_a_connector_of_its_own(program: Program, relay: Relay, ciphers: str) -> None:
    """TLS 1.0 works there, without elliptic curves too; all other connectors refuse it."""
    options = ("-tls1", "-cipher", f"{ciphers}:@SECLEVEL=0")
    done = s_client(program, relay, "old", *options)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Protocol *: TLSv1\n", done.stdout), done.stdout
    eventually(lambda: "TLSv1 " in relay.output(), "the log says it")
    for port in ("relay", "submission"):
        refused = s_client(program, relay, port, *options)
        assert refused.returncode != 0
        assert "protocol version" in refused.stderr


def secured(relay: Relay, port: str, source: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> smtplib.SMTP:
    """A session behind STARTTLS."""
    client = smtplib.SMTP(LOOPBACK, relay.ports[port], "client", timeout=PATIENCE, source_address=(source, 0))
    client.ehlo()
    assert client.docmd("STARTTLS")[0] == 220
    client.sock = context.wrap_socket(client.sock, server_hostname=FQDN, session=session)  # type: ignore[arg-type]
    client.file = None
    client.ehlo()
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_open_at_their_own_connector_only(relay: Relay, version: ssl.TLSVersion) -> None:
    """Also where the two connectors share a port and a certificate, and only the client's address tells them apart."""
    context = unverified()
    context.minimum_version = context.maximum_version = version
    reused = []
    for port, source in (("relay", LOOPBACK), ("relay", "127.0.0.2"), ("old", LOOPBACK)):
        with secured(relay, "relay", LOOPBACK, context) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            ticket = client.sock.session
        assert ticket is not None
        assert ticket.has_ticket
        with secured(relay, port, source, context, ticket) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            reused.append(client.sock.session_reused)
    assert reused == [True, False, False]


def test_partners_show_a_certificate(relay: Relay, partners: trustme.CA) -> None:
    """Where it is demanded, nobody gets in without; and that is logged."""
    context = unverified()
    partners.issue_cert("mx.partner.example").configure_cert(context)
    with secured(relay, "partner", LOOPBACK, context) as client:
        assert client.noop()[0] == 250
    stranger = unverified()
    trustme.CA().issue_cert("mx.partner.example").configure_cert(stranger)
    failed = relay.output().count("TLS failed")
    for refused in (stranger, unverified()):
        with pytest.raises((OSError, smtplib.SMTPException)):
            secured(relay, "partner", LOOPBACK, refused)
    eventually(lambda: relay.output().count("TLS failed") == failed + 2, "the log says it")
    assert "TLS failed: peer did not return a certificate (domain_secure_enabled) " in relay.output()


def scanned(program: Program, relay: Relay, port: str) -> str:
    """What sslscan finds at a connector."""
    command = [program("sslscan"), "--no-colour", "--starttls-smtp", f"{LOOPBACK}:{relay.ports[port]}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_a_scanner_of_tls_finds_nothing(program: Program, relay: Relay) -> None:
    """With the default profile: only TLS 1.2 and 1.3, only authenticated ciphers, nothing that is known to be weak."""
    found = scanned(program, relay, "submission")
    versions = dict(re.findall(r"^((?:SSL|TLS)v\S+) +(enabled|disabled)$", found, re.MULTILINE))
    assert {version for version, state in versions.items() if state == "enabled"} == {"TLSv1.2", "TLSv1.3"}
    ciphers = set(re.findall(r"^(?:Preferred|Accepted) +\S+ +\d+ bits +(\S+)", found, re.MULTILINE))
    assert len(ciphers) == 6
    assert all("GCM" in cipher or "CHACHA20" in cipher for cipher in ciphers)
    assert "Session renegotiation not supported" in found
    assert not re.search(r"ffdhe|DHE-RSA-AES\d+-SHA\b|(?<!not )vulnerable to heartbleed", found), found
    old = scanned(program, relay, "old")
    assert re.search(r"^TLSv1\.0 +enabled$", old, re.MULTILINE)


def write(pair: trustme.LeafCert, directory: Path) -> None:
    """A certificate and its key in two files."""
    (directory / "mail.crt").write_bytes(b"".join(part.bytes() for part in pair.cert_chain_pems))
    (directory / "mail.key").write_bytes(pair.private_key_pem.bytes())


def serial(relay: Relay) -> int:
    """The number of the certificate that the relay port shows."""
    with secured(relay, "relay", LOOPBACK, unverified()) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        shown = client.sock.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def number(pair: trustme.LeafCert) -> int:
    """The number of a certificate."""
    return x509.load_pem_x509_certificate(pair.cert_chain_pems[0].bytes()).serial_number


@pytest.mark.slow
def test_certificates_change_under_live_sessions() -> None:
    """New ones are taken up, bad ones and files that vanish are alarms, each once; what is open goes on, and STARTTLS is never lost."""
    configuration, ports = article("maildir:mail")
    configuration["certificates"] = [{"certificate": "mail.crt", "private_key": "mail.key"}]
    authority = trustme.CA()
    first, second, third = (authority.issue_cert(FQDN, common_name=FQDN, organization_unit_name="relay") for _ in range(3))
    relay = Relay(configuration, ports)
    write(first, relay.directory)
    name = relay.listed("certificate", "list")[0]["tls_certificate_name"]
    configuration["receive_connectors"]["Default Frontend"]["tls_certificate_name"] = name
    relay.write()
    with relay:
        with contextlib.ExitStack() as sessions:
            live = [sessions.enter_context(secured(relay, "relay", LOOPBACK, unverified()))]
            assert serial(relay) == number(first)
            write(second, relay.directory)
            eventually(lambda: "Default Frontend: from now on" in relay.output(), "the new one is taken up")
            assert serial(relay) == number(second)
            live.append(sessions.enter_context(secured(relay, "relay", LOOPBACK, unverified())))
            (relay.directory / "mail.crt").write_text("garbage")
            eventually(lambda: "holds no certificate in PEM form; its last good version stays in use" in relay.output(), "the alarm")
            assert serial(relay) == number(second)
            (relay.directory / "mail.crt").unlink()
            (relay.directory / "mail.key").unlink()
            eventually(lambda: "mail.crt: cannot be read: No such file or directory" in relay.output(), "the alarm")
            assert serial(relay) == number(second)
            write(third, relay.directory)
            eventually(lambda: relay.output().count("Default Frontend: from now on") == 2, "the last one is taken up")
            assert serial(relay) == number(third)
            assert [client.noop()[0] for client in live] == [250, 250]
        assert relay.output().count("stays in use") == 2
        relay.stop()
        (relay.directory / "mail.crt").unlink()
        relay.launch()
        assert relay.process is not None
        assert relay.process.wait(PATIENCE) == 1
        relay.process = None
        assert "is not in the store; there are: " in relay.output()
