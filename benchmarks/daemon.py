"""twistedrelay as a peer: the real daemon, spool on disk, one worker, nothing switched off but the limits that a load test runs into."""

from __future__ import annotations

import shutil
from pathlib import Path

import twistedrelay
from tests.end_to_end.relay import Configuration, Relay
from tests.network import LOOPBACK, free_port


class Twistedrelay:
    """See the module."""

    name = "twistedrelay"

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "twistedrelay"
        self.port = free_port()
        self._relay: Relay | None = None

    def start(self, sink_port: int) -> None:
        """Start on an empty spool."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self._relay = Relay(self.configuration(sink_port), {"relay": self.port}, self.directory)
        self._relay.start()

    def configuration(self, sink_port: int) -> Configuration:
        """What it runs with."""
        return {
            "server": {"name": "BENCH", "fqdn": "twistedrelay.bench.test", "state_directory": "state"},
            "accepted_domains": {"bench.test": {"next_hop": f"{LOOPBACK}:{sink_port}"}},
            "receive_connectors": {
                "Bench": {
                    "bindings": [f"{LOOPBACK}:{self.port}"],
                    "permission_groups": ["AnonymousUsers"],
                    "max_inbound_connection": "unlimited",
                    "max_inbound_connection_per_source": "unlimited",
                    "max_inbound_connection_percentage_per_source": 100,
                    "max_message_size": "50MB",
                }
            },
        }

    def stop(self) -> None:
        """End the daemon and remove its files."""
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def pids(self) -> list[int]:
        """The daemon."""
        return [self._relay.process.pid] if self._relay and self._relay.process else []

    def version(self) -> str:
        """The version, for the table."""
        return twistedrelay.__version__


class Untracked(Twistedrelay):
    """The same without message tracking."""

    name = "twistedrelay, not tracking"

    def configuration(self, sink_port: int) -> Configuration:
        """What it runs with."""
        return {**super().configuration(sink_port), "transport": {"message_tracking_log_enabled": False}}
