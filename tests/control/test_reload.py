"""Reading the configuration again through the API and by relayctl."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Applying, Schedule, Spool, make_api
from tests.network import PATIENCE
from tests.relayctl.conftest import RELAY_YAML
from twistedrelay.config.problems import ConfigError, Problem
from twistedrelay.control.applying import ApplyError
from twistedrelay.control.server import ControlService
from twistedrelay.relayctl.main import cli


class ReloadTests(TestCase):
    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = directory / "relay.yaml"
        path = f"{directory}/s/s"
        self.file.write_text(RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {path}"))
        self.applying = Applying()
        spool = Spool()
        api = make_api(reactor, spool, Schedule(spool), applying=self.applying)
        service = ControlService(reactor, path, api)  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)

    def relayctl(self, *arguments: str) -> Deferred[Result]:
        return deferToThread(lambda: CliRunner().invoke(cli, ["--config", str(self.file), *arguments]))

    @inlineCallbacks
    def test_it_is_committed_and_told(self) -> Any:
        done = yield self.relayctl("reload")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "receive connector IP_Relay: added\n", "")
        assert [prepared.done for prepared in self.applying.prepared] == [["committed"]]

    @inlineCallbacks
    def test_what_if(self) -> Any:
        done = yield self.relayctl("reload", "--what-if")
        assert (done.exit_code, done.stdout) == (0, "What if: receive connector IP_Relay: added\n")
        assert [prepared.done for prepared in self.applying.prepared] == [["aborted"]]

    @inlineCallbacks
    def test_json(self) -> Any:
        done = yield self.relayctl("reload", "--json")
        assert json.loads(done.stdout) == {
            "committed": True,
            "changes": ["receive connector IP_Relay: added"],
            "needs_restart": [],
            "warnings": [],
        }

    @inlineCallbacks
    def test_all_that_is_wrong_is_printed_with_its_place(self) -> Any:
        problems = [Problem(("server", "fqdn"), "is wrong", "/etc/relay.yaml", 3), Problem((), "cannot be read", "/etc/other.yaml")]
        self.applying.fails = ConfigError(problems)
        done = yield self.relayctl("reload")
        assert done.exit_code == 1
        assert done.stderr.splitlines()[:2] == ["/etc/relay.yaml:3: server.fqdn: is wrong", "/etc/other.yaml: cannot be read"]

    @inlineCallbacks
    def test_a_port_that_cannot_be_had(self) -> Any:
        self.applying.fails = ApplyError("cannot listen on 0.0.0.0 port 25 (A): Permission denied; start as root")
        done = yield self.relayctl("reload")
        assert (done.exit_code, done.stdout) == (1, "")
        assert "Error: cannot listen on 0.0.0.0 port 25 (A): Permission denied; start as root." in done.stderr

    @inlineCallbacks
    def test_a_file_in_which_the_daemon_cannot_be_found(self) -> Any:
        self.file.write_text(self.file.read_text() + "\nnonsense: 1\nrecieve_connectors: {}\n")
        done = yield self.relayctl("reload")
        assert done.exit_code == 1
        assert f"{self.file}:" in done.stderr and "nonsense" in done.stderr and "receive_connectors" in done.stderr
        assert not self.applying.overlays
