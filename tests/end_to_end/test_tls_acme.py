"""Certificates by ACME: the real daemon and pebble, over real sockets."""

from __future__ import annotations

import http.client
import socket
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from tests.end_to_end.acmeserver import Pebble
from tests.end_to_end.nameserver import NameServer
from tests.end_to_end.relay import Configuration, Relay, article
from tests.network import LOOPBACK, PATIENCE, Dialogue, eventually

Program = Callable[[str], str]

HOSTS = ("relay.akkaya.local", "mail.cozumpark.com")


def shown(relay: Relay, port: str = "submissions") -> x509.Certificate:
    """The certificate that a connector shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((LOOPBACK, relay.ports[port]), timeout=PATIENCE) as plain, context.wrap_socket(plain) as secure:
        found = secure.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found)


def issuer(relay: Relay) -> str:
    """Who has signed the certificate of the submissions port."""
    return shown(relay).issuer.rfc4514_string()


def with_acme(pebble: Pebble) -> tuple[Configuration, dict[str, int]]:
    """The article's relay, which may ask pebble."""
    configuration, ports = article("maildir:mail")
    configuration["acme"] = {
        "directory_url": pebble.directory_url,
        "contact": "mailto:postmaster@akkaya.local",
        "terms_of_service_agreed": True,
        "http_listen": f"{LOOPBACK}:{pebble.http_port}",
        "ca_file": str(pebble.ca_file),
    }
    return configuration, ports


def resolving() -> NameServer:
    """A name server that knows our hosts."""
    server = NameServer()
    for host in HOSTS:
        server.records[host] = [("A", LOOPBACK)]
    return server


def test_the_first_certificate_and_its_renewal(program: Program) -> None:
    """Each host of a connector gets its own; a session that is open goes on while new ones see the next certificate."""
    with resolving() as names, Pebble(program("pebble"), names.address, lifetime=18) as pebble:
        configuration, ports = with_acme(pebble)
        with Relay(configuration, ports) as relay:
            eventually(lambda: "Pebble" in issuer(relay), "a certificate of pebble is shown")
            with Dialogue(ports["submissions"], greeting=False) as session:
                session.wrap("mail.cozumpark.com")
                assert session.reply().startswith("220 ")
                first = shown(relay)
                names_in = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                assert names_in.get_values_for_type(x509.DNSName) == ["mail.cozumpark.com"]
                directory = relay.state / "acme"
                eventually(lambda: len(list(directory.glob("*.pem"))) == 2, "both hosts have one")
                assert {path.name for path in directory.iterdir()} == {"account.json", *(f"{host}.pem" for host in HOSTS)}
                assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
                assert stat.S_IMODE(directory.stat().st_mode) == 0o700
                account = (directory / "account.json").read_bytes()
                eventually(lambda: shown(relay).serial_number != first.serial_number, "it is renewed")
                assert shown(relay).public_key() != first.public_key()
                assert session.command("EHLO client").startswith("250")
            assert (directory / "account.json").read_bytes() == account
            assert "has given a certificate for mail.cozumpark.com" in relay.output()
            rows = {row["certificate_domains"][0]: row for row in relay.listed("certificate", "list") if "/acme/" in row["file"]}
            assert sorted(rows) == sorted(HOSTS)


def test_an_authority_that_is_down(program: Program) -> None:
    """The relay starts, serves with a self-signed certificate and says so; it asks again by itself."""
    with resolving() as names, Pebble(program("pebble"), names.address) as pebble:
        pebble.stop()
        configuration, ports = with_acme(pebble)
        with Relay(configuration, ports) as relay:
            eventually(lambda: "no certificate for mail.cozumpark.com could be had" in relay.output(), "the alarm")
            assert issuer(relay) == "CN=mail.cozumpark.com"
            relay.submit(["user@akkaya.local"])
            pebble.start()
            eventually(lambda: "Pebble" in issuer(relay), "a certificate of pebble is shown")


def test_a_host_that_the_authority_does_not_find(program: Program) -> None:
    """One name that cannot be had keeps no other from being had."""
    with resolving() as names, Pebble(program("pebble"), names.address) as pebble:
        del names.records["relay.akkaya.local"]
        configuration, ports = with_acme(pebble)
        with Relay(configuration, ports) as relay:
            eventually(lambda: "Pebble" in issuer(relay), "a certificate of pebble is shown")
            assert shown(relay).subject.rfc4514_string() in ("", "CN=mail.cozumpark.com")
            told = "no certificate for relay.akkaya.local could be had"
            said = eventually(lambda: [line for line in relay.output().splitlines() if told in line], "the alarm")
            assert len(said) == 1
            assert "the authority could not see the challenge: " in said[0]
            assert not Path(relay.state / "acme/relay.akkaya.local.pem").exists()


def test_only_challenges_are_answered(program: Program) -> None:
    """The port says nothing else, and a body ends the connection."""
    with resolving() as names, Pebble(program("pebble"), names.address) as pebble:
        pebble.stop()
        configuration, ports = with_acme(pebble)
        with Relay(configuration, ports):
            for path in ("/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/x", "/../../etc/passwd"):
                connection = http.client.HTTPConnection(LOOPBACK, pebble.http_port, timeout=PATIENCE)
                connection.request("GET", path)
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (404, b"not found\n")
                connection.close()
            began = time.monotonic()
            connection = http.client.HTTPConnection(LOOPBACK, pebble.http_port, timeout=PATIENCE)
            try:
                connection.request("POST", "/", body=b"x" * 2_000_000)
                assert connection.getresponse().status >= 400
            except OSError:
                assert time.monotonic() - began < 30
            connection.close()
