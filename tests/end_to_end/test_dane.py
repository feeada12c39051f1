"""DANE with everything real: a signed zone on NSD, a validating Unbound, mail hosts with certificates, the daemon."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import attrs
import dns.flags
import dns.message
import dns.query
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.signedzone import SignedZones, Validator
from tests.end_to_end.sink import Sink
from tests.end_to_end.test_mx_delivery import SMTP_PORT, network
from tests.network import LOOPBACK, PATIENCE, eventually
from tests.routing.names import unread

__all__ = ["network"]

WRONG = "00" * 32


class Host:
    """A mail host with a certificate of nobody's, and its TLSA data."""

    def __init__(self) -> None:
        made = trustme.CA().issue_cert("some.other.name")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.configure_cert(self.context)
        certificate = x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.digest = hashlib.sha256(key).hexdigest()


@attrs.frozen
class Case:
    """A domain below C{test}.

    @ivar host: its mail host.
    @ivar last: the last octet of the host's address: 1 has TLS, 2 has none.
    @ivar records: TLSA records of the host.
    @ivar error: how the reason to wait begins, and what is in it; empty where the mail arrives.
    """

    host: str
    last: int
    records: tuple[str, ...] = ()
    error: tuple[str, str] = ("", "")


CASES = {
    "good": Case("mx-good", 1, ("3 1 1 {digest}",)),
    "second": Case("mx-second", 1, (f"3 1 1 {WRONG}", "3 1 1 {digest}")),
    "none": Case("mx-none", 2),
    "unusable": Case("mx-unusable", 1, (f"1 1 1 {WRONG}",)),
    "malformed": Case("mx-malformed", 1, ("030101",)),
    "tounsigned": Case("mx.unsigned", 2),
    "mismatch": Case("mx-mismatch", 1, (f"3 1 1 {WRONG}",), ("454 4.7.5", "no TLSA record fits the server's certificate")),
    "clear": Case("mx-clear", 2, ("3 1 1 {digest}",), ("451 4.7.4", "TLS is required")),
    "clearest": Case("mx-clearest", 2, (f"1 1 1 {WRONG}",), ("451 4.7.4", "TLS is required")),
    "forged": Case("mx-forged", 1, (), ("451 4.7.324", "no answer that can be trusted about the TLSA records of mx-forged.test")),
    "forgedhost": Case("mx.bogus", 1, (), ("451 4.4.3", "")),
}


def zone(network: str, digest: str) -> str:
    """The records of C{test}; hosts with a dot are in the zones below."""
    lines = ["_25._tcp.mx-forged CNAME records.bogus"]
    for domain, case in CASES.items():
        lines.append(f"{domain} MX 10 {case.host}")
        if "." not in case.host:
            lines.append(f"{case.host} A {network}.{case.last}")
        lines += [f"_25._tcp.{case.host} TLSA {unread(record.format(digest=digest))}" for record in case.records]
    return "\n".join(lines) + "\n"


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def validator(network: str, host: Host, program: Callable[[str], str]) -> Iterator[Validator]:
    for name in ("nsd", "unbound"):
        program(name)
    bogus = f"mx A {network}.1\nrecords TLSA {unread(f'3 1 1 {host.digest}')}\n"
    unsigned = f"mx A {network}.2\n_25._tcp.mx TLSA {unread(f'3 1 1 {WRONG}')}\n"
    with SignedZones(zone(network, host.digest), bogus, unsigned) as zones, Validator(zones) as running:
        yield running


def relay_by(validator: Validator, mailbox: Sink, **keys: object) -> Relay:
    configuration, ports = article(mailbox.hop)
    configuration["server"]["external_dns_servers"] = [validator.address]
    configuration["send_connectors"] = {"Internet": {"address_spaces": ["*"], "private_targets_enabled": True, **keys}}
    return Relay(configuration, ports)


def test_the_validator_validates(validator: Validator) -> None:
    """What the other tests build on: good answers are authenticated, unsigned ones are not, bogus ones are none."""

    def answer(name: str, kind: str) -> tuple[str, bool]:
        query = dns.message.make_query(name, kind, flags=dns.flags.RD | dns.flags.AD)
        response = dns.query.udp(query, LOOPBACK, port=validator.port, timeout=PATIENCE)
        return response.rcode().name, bool(response.flags & dns.flags.AD)

    assert answer("good.test.", "MX") == ("NOERROR", True)
    assert answer("_25._tcp.mx-good.test.", "TLSA") == ("NOERROR", True)
    assert answer("_25._tcp.mx-none.test.", "TLSA") == ("NXDOMAIN", True)
    assert answer("mx.unsigned.test.", "A") == ("NOERROR", False)
    assert answer("_25._tcp.mx-forged.test.", "TLSA") == ("SERVFAIL", False)


def test_dane(network: str, host: Host, validator: Validator) -> None:
    """What is published decides: it is kept to where it is signed, and nothing goes out in clear text where it is not met."""
    with ExitStack() as stack:
        secure = stack.enter_context(Sink(SMTP_PORT, host=f"{network}.1", tls=host.context))
        clear = stack.enter_context(Sink(SMTP_PORT, host=f"{network}.2"))
        mailbox = stack.enter_context(Sink())
        relay = stack.enter_context(relay_by(validator, mailbox))
        arrive = {f"user@{domain}.test": case for domain, case in CASES.items() if not case.error[0]}
        for domain in CASES:
            relay.submit([f"user@{domain}.test"])
        for recipient, case in arrive.items():
            sink = (secure, clear)[case.last - 1]
            eventually(lambda recipient=recipient, sink=sink: sink.for_recipient(recipient), recipient)  # type: ignore[misc]
            assert all(message.secure is (sink is secure) for message in sink.for_recipient(recipient))
        for domain, case in CASES.items():
            code, text = case.error
            if code:
                [row] = eventually(lambda domain=domain: relay.queues(next_hop_domain=f"{domain}.test", status="Retry"), domain)  # type: ignore[misc]
                assert row["last_error"].startswith(code), row["last_error"]
                assert text in row["last_error"]
        assert {recipient for sink in (secure, clear) for message in sink.delivered for recipient in message.recipients} == set(arrive)
        assert mailbox.delivered == []  # nothing came back


def test_required(network: str, host: Host, validator: Validator) -> None:
    """With C{smtp_dane: Required} a host without usable records gets nothing."""
    with ExitStack() as stack:
        secure = stack.enter_context(Sink(SMTP_PORT, host=f"{network}.1", tls=host.context))
        clear = stack.enter_context(Sink(SMTP_PORT, host=f"{network}.2"))
        mailbox = stack.enter_context(Sink())
        relay = stack.enter_context(relay_by(validator, mailbox, smtp_dane="Required"))
        for domain in ("good", "none", "unusable", "tounsigned"):
            relay.submit([f"user@{domain}.test"])
        eventually(lambda: secure.for_recipient("user@good.test"), "it arrives")
        for domain, code in (("none", "451 4.7.5"), ("unusable", "451 4.7.323"), ("tounsigned", "451 4.7.5")):
            [row] = eventually(lambda domain=domain: relay.queues(next_hop_domain=f"{domain}.test", status="Retry"), domain)  # type: ignore[misc]
            assert row["last_error"].startswith(f"{code} smtp_dane: Required, but"), row["last_error"]
        assert len(secure.delivered) == 1
        assert clear.connections == 0
