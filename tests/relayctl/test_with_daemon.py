"""Verbs over the control socket of a running API."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api, make_message
from tests.network import PATIENCE
from tests.relayctl.conftest import RELAY_YAML
from twistedrelay.control.server import ControlService
from twistedrelay.relayctl.main import cli


class DaemonTests(TestCase):
    """Each test has an API over stand-ins, and a configuration that names its socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        # Not trial's mktemp: it leaves its directories where the tests were started, and a socket's path must be short.
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = directory / "relay.yaml"
        path = f"{directory}/s/s"
        self.file.write_text(RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {path}"))
        self.spool = Spool()
        self.schedule = Schedule(self.spool)
        service = ControlService(reactor, path, make_api(reactor, self.spool, self.schedule))  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)

    def relayctl(self, *arguments: str) -> defer.Deferred[Result]:
        return deferToThread(lambda: CliRunner().invoke(cli, ["--config", str(self.file), *arguments]))

    async def test_status(self) -> None:
        result = await self.relayctl("status")
        assert result.exit_code == 0, result.output
        assert "MessageCount             : 0" in result.stdout
        document = json.loads((await self.relayctl("status", "--json")).stdout)
        assert document["totals"]["received"] == 0

    async def test_a_sick_spool_is_said(self) -> None:
        self.spool.healthy = False
        result = await self.relayctl("status")
        assert "The spool is sick" in result.stderr

    async def test_health(self) -> None:
        result = await self.relayctl("health")
        assert result.exit_code == 1
        assert result.stdout == "RELAY CRITICAL - spool: the spool cannot be written to\n"
        document = json.loads((await self.relayctl("health", "--json")).stdout)
        assert [check["name"] for check in document["checks"]] == ["spool", "listeners"]
        rows = list(csv.DictReader(io.StringIO((await self.relayctl("health", "--csv")).stdout)))
        assert rows[1] == {"name": "listeners", "ok": "True", "reason": "2 bound"}

    async def test_connectors_are_the_daemons(self) -> None:
        rows = json.loads((await self.relayctl("connector", "list", "--json")).stdout)
        assert [row["identity"] for row in rows] == ["EXCSERVER\\Default Frontend", "EXCSERVER\\IP/Relay"]
        assert (await self.relayctl("connector", "show", "IP/Relay")).exit_code == 0
        unknown = await self.relayctl("connector", "show", "Client Frontend")
        assert unknown.exit_code == 1
        assert "Default Frontend" in unknown.stderr

    async def test_queue_list(self) -> None:
        result = await self.relayctl("queue", "list")
        assert result.exit_code == 0
        titles, _, row = result.stdout.splitlines()
        assert titles.split() == ["Identity", "DeliveryType", "Status", "MessageCount", "NextHopDomain", "NextRetryTime", "LastError"]
        assert row.startswith("EXCSERVER\\[10.0.0.1],relay.x.com  SmartHostConnectorDelivery  Retry   3 ")
        (document,) = json.loads((await self.relayctl("queue", "list", "--json")).stdout)
        assert document["next_hop_connector"] == "Internet"

    async def test_queue_suspend_resume_retry(self) -> None:
        name = "[10.0.0.1],relay.x.com"
        what_if = await self.relayctl("queue", "suspend", name, "--what-if")
        assert "What if: the queue [10.0.0.1],relay.x.com would be suspended." in what_if.stdout
        assert self.schedule.queues.suspension is None
        done = await self.relayctl("queue", "suspend", "EXCSERVER\\" + name, "--reason", "their move", "--for", "2h")
        assert done.exit_code == 0, done.output
        assert "is suspended until 2" in done.stdout
        assert self.schedule.queues.suspension is not None
        assert self.schedule.queues.suspension.reason == "their move"
        assert (await self.relayctl("queue", "resume", name)).exit_code == 0
        assert (await self.relayctl("queue", "resume", name)).exit_code == 1
        assert (await self.relayctl("queue", "retry", name)).exit_code == 0
        for verb in ("suspend", "retry"):
            assert (await self.relayctl("queue", verb, "nowhere")).exit_code == 1
            assert (await self.relayctl("queue", verb, "nowhere", "--what-if")).exit_code == 1
        assert (await self.relayctl("queue", "suspend", name, "--for", "soon")).exit_code == 2
        assert (await self.relayctl("queue", "suspend", name, "--for", "10ms")).exit_code == 2

    async def test_message_suspend_resume(self) -> None:
        self.spool.kept[1] = make_message(1)
        assert "would be suspended" in (await self.relayctl("message", "suspend", "1", "--what-if")).stdout
        assert self.schedule.suspended == set()
        assert (await self.relayctl("message", "suspend", "EXCSERVER\\1")).exit_code == 0
        assert self.schedule.suspended == {1}
        assert "would go on" in (await self.relayctl("message", "resume", "1", "--what-if")).stdout
        assert (await self.relayctl("message", "resume", "1")).exit_code == 0
        assert (await self.relayctl("message", "suspend", "2")).exit_code == 1

    async def test_message_list(self) -> None:
        assert (await self.relayctl("message", "list")).stdout == ""
        assert json.loads((await self.relayctl("message", "list", "--json")).stdout) == []
        assert (await self.relayctl("message", "list", "--csv")).stdout.startswith("identity,")
        self.spool.kept.update({id: make_message(id, recipients=id) for id in (1, 2, 30)})
        rows = json.loads((await self.relayctl("message", "list", "--json")).stdout)
        assert [row["id"] for row in rows] == [1, 2, 30]
        limited = await self.relayctl("message", "list", "--limit", "2", "--csv")
        assert [row["id"] for row in csv.DictReader(io.StringIO(limited.stdout))] == ["1", "2"]
        assert "more than 2" in limited.stderr

    async def test_message_list_filters_look_at_all_recipients(self) -> None:
        self.spool.kept.update({id: make_message(id, recipients=id) for id in (1, 2, 30)})
        found = await self.relayctl("message", "list", "--to", "USER29@", "--json")
        assert [row["id"] for row in json.loads(found.stdout)] == [30]
        assert json.loads((await self.relayctl("message", "list", "--from", "nobody", "--json")).stdout) == []
        assert len(json.loads((await self.relayctl("message", "list", "--from", "Cengiz", "--json")).stdout)) == 3

    async def test_message_show(self) -> None:
        self.spool.kept[42] = make_message(42, recipients=2)
        result = await self.relayctl("message", "show", "EXCSERVER\\42")
        assert result.exit_code == 0
        assert "FromAddress       : cengiz@cozumpark.com" in result.stdout
        assert "user1@akkaya.local  Retry" in result.stdout
        assert "451 4.3.0 later" in result.stdout
        assert re.search(r"^Component +Began +Latency +Queue +Recipients +Detail$", result.stdout, re.MULTILINE)
        assert re.search(r"^Queue .* d so far .*with 1 attempt that nothing is known of", result.stdout, re.MULTILINE)
        (document,) = json.loads((await self.relayctl("message", "show", "42", "--json")).stdout)
        assert len(document["recipient_info"]) == 2
        gone = await self.relayctl("message", "show", "43")
        assert gone.exit_code == 1
        assert "no message 43" in gone.stderr

    async def test_message_remove(self) -> None:
        self.spool.kept.update({id: make_message(id) for id in (1, 2)})
        what_if = await self.relayctl("message", "remove", "1", "--what-if")
        assert "What if: message 1 from cengiz@cozumpark.com would be removed" in what_if.stdout
        assert set(self.spool.kept) == {1, 2}
        assert (await self.relayctl("message", "remove", "1")).exit_code == 0
        assert (await self.relayctl("message", "remove", "2", "--without-ndr")).exit_code == 0
        assert self.schedule.removed == [(1, True), (2, False)]
        assert (await self.relayctl("message", "remove", "2")).exit_code == 1

    async def test_hostile_values_cannot_move_the_cursor(self) -> None:
        message = make_message(42)
        message.message_id = "<\x1b[2J\u202e@x>"
        self.spool.kept[42] = message
        for style in ((), ("--csv",), ("--json",)):
            for verb in ("list", "show 42"):
                shown = (await self.relayctl("message", *verb.split(), *style)).stdout
                assert "\x1b" not in shown
                assert "\u202e" not in shown
