"""MTA-STS and TLS reports with the real daemon: policies on a real web server, mail hosts with certificates, a collector's socket."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.nameserver import NameServer
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.test_mx_delivery import SMTP_PORT, network
from tests.network import eventually

__all__ = ["network"]

HTTPS = 443
WANTED = '"v=TLSRPTv1; rua=mailto:tls@reports.test"'


class PolicyHost:
    """A web server for the policies of many domains.

    @ivar policies: by domain.
    @ivar asked: the hosts that were asked for one.
    """

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self.policies: dict[str, str] = {}
        self.asked: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.headers["Host"]
                host.asked.append(name)
                body = host.policies.get(name.removeprefix("mta-sts."), "").encode()
                good = bool(body) and self.path == "/.well-known/mta-sts.txt"
                self.send_response(200 if good else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer((address, HTTPS), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._server.server_close()


class World:
    """A DNS, a policy host, mail hosts (1: a good certificate, 2: none) and a relay that trusts their authority."""

    def __init__(self, network: str, stack: ExitStack, directory: Path) -> None:
        self.stack = stack
        self.network = network
        self.authority = trustme.CA()
        ca_file = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(ca_file))
        self.names = stack.enter_context(NameServer())
        good = server_context(self.authority, "mx.good.test", "mx.other.test")
        self.secure = stack.enter_context(Sink(SMTP_PORT, host=f"{network}.1", tls=good))
        self.clear = stack.enter_context(Sink(SMTP_PORT, host=f"{network}.2"))
        self.mailbox = stack.enter_context(Sink())
        self.web = PolicyHost(
            f"{network}.3", server_context(self.authority, "*.good.test", "*.wrong.test", "*.clear.test", "*.tested.test")
        )
        stack.callback(lambda: self.web.close())
        configuration, ports = article(self.mailbox.hop)
        configuration["server"]["external_dns_servers"] = [self.names.address]
        configuration["send_connectors"] = {"Internet": {"address_spaces": ["*"], "private_targets_enabled": True}}
        self.collector = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.results: set[tuple[str, int, int]] = set()  # domain, policy type, failure code or 0
        self.relay = Relay(configuration, ports, environment={"SSL_CERT_FILE": str(ca_file)})
        configuration["transport"]["tls_report_socket"] = str(self.relay.directory / "tlsrpt")
        self.relay.write()
        self.collector.bind(str(self.relay.directory / "tlsrpt"))
        stack.callback(lambda: self.collector.shutdown(socket.SHUT_RDWR))
        Thread(target=self._collect, daemon=True).start()

    def domain(self, name: str, mode: str, host: str, last: int, allowed: str = "", *, web: bool = True) -> None:
        """A domain with a policy.

        @param last: the last octet of its mail host's address.
        """
        self.names.records |= {
            name: [("MX", f"10 {host}.")],
            host: [("A", f"{self.network}.{last}")],
            f"_mta-sts.{name}": [("TXT", '"v=STSv1; id=1;"')],
            f"mta-sts.{name}": [("A", f"{self.network}.3")],
            f"_smtp._tls.{name}": [("TXT", WANTED)],
        }
        if web:
            self.web.policies[name] = f"version: STSv1\nmode: {mode}\nmx: {allowed or host}\nmax_age: 86400\n"

    def _collect(self) -> None:
        """Take results as they come, since few of them wait."""
        while True:
            try:
                tree = json.loads(self.collector.recv(65536))
            except (OSError, ValueError):  # closed
                return
            [policy] = tree["policies"]
            [details] = policy.get("failure-details", [{"c": 0}])
            assert tree["pr"] == WANTED.strip('"')
            self.results.add((tree["d"], policy["policy-type"], details["c"]))

    def waits(self, domain: str) -> str:
        [row] = eventually(lambda: self.relay.queues(next_hop_domain=domain, status="Retry"), domain)
        error = row["last_error"]
        assert isinstance(error, str)
        return error


@pytest.fixture
def world(network: str, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(network, stack, tmp_path)


def test_policies_and_reports(world: World) -> None:
    """Enforced: a certificate with the host's name or nothing; tested: delivered and told; not to be had: as if there were none."""
    world.domain("good.test", "enforce", "mx.good.test", 1)
    world.domain("wrong.test", "enforce", "mx.wrong.test", 1)  # the certificate has another name
    world.domain("clear.test", "enforce", "mx.clear.test", 2)
    world.domain("tested.test", "testing", "mx.tested.test", 1)
    world.domain("lost.good.test", "enforce", "mx.lost.test", 2, web=False)  # a policy host whose certificate does not fit
    world.domain("unnamed.good.test", "enforce", "mx.unnamed.test", 1, "mx.else.test")
    world.names.records["mta-sts.unnamed.good.test"] = world.names.records["mta-sts.good.test"]
    with world.relay as relay:
        for domain in ("good", "wrong", "clear", "tested", "lost.good", "unnamed.good"):
            relay.submit([f"user@{domain}.test"])
        for domain, sink in (("good", world.secure), ("tested", world.secure), ("lost.good", world.clear), ("unnamed.good", world.secure)):
            eventually(lambda domain=domain, sink=sink: sink.for_recipient(f"user@{domain}.test"), domain)  # type: ignore[misc]
        assert world.waits("wrong.test").endswith("the server's certificate is not for mx.wrong.test")
        assert world.waits("clear.test").startswith("451 4.7.4 TLS is required")
        assert {message.recipients for message in world.secure.delivered} == {
            ("user@good.test",),
            ("user@tested.test",),
            ("user@unnamed.good.test",),
        }
        assert [message.recipients for message in world.clear.delivered] == [("user@lost.good.test",)]
        assert all(message.secure for message in world.secure.delivered)
        expected = {
            ("good.test", 2, 0),
            ("wrong.test", 2, 202),
            ("clear.test", 2, 201),
            ("tested.test", 2, 202),
            ("lost.good.test", 2, 303),
            ("lost.good.test", 9, 201),
            ("unnamed.good.test", 2, 303),
            ("unnamed.good.test", 9, 0),
        }
        eventually(lambda: world.results >= expected, f"{expected - world.results} is told")
        assert "TLS result certificate-host-mismatch domain=wrong.test policy=sts host=mx.wrong.test" in relay.output()


def test_hosts_that_a_policy_does_not_name_and_restarts(world: World) -> None:
    """Such a host gets nothing; a policy counts over a restart, also where the web server is gone."""
    world.domain("good.test", "enforce", "mx.good.test", 1, "mx.elsewhere.test")
    with world.relay as relay:
        relay.submit(["user@good.test"])
        text = "451 4.7.5 The MTA-STS policy of good.test does not name the mail host mx.good.test"
        assert world.waits("good.test") == text
        assert relay.stop() == 0
        world.web.close()
        fetched = len(world.web.asked)
        world.names.records["_mta-sts.good.test"] = []
        relay.start()
        assert world.waits("good.test") == text
        assert len(world.web.asked) == fetched
        assert world.secure.delivered == []


def test_requiretls_by_a_policy(world: World) -> None:
    """An enforced policy proves the mail host, as a signed DNS answer does (RFC 8689); without either the message returns."""
    world.domain("good.test", "enforce", "mx.good.test", 1)
    world.domain("tested.test", "testing", "mx.other.test", 1)
    world.secure.features.append("REQUIRETLS")
    with world.relay as relay:
        for domain in ("good", "tested"):
            with relay.dialogue(source="127.0.0.2") as session:
                assert session.command("EHLO client").startswith("250")
                session.start_tls()
                assert session.command("EHLO client").startswith("250")
                assert session.command("MAIL FROM:<a@akkaya.local> REQUIRETLS").startswith("250")
                assert session.command(f"RCPT TO:<user@{domain}.test>").startswith("250")
                assert session.command("DATA").startswith("354")
                session.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
                assert session.reply().startswith("250")
        eventually(lambda: world.secure.for_recipient("user@good.test"), "it arrives")
        assert "REQUIRETLS" in world.secure.delivered[0].mail_parameters
        eventually(lambda: world.mailbox.delivered, "the other returns")
        assert b"no signed DNS answer" in world.mailbox.delivered[0].content
        assert len(world.secure.delivered) == 1


def test_our_certificate(world: World, tmp_path: Path) -> None:
    """A smart host that asks for a certificate sees the one that the connector names; one that is not there is an error of the check."""
    strict = server_context(world.authority, "smart.test")
    strict.verify_mode = ssl.CERT_REQUIRED
    world.authority.configure_trust(strict)
    with Sink(tls=strict) as smart:
        pair = world.authority.issue_cert("relay.test", organization_name="Example", organization_unit_name="Mail")
        file = tmp_path / "relay.pem"
        pair.private_key_and_cert_chain_pem.write_to_path(str(file))
        configuration = world.relay.configuration
        configuration["certificates"] = [{"certificate": str(file), "private_key": str(file)}]
        connector = {"address_spaces": ["*"], "smart_hosts": [smart.hop], "require_tls": True}
        configuration["send_connectors"] = {"Smart": {**connector, "tls_certificate_name": "0" * 40}}
        world.relay.write()
        done = world.relay.relayctl("check")
        assert done.returncode != 0
        assert "is not in the store" in done.stdout + done.stderr
        listed = world.relay.relayctl("certificate", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        [name] = [row["thumbprint"] for row in json.loads(listed.stdout) if row["file"] == str(file)]
        configuration["send_connectors"] = {"Smart": {**connector, "tls_certificate_name": name}}
        world.relay.write()
        with world.relay as relay:
            relay.submit(["user@elsewhere.test"])
            eventually(lambda: smart.for_recipient("user@elsewhere.test"), "it arrives")
