"""Behind a real HAProxy: send-proxy, send-proxy-v2, and its health checks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import attrs
import pytest

from tests.end_to_end.haproxy import BALANCER, HAProxy
from tests.end_to_end.relay import TEST, Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, Dialogue, eventually

RELAYS = "127.0.0.2"  #: the range of IP_Relay


@attrs.frozen
class Behind:
    """A relay that trusts the balancer in front of it."""

    relay: Relay
    balancer: HAProxy
    mailbox: Sink

    def dialogue(self, service: str, source: str = LOOPBACK, greeting: bool = True) -> Dialogue:
        """A session through the balancer."""
        return Dialogue(self.balancer.ports[service], source, greeting=greeting)


SMTPCHK = "option smtpchk EHLO balancer.example"
BANNER = "option tcp-check\n    tcp-check connect{how}\n    tcp-check expect rstring ^220"


@pytest.fixture(scope="module")
def behind(program: Callable[[str], str]) -> Iterator[Behind]:
    """See L{Behind}."""
    balancer = HAProxy(program("haproxy"))
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        for connector in configuration["receive_connectors"].values():
            connector["proxy_protocol_from"] = [f"{BALANCER}/32"]
            connector["health_probe_from"] = [BALANCER]
        balancer.add("v1", ports["relay"], "send-proxy")
        balancer.add("v2", ports["relay"], "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority")
        balancer.add("submissions", ports["submissions"], "send-proxy-v2")
        balancer.add("checked_v1", ports["relay"], "send-proxy check inter 200", SMTPCHK)
        balancer.add("checked_v2", ports["relay"], "send-proxy-v2 check inter 200", SMTPCHK)
        balancer.add("checked_bare", ports["relay"], "send-proxy check inter 200", BANNER.format(how=""))
        balancer.add("checked_tls", ports["submissions"], "send-proxy-v2 check verify none inter 200", BANNER.format(how=" send-proxy ssl"))
        balancer.add("headless", ports["relay"])
        balancer.add("stranger", ports["relay"], "send-proxy", source="127.0.0.8")
        with Relay(configuration, ports) as relay, balancer:
            yield Behind(relay, balancer, mailbox)


def rcpt_outside(session: Dialogue) -> str:
    session.command("EHLO client.example")
    session.command("MAIL FROM:<a@akkaya.local>")
    return session.command("RCPT TO:<someone@elsewhere.example>")


@pytest.mark.parametrize("service", ["v1", "v2"])
def test_the_client_decides_not_the_balancer(behind: Behind, service: str) -> None:
    """Connector, rights and log are those of the real client's address."""
    with behind.dialogue(service, RELAYS) as session:
        assert rcpt_outside(session).startswith("250")
        port = session._socket.getsockname()[1]
    with behind.dialogue(service, "127.0.0.3") as session:
        assert rcpt_outside(session).startswith("550 5.7.54")
    wanted = re.compile(rf'connect client={RELAYS}:{port} connector=IP_Relay .* proxy="?{re.escape(BALANCER)}:\d+')
    eventually(lambda: wanted.search(behind.relay.output()), "the log names both")


@pytest.mark.parametrize("service", ["v1", "v2"])
def test_the_trace_header_names_the_client(behind: Behind, service: str) -> None:
    """Received is as if there were no balancer."""
    content = TEST.replace(b"Testing", f"through {service}".encode())
    with behind.dialogue(service, "127.0.0.5") as session:
        session.command("EHLO client.example")
        assert session.message("a@akkaya.local", ["cengiz@akkaya.local"], content).startswith("250")
    [taken] = eventually(lambda: [one for one in behind.mailbox.delivered if f"through {service}".encode() in one.content], "it is there")
    assert b"([127.0.0.5])" in taken.content
    assert BALANCER.encode() not in taken.content


def test_the_header_comes_before_implicit_tls(behind: Behind) -> None:
    """The balancer passes TLS through."""
    with behind.dialogue("submissions", "127.0.0.6", greeting=False) as session:
        session.wrap()
        assert session.reply().startswith("220")
        assert "AUTH" in session.command("EHLO client.example")
    eventually(lambda: re.search(r"connect client=127\.0\.0\.6:\d+ connector=Submissions", behind.relay.output()), "the log names it")


@pytest.mark.parametrize("service", ["checked_v1", "checked_v2", "checked_bare", "checked_tls"])
def test_health_checks_pass_and_leave_no_trace(behind: Behind, service: str) -> None:
    """Neither logged nor counted."""
    eventually(lambda: behind.balancer.status(service)["check_status"] in {"L7OK", "L6OK"}, f"{service} is up")
    time.sleep(1)
    assert behind.balancer.status(service)["status"] == "UP"
    assert f"client={BALANCER}" not in behind.relay.output().replace("proxy_protocol_from", "")


def test_a_balancer_without_a_header_carries_nothing(behind: Behind) -> None:
    """It looks like a probe until its client says more than one; then the connection is closed."""
    with behind.dialogue("headless", RELAYS) as session:
        session.command("EHLO client.example")
        with pytest.raises((EOFError, ConnectionError)):
            session.command("MAIL FROM:<a@akkaya.local>")
    eventually(lambda: "proxy_protocol_from (no header)" in behind.relay.output(), "it is logged")


def test_a_stranger_s_header_is_a_bad_command(behind: Behind) -> None:
    """A balancer that is not trusted is an ordinary client."""
    with behind.dialogue("stranger", RELAYS) as session:
        assert session.reply().startswith("500")
        assert rcpt_outside(session).startswith("550 5.7.54")
    wanted = re.compile(r'connect client=127\.0\.0\.8:\d+ connector="Default Frontend"')
    eventually(lambda: wanted.search(behind.relay.output()), "it is logged as itself")
