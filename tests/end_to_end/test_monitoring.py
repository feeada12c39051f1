"""The relay as monitoring and the service manager see it: scrapes, health, sd_notify, a watchdog that bites."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.end_to_end.relay import Relay, article, child_environment
from tests.network import LOOPBACK, PATIENCE, eventually, free_port
from tests.programs import ROOT


def get(port: int, path: str, accept: str = "") -> tuple[int, str, str]:
    """Status, content type and body."""
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}{path}", headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


class Monitored(Relay):
    """A relay with the listener for monitoring."""

    def __init__(self, **more: Any) -> None:
        configuration, ports = article("maildir:mail")
        self.monitoring = free_port()
        configuration["metrics"] = {"listen": f"{LOOPBACK}:{self.monitoring}"}
        super().__init__(configuration, ports, **more)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels."""
        return sum(
            sample.value
            for family in parse(get(self.monitoring, "/metrics")[2])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def test_scrapes_tell_what_happened_and_agree_with_relayctl_status() -> None:
    with Monitored() as relay:
        for number in range(3):
            relay.submit([f"user{number}@akkaya.local", "other@akkaya.local"])
        with relay.dialogue() as stranger:
            stranger.command("EHLO client")
            stranger.command("MAIL FROM:<a@akkaya.local>")
            assert stranger.command("RCPT TO:<someone@example.org>").startswith("550")
        eventually(lambda: relay.value("twistedrelay_recipients_total", outcome="delivered") == 6, "all is delivered")
        assert relay.value("twistedrelay_messages_received_total", connector="IP_Relay") == 3
        assert relay.value("twistedrelay_smtp_commands_refused_total", command="RCPT", code="550", connector="Default Frontend") == 1
        assert relay.value("twistedrelay_smtp_replies_total", connector="IP_Relay", code="354") == 3
        assert relay.value("twistedrelay_spool_fsync_seconds_count") > 0
        assert relay.value("twistedrelay_delivery_latency_seconds_count") == 6
        assert relay.value("process_resident_memory_bytes") > 10_000_000
        totals = relay.status()["totals"]
        assert relay.value("twistedrelay_received_bytes_total") == totals["bytes_received"]
        assert relay.value("twistedrelay_recipients_total") == totals["recipients_delivered"]
        status, kind, text = get(relay.monitoring, "/metrics", "application/openmetrics-text; version=1.0.0")
        assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
        assert text.endswith("# EOF\n")
        assert len(list(parse_openmetrics(text))) > 60
        over_the_socket = subprocess.run(
            ["curl", "-sS", "--unix-socket", str(relay.state / "control/control.sock"), "http://relay/v1/metrics"],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        ).stdout
        assert "twistedrelay_build_info{" in over_the_socket
        assert get(relay.monitoring, "/nothing")[0] == 404


def test_readiness_is_honest() -> None:
    with Monitored() as relay:
        assert get(relay.monitoring, "/healthz") == (200, "text/plain; charset=utf-8", "alive\n")
        status, _, text = get(relay.monitoring, "/readyz")
        assert (status, json.loads(text)["ready"]) == (200, True)
        done = relay.relayctl("health")
        assert (done.returncode, done.stdout.startswith("RELAY OK - ")) == (0, True), done
        assert relay.status()["health"] == "ready"
        with locked(relay):
            client = submit_later(relay)

            def unfit() -> str:
                status, _, text = get(relay.monitoring, "/readyz")
                return text if status == 503 else ""

            said = json.loads(eventually(unfit, "the spool's thread is found stuck"))
            [failed] = [check for check in said["checks"] if not check["ok"]]
            assert failed["name"] == "spool"
            assert re.match(r"the spool's thread has been stuck for \d+ s", failed["reason"])
            assert get(relay.monitoring, "/healthz")[0] == 200
            done = relay.relayctl("health")
            assert (done.returncode, done.stdout.startswith("RELAY CRITICAL - spool: ")) == (1, True), done
            client.close()
        eventually(lambda: get(relay.monitoring, "/readyz")[0] == 200, "it is fit again")


@contextlib.contextmanager
def locked(relay: Relay) -> Iterator[None]:
    """Somebody holds the spool's database, so that its thread hangs in the middle of a transaction."""
    connection = sqlite3.connect(relay.state / "spool/spool.db", isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def submit_later(relay: Relay) -> socket.socket:
    """A message whose 250 takes as long as the lock."""
    client = socket.create_connection((LOOPBACK, relay.port), timeout=PATIENCE)
    client.sendall(
        b"EHLO client\r\nMAIL FROM:<a@akkaya.local>\r\nRCPT TO:<b@akkaya.local>\r\nDATA\r\n",
    )
    said = b""
    while b"\r\n354 " not in said:
        received = client.recv(4096)
        assert received, said
        said += received
    client.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
    return client


class Manager:
    """A service manager's notification socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.2)
        self.said: list[tuple[float, str]] = []

    def hear(self) -> list[str]:
        """All that was said so far."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.said += [(time.monotonic(), line) for line in self._socket.recv(4096).decode().splitlines()]
        return [line for _, line in self.said]

    def wait(self, wanted: Callable[[list[str]], Any], what: str) -> None:
        """Until that was said."""
        eventually(lambda: wanted(self.hear()), what)

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_service_manager_hears_of_start_signs_of_life_and_stop(abstract: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        address = f"@twistedrelay-notify-{os.getpid()}" if abstract else f"{directory}/notify"
        manager = Manager(address)
        relay = Monitored(environment={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
        try:
            with relay:
                manager.wait(lambda said: "READY=1" in said, "it is ready")
                assert any(line.startswith("STATUS=0 sessions") for line in manager.hear())
                manager.wait(lambda said: said.count("WATCHDOG=1") >= 3, "signs of life")
                if not abstract:
                    bites(relay, manager)
            said = manager.hear()
            assert "STOPPING=1" in said
            assert said.index("READY=1") < said.index("STOPPING=1")
        finally:
            manager.close()


def bites(relay: Relay, manager: Manager) -> None:
    """While the spool's thread hangs there is no sign of life, and behind it there is again."""
    with locked(relay), submit_later(relay) as client:
        manager.wait(lambda said: any("the spool's thread has been stuck" in line for line in said), "it says why")
        manager.hear()
        count = len(manager.said)
        time.sleep(3.0)
        manager.hear()
        assert "WATCHDOG=1" not in [line for _, line in manager.said[count:]]
        count = len(manager.said)
        assert client.fileno() >= 0
    manager.wait(lambda said: "WATCHDOG=1" in said[count:], "signs of life come again")


def test_promtool_finds_nothing_wrong(program: Callable[[str], str]) -> None:
    promtool = program("promtool")
    with Monitored() as relay:
        relay.submit(["user@akkaya.local"])
        text = get(relay.monitoring, "/metrics")[2]
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    checked = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"],
        cwd=ROOT / "etc/prometheus",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_scrapes_it(program: Callable[[str], str], tmp_path: Path) -> None:
    with Monitored() as relay:
        relay.submit(["user@akkaya.local"])
        text = (ROOT / "etc/prometheus/prometheus.yml").read_text()
        (tmp_path / "prometheus.yml").write_text(text.replace("127.0.0.1:9345", f"{LOOPBACK}:{relay.monitoring}").replace("15s", "1s"))
        (tmp_path / "twistedrelay.rules.yml").write_text((ROOT / "etc/prometheus/twistedrelay.rules.yml").read_text())
        port = free_port()
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={LOOPBACK}:{port}"]
        command = [program("prometheus"), *options]
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=child_environment())
        try:

            def scraped() -> Any:
                with contextlib.suppress(OSError, ValueError):
                    found = json.loads(get(port, "/api/v1/query?query=twistedrelay_messages_received_total")[2])
                    return found["data"]["result"]
                return None

            [series] = eventually(scraped, "Prometheus has a sample")
            assert series["metric"]["connector"] == "IP_Relay"
            assert series["value"][1] == "1"
        finally:
            server.terminate()
            server.wait(PATIENCE)
