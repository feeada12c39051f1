"""A relay that runs explains itself over the API, and compares itself with a proposal."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Lane, Schedule, Spool, Suspension, make_api, make_message
from tests.net.relay import FakeUsers, Relay
from tests.network import PATIENCE
from twistedrelay.answers.explain.explainer import rules_of
from twistedrelay.answers.explain.live import Running
from twistedrelay.config.load import load
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.server import ControlService
from twistedrelay.interfaces import ResolutionError
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.throttle import ConnectionCounts
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, Target
from twistedrelay.values.usage import Usage

RELAY_YAML = """\
server: {{name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: {state}}}
accepted_domains:
  akkaya.local: {{next_hop: "maildir:/m"}}
receive_connectors:
  Default Frontend:
    bindings: ["0.0.0.0:25"]
    auth_mechanism: [Tls, BasicAuth]
    permission_groups: [AnonymousUsers, ExchangeUsers]
    extended_rights: {{Anonymous Logon: [{right}]}}
    i_know_this_is_an_open_relay: true
send_connectors:
  Internet: {{address_spaces: ["*"], smart_hosts: ["{hop}"]}}
"""


class Resolver:
    """Knows one host."""

    def targets(self, route: Route) -> defer.Deferred[list[Target]]:
        if route.hops[0].host != "relay.x.com":
            return defer.fail(ResolutionError(Reply(451, "4.4.3", "no such host")))
        return defer.succeed([Target("relay.x.com", "192.0.2.7", 25)])


class Shown(Schedule):
    """A schedule with the queues that a test wants."""

    shown: Sequence[Lane] = ()

    def lanes(self) -> list[Lane]:
        return list(self.shown) or super().lanes()


class ExplainTests(TestCase):
    """The API of a relay without network."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.directory / "relay.yaml"
        self.write(self.file)
        config = load(str(self.file))
        relay = self.relay = Relay()
        relay.config = config
        relay.replace(acceptance=Acceptance(config), counts=ConnectionCounts())
        self.spool = Spool()
        self.rows: Sequence[Usage] = []
        self.since: list[float] = []
        resolver: Any = Resolver()
        running = Running(config=config, reception=relay.reception, router=rules_of(config).router, resolver=resolver)
        path = str(self.directory / "c" / "s")
        self.schedule = Shown(self.spool)
        applying: Any = SimpleNamespace(file=str(self.file))
        api = make_api(reactor, self.spool, self.schedule, running=lambda: running, usage=self.usage, applying=applying)
        service = ControlService(reactor, path, api)  # type: ignore[arg-type]
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.client = ControlClient(path)

    def usage(self, since: float) -> defer.Deferred[Sequence[Usage]]:
        self.since.append(since)
        return defer.succeed(self.rows)

    def write(self, file: Path, right: str = "Accept-Any-Recipient", hop: str = "[10.0.0.1]") -> None:
        """A configuration."""
        file.write_text(RELAY_YAML.format(state=self.directory, right=right, hop=hop.strip("[]")))

    def post(self, path: str, /, **body: Any) -> defer.Deferred[Any]:
        return deferToThread(self.client.post, path, body)

    async def test_explain(self) -> None:
        told = await self.post("/v1/explain", client="192.168.1.55", sender="a@b.example", recipients=["someone@gmail.com"])
        assert (told["accepted"], told["live"], told["receive_connector"]) == (True, True, "Default Frontend")
        assert told["dialogue"][-1]["reply"].startswith("354")
        assert told["candidates"][0]["place"] == f"{self.file}:5"
        assert told["routes"][0]["next_hop"] == "[10.0.0.1]"
        assert told["routes"][0]["targets"] is None
        assert self.relay.counts.open == 0

    async def test_lines_are_said_only_while_the_file_holds_what_the_relay_runs_with(self) -> None:
        self.write(self.file, hop="192.0.2.99")
        assert (await self.post("/v1/explain", client="192.168.1.55"))["candidates"][0]["place"] == ""
        self.write(self.file)
        for _ in range(2):
            assert (await self.post("/v1/explain", client="192.168.1.55"))["candidates"][0]["place"] == f"{self.file}:5"

    async def test_an_empty_queue_that_an_administrator_touched(self) -> None:
        suspension: Any = Suspension("their move", 0.0)
        touched = Lane("[10.0.0.1]", "[10.0.0.1]", "Undefined", "", redirected_to="relay.x.com", suspension=suspension)
        self.schedule.shown = [touched]
        asked = {"client": "192.168.1.55", "sender": "a@b.example", "recipients": ["someone@gmail.com"], "resolve": True}
        told = await self.post("/v1/explain", **asked)
        queue = told["routes"][0]["queue"]
        assert (queue["suspended"], queue["redirected_to"]) == ("their move", "relay.x.com")
        assert told["routes"][0]["targets"] is None  # its hosts are not those of the way

    async def test_a_login_is_one_of_the_users(self) -> None:
        for user, code in ((FakeUsers.address, "235"), ("nobody@akkaya.local", "535")):
            told = await self.post("/v1/explain", client="192.168.1.55", user=user)
            assert told["dialogue"][-1]["reply"].startswith(code)

    async def test_the_dns_is_asked_where_that_is_wanted(self) -> None:
        asked = {"client": "192.168.1.55", "sender": "a@b.example", "recipients": ["someone@gmail.com"], "resolve": True}
        told = await self.post("/v1/explain", **asked)
        assert told["routes"][0]["targets"] == []
        assert told["routes"][0]["resolution"] == "451 4.4.3 no such host"
        assert (told["accepted"], told["routes"][0]["action"]) == (False, "wait")
        assert "someone@gmail.com waits: the DNS knows no host for it: 451" in told["summary"]

    async def test_what_cannot_be_asked(self) -> None:
        for body in ({}, {"client": "x"}, {"client": "10.0.0.1", "to": ":99"}, {"client": "10.0.0.1", "sender": "a\r\nRCPT TO:<x>@b"}):
            refused = await self.assertFailure(self.post("/v1/explain", **body), Refused)
            assert refused.status == 422
            if body.get("to"):
                assert "Ports that exist: 25 (Default Frontend)" in str(refused)

    async def test_diff(self) -> None:
        for number in (1, 2):
            self.spool.kept[number] = make_message(number)
            self.spool.kept[number].recipients[0].address = make_message(number).sender
        self.rows = [
            Usage(
                connector="Default Frontend",
                local="192.168.1.5:25",
                client="192.168.1.55",
                sender_domain="b.example",
                first_seen=1.0,
                last_seen=2.0,
                messages=1,
                recipient_domains=("gmail.com",),
            )
        ]
        new = self.directory / "new.yaml"
        self.write(new, "Submit", "relay.x.com")
        text = new.read_text()
        new.unlink()
        found = await self.post("/v1/diff", path=str(new), files={str(new): text}, days=3)
        assert found["refused"]
        assert [(one["object"], one["parameter"]) for one in found["changes"]] == [
            ("ReceiveConnector", "extended_rights"),
            ("SendConnector", "smart_hosts"),
        ]
        [queue] = found["requeued"]
        assert (queue["old"], queue["new"], queue["messages"]) == ("[10.0.0.1] by Internet", "relay.x.com by Internet", 2)
        [client] = found["clients"]
        assert client["effect"] == "refused"
        assert "gmail.com refused: 550 5.7.54" in " ".join(client["what"])
        assert found["messages_looked_at"] == 2
        assert len(self.since) == 1

    async def test_nothing_differs_from_the_own_file(self) -> None:
        found = await self.post("/v1/diff", path=str(self.file), files={str(self.file): self.file.read_text()})
        assert (found["changes"], found["bindings"], found["refused"]) == ([], [], False)
        assert found["notes"] == ["No sessions are recorded of that time."]
        found = await self.post("/v1/diff", path=str(self.file), files={}, days=0)
        assert found["notes"] == []

    async def test_a_proposal_that_cannot_be_used(self) -> None:
        refused = await self.assertFailure(self.post("/v1/diff", path="/new.yaml", files={"/new.yaml": "server: {}\n"}), Refused)
        assert refused.status == 422
        assert "/new.yaml:1: server.name" in str(refused)
        assert (await self.assertFailure(self.post("/v1/diff", path="relative", files={}), Refused)).status == 422
