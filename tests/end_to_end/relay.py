"""The real daemon under test: C{twistd} with a configuration of its own in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.network import LOOPBACK, PATIENCE, Dialogue, answers, eventually, free_port, greets, stuffed
from tests.programs import ROOT
from twistedrelay.control.client import ControlClient

FQDN = "relay.akkaya.local"
TEST = b"Subject: Test email\r\n\r\nTesting\r\n"

Configuration = dict[str, Any]


def twistd_command() -> list[str]:
    """How to start twistd: the script beside this interpreter, else the module."""
    script = Path(sys.executable).with_name("twistd")
    return [sys.executable, str(script)] if script.exists() else [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


def child_environment() -> dict[str, str]:
    """The environment in which a child process runs this checkout's code."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def article(next_hop: str, outside: str = "") -> tuple[Configuration, dict[str, int]]:
    """The article's relay on free loopback ports: its configuration, and the ports C{relay}, C{submission} and C{submissions}.

    C{IP_Relay} shares the relay port and lists 127.0.0.2.  Tarpits are off, because they only cost time, but never the limits.

    @param next_hop: the next hop of the authoritative domain akkaya.local.
    @param outside: the smart host for everything else; none is configured without it.
    """
    ports = {name: free_port() for name in ("relay", "submission", "submissions")}
    quick = {
        "tarpit_interval": "0s",
        "auth_tarpit_interval": "0s",
        "max_inbound_connection_per_source": "unlimited",
        "max_inbound_connection_percentage_per_source": 100,
    }
    login = {
        "auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"],
        "permission_groups": ["ExchangeUsers"],
        "fqdn": "mail.cozumpark.com",
    }
    configuration: Configuration = {
        "server": {"name": "EXCSERVER", "fqdn": FQDN, "state_directory": "state"},
        "accepted_domains": {"akkaya.local": {"domain_type": "Authoritative", "next_hop": next_hop}},
        "receive_connectors": {
            "Default Frontend": {"bindings": [f"{LOOPBACK}:{ports['relay']}"], "permission_groups": ["AnonymousUsers"], **quick},
            "IP_Relay": {
                "bindings": [f"{LOOPBACK}:{ports['relay']}"],
                "remote_ip_ranges": ["127.0.0.2"],
                "permission_groups": ["AnonymousUsers"],
                "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]},
                **quick,
            },
            "Client Frontend": {"bindings": [f"{LOOPBACK}:{ports['submission']}"], **login, **quick},
            "Submissions": {"bindings": [f"{LOOPBACK}:{ports['submissions']}"], "implicit_tls": True, **login, **quick},
        },
        "transport": {
            "queue_glitch_retry_interval": "1s",
            "transient_failure_retry_interval": "1s",
            "outbound_connection_failure_retry_interval": "1s",
            "message_retry_interval": "1s",
            "mailbox_delivery_queue_retry_interval": "1s",
        },
    }
    if outside:
        configuration["send_connectors"] = {"Internet": {"address_spaces": ["*"], "smart_hosts": [outside]}}
    return configuration, ports


class Relay:
    """A daemon that can be started, stopped, killed and started again on the same directory."""

    def __init__(
        self,
        configuration: Configuration,
        ports: dict[str, int],
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        @param environment: variables for the daemon besides ours.
        """
        # Not pytest's tmp_path: the control socket's path must stay below the 108 octets of a UNIX socket address.
        self.directory = directory or Path(tempfile.mkdtemp(prefix="relay-"))
        self.configuration = configuration
        self.ports = ports
        self.environment = dict(environment or {})
        self.file = self.directory / "relay.yaml"
        self.log = self.directory / "twistd.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.write()

    def write(self) -> None:
        """Write the configuration file."""
        self.file.write_text(yaml.safe_dump(self.configuration, sort_keys=False))

    @property
    def port(self) -> int:
        """The relay port."""
        return self.ports["relay"]

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.directory / "state"

    def command(self, *options: str) -> list[str]:
        """The command line of the daemon in the foreground."""
        return [*twistd_command(), "-n", "--pidfile=", "twistedrelay", "--config", str(self.file), *options]

    def start(self) -> None:
        """Start, and wait until it greets and listens on every port."""
        self.launch()
        eventually(self._ready, "the relay listens")

    def launch(self) -> None:
        """Start, without waiting for anything."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**child_environment(), **self.environment},
            )

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the relay ended with {self.process.returncode}:\n{self.output()}")
        return greets(self.port) and all(answers(port) for port in self.ports.values())

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL; the exit status."""
        return self._end(signal.SIGKILL)

    def _end(self, signal_number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(signal_number)
        status = self.process.wait(PATIENCE)
        self.process = None
        return status

    def close(self, check: bool = True) -> None:
        """End in good order, where it still runs, and clean up.

        @param check: whether a failed shutdown or a traceback in the log is an error.
        """
        status, output = 0, ""
        try:
            if self.process is not None:
                status = self.stop()
            output = self.output()
        finally:
            if self.process is not None:
                self.kill()
            shutil.rmtree(self.directory, ignore_errors=True)
        if check:
            assert status == 0, f"exit status {status}:\n{output}"
            assert "Traceback" not in output, output

    def output(self) -> str:
        """What the daemon has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def dialogue(self, port: str = "relay", source: str = LOOPBACK) -> Dialogue:
        """A raw SMTP session."""
        return Dialogue(self.ports[port], source)

    def relayctl(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run relayctl against this relay."""
        return subprocess.run(
            [sys.executable, "-c", "from twistedrelay.relayctl.main import main; main()", "--config", str(self.file), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            env=child_environment(),
            timeout=PATIENCE,
        )

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """The array that a relayctl list prints with C{--json}."""
        done = self.relayctl(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert isinstance(rows, list)
        return rows

    def submit(self, recipients: list[str], content: bytes = TEST, sender: str = "a@akkaya.local", options: str = "") -> None:
        """Put a message in from 127.0.0.2, which may relay.

        @param options: MAIL parameters.
        """
        with self.dialogue(source="127.0.0.2") as session:
            assert session.command("EHLO client").startswith("250")
            assert (said := session.command(f"MAIL FROM:<{sender}> {options}".rstrip())).startswith("250"), said
            for recipient in recipients:
                assert (said := session.command(f"RCPT TO:<{recipient}>")).startswith("250"), said
            assert session.command("DATA").startswith("354")
            session.send(stuffed(content))
            assert (said := session.reply()).startswith("250"), said

    @property
    def control(self) -> ControlClient:
        """The daemon's API, for tests that ask often: what relayctl shows, without a process for each question."""
        return ControlClient(str(self.state / "control/control.sock"))

    def queues(self, **wanted: Any) -> list[dict[str, Any]]:
        """The queues that have these properties."""
        return [row for row in self.control.queues() if all(row.get(key) == value for key, value in wanted.items())]

    def status(self) -> dict[str, Any]:
        """The relay as a whole."""
        return self.control.status()

    def add_user(self, address: str, password: str, *options: str) -> None:
        """Create an account."""
        done = self.relayctl("user", "add", address, "--password-stdin", *options, text=password + "\n")
        assert done.returncode == 0, done.stderr + done.stdout

    def is_empty(self) -> bool:
        """Whether no message waits in the spool."""
        return not any(True for _ in self.control.messages())

    def __enter__(self) -> Relay:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is not None:
            with contextlib.suppress(OSError):
                sys.stderr.write(self.output()[-8000:])
        self.close(check=kind is None)
