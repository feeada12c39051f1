"""A configuration that changes under load: the real daemon, sessions that stay, mail that keeps coming."""

from __future__ import annotations

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, Dialogue, answers, eventually, free_port, stuffed

pytestmark = pytest.mark.end_to_end

MAY_RELAY = {"Anonymous Logon": ["Accept-Any-Recipient"]}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


class Sender(threading.Thread):
    """Sends numbered messages, each in a connection of its own, until it is told to end; and notes whatever was refused."""

    def __init__(self, port: int, source: str = "127.0.0.2") -> None:
        super().__init__(daemon=True)
        self.port = port
        self.source = source
        self.sent: list[str] = []
        self.trouble: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            try:
                self._send(f"{self.source}-{number}")
            except (OSError, EOFError, AssertionError) as error:
                self.trouble.append(repr(error))
            time.sleep(0.01)

    def _send(self, name: str) -> None:
        with Dialogue(self.port, self.source) as session:
            for command in ("EHLO client", "MAIL FROM:<a@akkaya.local>", "RCPT TO:<u@akkaya.local>"):
                said = session.command(command)
                assert said.startswith("250"), f"{command}: {said}"
            assert (said := session.command("DATA")).startswith("354"), said
            session.send(stuffed(f"Subject: {name}\r\n\r\nx\r\n".encode()))
            assert (said := session.reply()).startswith("250"), said
        self.sent.append(name)


@contextmanager
def sending(port: int, sink: Sink) -> Iterator[None]:
    """Mail keeps coming; none of it may be refused or lost."""
    sender = Sender(port)
    sender.start()
    try:
        eventually(lambda: sender.sent, "mail flows")
        yield
    finally:
        sender.ending.set()
        sender.join()
    assert not sender.trouble, sender.trouble[:3]
    eventually(lambda: set(sender.sent) <= subjects(sink), "all has arrived")


def subjects(sink: Sink) -> set[str]:
    """What has arrived."""
    return {line[9:].decode() for one in list(sink.delivered) for line in one.content.split(b"\r\n") if line.startswith(b"Subject: ")}


def reload(relay: Relay, *options: str) -> str:
    """What relayctl says of a change that works."""
    relay.write()
    done = relay.relayctl("reload", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recipient_of(session: Dialogue, recipient: str) -> str:
    """The answer to a recipient of a new transaction."""
    assert session.command("RSET").startswith("250")
    assert session.command("MAIL FROM:<a@akkaya.local>").startswith("250")
    return session.command(f"RCPT TO:<{recipient}>")


def test_sessions_keep_their_rights_and_new_ones_have_the_new(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    with Relay(configuration, ports) as relay, sending(relay.port, sink), relay.dialogue(source="127.0.0.2") as old:
        assert old.command("EHLO client").startswith("250")
        connectors = configuration["receive_connectors"]
        connectors["IP_Relay"]["remote_ip_ranges"] = ["127.0.0.3"]
        connectors["IP_Relay"]["max_recipients_per_message"] = 1
        said = reload(relay)
        assert "receive connector IP_Relay: remote_ip_ranges: +127.0.0.3, -127.0.0.2" in said
        assert recipient_of(old, "x@outside.example").startswith("250")
        assert old.command("RCPT TO:<y@outside.example>").startswith("250")
        with relay.dialogue(source="127.0.0.2") as now:
            assert now.command("EHLO client").startswith("250")
            assert recipient_of(now, "x@outside.example").startswith("550 5.7.54")
        with relay.dialogue(source="127.0.0.3") as now:
            assert now.command("EHLO client").startswith("250")
            assert recipient_of(now, "x@outside.example").startswith("250")
            assert now.command("RCPT TO:<y@outside.example>").startswith("452")
        del connectors["IP_Relay"]["extended_rights"]
        reload(relay)
        with relay.dialogue(source="127.0.0.3") as now:
            assert now.command("EHLO client").startswith("250")
            assert recipient_of(now, "x@outside.example").startswith("550 5.7.54")
        assert recipient_of(old, "x@outside.example").startswith("250")


def test_a_bad_change_changes_nothing(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    with Relay(configuration, ports) as relay, sending(relay.port, sink), socket.create_server((LOOPBACK, 0)) as taken:
        connectors = configuration["receive_connectors"]
        right = connectors["IP_Relay"]["bindings"]
        other = free_port()
        connectors["Other"] = {"bindings": [f"{LOOPBACK}:{other}"], "permission_groups": ["AnonymousUsers"]}
        connectors["IP_Relay"]["bindings"] = [*right, f"{LOOPBACK}:{taken.getsockname()[1]}"]
        relay.write()
        done = relay.relayctl("reload")
        assert done.returncode == 1
        assert "stop the program that listens there, or change the bindings" in done.stderr
        assert not answers(other)
        connectors["IP_Relay"]["bindings"] = right
        connectors["IP_Relay"]["extended_rights"] = {"Anonymous Logon": ["Accept-Any-Rcipient"]}
        connectors["IP_Relay"]["remote_ip_ranges"] = ["127.0.0.0/8"]
        connectors["Default Frontend"]["remote_ip_ranges"] = ["127.0.0.0/8"]
        relay.write()
        done = relay.relayctl("reload")
        assert done.returncode == 1
        assert f"{relay.file}:" in done.stderr
        assert "Accept-Any-Rcipient" in done.stderr and "is also a range of" in done.stderr
        assert not any(row["identity"].endswith("Other") for row in relay.control.connectors())
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: "error: the configuration was not changed" in relay.output(), "the log says why")
        with relay.dialogue(source="127.0.0.2") as session:
            assert session.command("EHLO client").startswith("250")
            assert recipient_of(session, "x@outside.example").startswith("250")


def test_what_if_changes_nothing(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    with Relay(configuration, ports) as relay:
        other = free_port()
        configuration["receive_connectors"]["Other"] = {"bindings": [f"{LOOPBACK}:{other}"], "permission_groups": ["AnonymousUsers"]}
        said = reload(relay, "--what-if")
        assert said.splitlines() == ["What if: receive connector Other: added", f"What if: listener {LOOPBACK}:{other}: opened"]
        assert not answers(other)
        assert "was changed" not in relay.output()


def test_ports_open_close_and_move(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    first, second = free_port(), free_port()
    moving: dict[str, Any] = {"bindings": [f"{LOOPBACK}:{first}"], "permission_groups": ["AnonymousUsers"], "extended_rights": MAY_RELAY}
    configuration["receive_connectors"]["Moving"] = moving
    with Relay(configuration, ports) as relay, sending(relay.port, sink), Dialogue(first) as old:
        assert old.command("EHLO client").startswith("250")
        moving["bindings"] = [f"{LOOPBACK}:{second}"]
        assert f"listener {LOOPBACK}:{second}: opened\nlistener {LOOPBACK}:{first}: closed" in reload(relay)
        assert not answers(first)
        assert recipient_of(old, "x@outside.example").startswith("250")
        with Dialogue(second) as now:
            assert now.command("EHLO client").startswith("250")
            moving["enabled"] = False
            reload(relay)
            assert not answers(second)
            assert recipient_of(now, "x@outside.example").startswith("250")
        moving["enabled"] = True
        reload(relay)
        assert answers(second)


def test_a_wildcard_takes_the_place_of_an_address_and_back(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    port = ports["relay"]
    connectors = configuration["receive_connectors"]
    with Relay(configuration, ports) as relay, sending(port, sink):
        assert not _greets_on("127.0.0.7", port)
        for name in ("Default Frontend", "IP_Relay"):
            connectors[name]["bindings"] = [f"0.0.0.0:{port}"]
        reload(relay)
        assert _greets_on("127.0.0.7", port)
        for name in ("Default Frontend", "IP_Relay"):
            connectors[name]["bindings"] = [f"{LOOPBACK}:{port}", f"0.0.0.0:{port}"]
        connectors["Seventh"] = {"bindings": [f"127.0.0.7:{port}"], "permission_groups": ["AnonymousUsers"], "banner": "220 seventh"}
        reload(relay)
        assert _greeting("127.0.0.7", port).startswith("220 seventh")
        assert not _greeting("127.0.0.8", port).startswith("220 seventh")
        for name in ("Default Frontend", "IP_Relay"):
            connectors[name]["bindings"] = [f"{LOOPBACK}:{port}"]
        reload(relay)
        assert _greeting("127.0.0.7", port).startswith("220 seventh")
        assert not _greets_on("127.0.0.8", port)


def _greeting(host: str, port: int) -> str:
    with socket.create_connection((host, port), 10) as session:
        return session.recv(1000).decode()


def _greets_on(host: str, port: int) -> bool:
    try:
        return _greeting(host, port).startswith("220")
    except OSError:
        return False


def test_tls_and_logins_change(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    with Relay(configuration, ports) as relay, relay.dialogue("submission") as old:
        relay.add_user("ada@akkaya.local", "first-password")
        assert "STARTTLS" in old.command("EHLO client")
        connectors = configuration["receive_connectors"]
        connectors["Client Frontend"] |= {"fqdn": "other.akkaya.local", "implicit_tls": True}
        configuration["users"] = str(relay.directory / "others")
        assert f"users: {relay.state}/users -> {relay.directory}/others" in reload(relay)
        old.start_tls()
        assert "250-mail.cozumpark.com" in old.command("EHLO client")
        assert old.command(_plain("ada@akkaya.local", "first-password")).startswith("235")
        relay.add_user("eve@akkaya.local", "second-password")
        with Dialogue(ports["submission"], greeting=False) as now:
            now.wrap()
            assert "other.akkaya.local" in now.reply()
            assert "250-other.akkaya.local" in now.command("EHLO client")
            assert now.command(_plain("ada@akkaya.local", "first-password")).startswith("535")
            assert now.command(_plain("eve@akkaya.local", "second-password")).startswith("235")


def _plain(user: str, password: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def test_nobody_gets_a_fresh_allowance(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    relaying = configuration["receive_connectors"]["IP_Relay"]
    relaying |= {"max_inbound_connection_per_source": 2, "message_rate_limit": 2}
    with Relay(configuration, ports) as relay:
        relay.submit(["u@akkaya.local"])
        relay.submit(["u@akkaya.local"])
        with relay.dialogue(source="127.0.0.2"), relay.dialogue(source="127.0.0.2") as session:
            relaying["comment"] = "the same"
            reload(relay)
            with pytest.raises(EOFError, match="421"):
                relay.submit(["u@akkaya.local"])
            assert session.command("EHLO client").startswith("250")
            assert session.command("MAIL FROM:<a@akkaya.local>").startswith("4")


def test_locks_and_the_rate_of_connections_go_on(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    configuration["server"] |= {"logon_lockout_threshold": 2, "logon_lockout_interval": "10m"}
    with Relay(configuration, ports) as relay:
        relay.add_user("ada@akkaya.local", "right-password")
        for password, expected in (("wrong-password", "535"), ("wrong-password", "535"), ("right-password", "454 4.7.0")):
            with Dialogue(ports["submissions"], greeting=False) as session:
                session.wrap()
                session.reply()
                assert session.command("EHLO client").startswith("250")
                assert session.command(_plain("ada@akkaya.local", password)).startswith(expected)
            configuration["receive_connectors"]["Submissions"]["comment"] = f"after {password}"
            reload(relay)
        configuration["transport"]["max_connection_rate_per_minute"] = 1000
        reload(relay)
        assert all(_greets_on(LOOPBACK, relay.port) for _ in range(3))
        configuration["transport"]["max_connection_rate_per_minute"] = 3
        reload(relay)
        assert _greeting(LOOPBACK, relay.port).startswith("421")


def test_waiting_mail_goes_the_new_way(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    configuration["transport"] |= {"message_retry_interval": "1h", "queue_glitch_retry_interval": "1h"}
    dead = free_port()
    with Relay(configuration, ports) as relay, Sink() as outside:
        relay.submit(["nowhere@outside.example"])
        eventually(lambda: relay.queues(delivery_type="Unreachable"), "there is no way")
        sending = {"address_spaces": ["*"], "smart_hosts": [f"{LOOPBACK}:{dead}"]}
        configuration["send_connectors"] = {"Internet": sending}
        assert "send connector Internet: added" in reload(relay)
        eventually(lambda: relay.queues(next_hop_domain=f"[{LOOPBACK}]:{dead}", status="Retry"), "the smart host is dead")
        for number in range(20):
            relay.submit([f"u{number}@outside.example"])
        sending["smart_hosts"] = [outside.hop]
        reload(relay)
        eventually(lambda: len(outside.delivered) == 21 and relay.is_empty(), "all of it went the new way")
        assert not relay.queues(next_hop_domain=f"[{LOOPBACK}]:{dead}")


def test_a_hangup_reads_the_configuration_again(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    with Relay(configuration, ports) as relay:
        configuration["receive_connectors"]["Default Frontend"]["banner"] = "220 changed"
        configuration["server"]["state_directory"] = "elsewhere"
        relay.write()
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        eventually(lambda: "the configuration was changed: receive connector Default Frontend: banner" in relay.output(), "it is told")
        assert _greeting(LOOPBACK, relay.port).startswith("220 changed")
        assert "only a restart changes server.state_directory" in relay.output()
        assert not (relay.directory / "elsewhere").exists()


def test_hangups_end_no_start(sink: Sink) -> None:
    """From the first moment on; the interpreter's own, when nobody can catch a signal, are covered as nohup(1) does it."""
    configuration, ports = article(sink.hop)
    relay = Relay(configuration, ports)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        relay.launch()
    finally:
        signal.signal(signal.SIGHUP, before)

    def hung_up_once_more() -> bool:
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        return relay.state.exists()  # its files were read

    try:
        eventually(hung_up_once_more, "it starts")
        eventually(relay._ready, "it starts all the same")
        eventually(lambda: "the configuration was changed: nothing is different" in relay.output(), "it has read its files again")
    finally:
        relay.close()


@pytest.mark.slow
def test_fifty_changes_under_load_leave_nothing_behind(sink: Sink) -> None:
    configuration, ports = article(sink.hop)
    connectors = configuration["receive_connectors"]
    with Relay(configuration, ports) as relay, sending(relay.port, sink):
        assert relay.process is not None
        before: tuple[int, int] | None = None
        for number in range(50):
            connectors["IP_Relay"]["comment"] = f"change {number}"
            connectors["Other"] = {"bindings": [f"{LOOPBACK}:{free_port()}"], "permission_groups": ["AnonymousUsers"]}
            configuration["send_connectors"] = {"Internet": {"address_spaces": ["*"], "smart_hosts": [f"10.255.0.{number}:25"]}}
            relay.write()
            relay.control.post("/v1/reload")
            if number == 10:
                time.sleep(2.0)
                before = _descriptors(relay.process.pid), _resident(relay.process.pid)
        assert before is not None
        most, process = before[0] + 8, relay.process.pid
        eventually(lambda: _descriptors(process) <= most, "what was opened is closed")
        assert _resident(process) - before[1] < 16 * 1024


def _descriptors(process: int) -> int:
    """How many are open."""
    return len(os.listdir(f"/proc/{process}/fd"))


def _resident(process: int) -> int:
    """KB in memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")
