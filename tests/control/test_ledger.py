"""The ledger and the webhooks by the API, over a real UNIX socket."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import SafetyNet, Schedule, Spool, make_api
from tests.network import PATIENCE
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.server import ControlService
from twistedrelay.observe.ledger.file import LedgerFile
from twistedrelay.observe.ledger.row import Row
from twistedrelay.observe.ledger.store import LedgerStore
from twistedrelay.observe.webhooks.hook import Answer

NOON = 1_790_000_000.0


def spoil(path: str) -> None:
    """Make it no database."""
    Path(path).write_bytes(b"garbage" * 999)


class Ledger:
    """A ledger in a file, as the relay has it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, work: Any) -> defer.Deferred[Any]:
        return deferToThread(work, LedgerFile(self.path))


@attrs.define
class Settings:
    name: str
    enabled: bool = True
    url: str = "https://desk.example/key"
    events: tuple[str, ...] = ("FAIL",)
    connectors: tuple[str, ...] = ()


@attrs.define
class Hook:
    waiting: int = 2
    delivered: int = 5
    failures: int = 1
    dropped: int = 0
    given_up: int = 0
    gone: bool = False
    last_error: str = ""


class Webhooks:
    def __init__(self) -> None:
        self.hook = Hook()

    def states(self) -> list[tuple[Any, Any, str]]:
        return [(Settings("Desk"), self.hook, ""), (Settings("B"), None, "no key"), (Settings("C", False), None, "")]

    def test(self, name: str) -> defer.Deferred[Answer] | None:
        if name == "a/b":
            return defer.fail(OSError("gone"))
        status = {"Desk": 204, "Busy": 503}.get(name)
        return None if status is None else defer.succeed(Answer(status, 0.0, "later" if status == 503 else ""))


class LedgerAPITests(TestCase):
    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        spool = Spool()
        api = make_api(reactor, spool, Schedule(spool), SafetyNet())
        self.relay: Any = api._relay
        service = ControlService(reactor, str(directory / "c" / "s"), api)  # type: ignore[arg-type]
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.client = ControlClient(str(directory / "c" / "s"))
        self.file = str(directory / "ledger.sqlite")

    def fill(self) -> None:
        store = LedgerStore(self.file, 1e9, lambda event: None, now=lambda: NOON)
        rows = []
        for number in range(1, 6):
            row = Row(("Default Frontend", f"192.0.2.{number}", f"h{number}", "", "x.example", "TLSv1.2", "X"), "192.0.2.9:25", NOON)
            row.messages, row.sessions = number, 1
            rows.append(row)
        store.write(rows)
        store.close()
        self.relay.ledger = Ledger(self.file)

    def ask(self, name: str, *arguments: Any) -> defer.Deferred[Any]:
        return deferToThread(getattr(self.client, name), *arguments)

    async def refused(self, *arguments: Any) -> str:
        error = await self.assertFailure(self.ask("get", *arguments), Refused)
        return str(error)

    async def test_pages(self) -> None:
        self.fill()
        first = await self.ask("get", "/v1/ledger", {"limit": "3"})
        second = await self.ask("get", "/v1/ledger", {"limit": "3", "after": str(first["next"])})
        assert [row["helo"] for row in first["rows"] + second["rows"]] == ["h1", "h2", "h3", "h4", "h5"]
        assert second["next"] == 0
        assert first["began"] == "2026-09-21T14:13:20Z"
        assert first["rows"][0]["range"] == "0.0.0.0-255.255.255.255"

    async def test_filters(self) -> None:
        self.fill()
        found = await self.ask("get", "/v1/ledger", {"client": "192.0.2.2-192.0.2.3", "connector": "default frontend"})
        assert [row["client"] for row in found["rows"]] == ["192.0.2.2", "192.0.2.3"]
        assert (await self.ask("get", "/v1/ledger", {"since": "2026-09-21T14:13:21Z"}))["rows"] == []

    async def test_names_of_clients(self) -> None:
        self.fill()
        self.relay.reverse_names = lambda clients: defer.succeed({"192.0.2.1": "printer.akkaya.local"})
        assert (await self.ask("get", "/v1/ledger"))["rows"][0]["client_name"] == ""
        transport = self.relay.config.transport.model_copy(update={"ledger_reverse_names": True})
        self.relay.config = self.relay.config.model_copy(update={"transport": transport})
        found = await self.ask("get", "/v1/ledger")
        assert [row["client_name"] for row in found["rows"]] == ["printer.akkaya.local", "", "", "", ""]

    async def test_totals_and_what_nobody_uses(self) -> None:
        self.fill()
        [total] = (await self.ask("get", "/v1/ledger/totals", {"by": "tls"}))["totals"]
        assert (total["identity"], total["messages"], total["clients"]) == ("TLSv1.2", 15, 5)
        found = await self.ask("get", "/v1/ledger/unused", {"since": "2027-01-01T00:00:00Z"})
        assert [(each["identity"], each["messages"]) for each in found["unused"]] == [("0.0.0.0-255.255.255.255", 15)]

    async def test_what_is_wrong(self) -> None:
        assert "keeps no ledger" in await self.refused("/v1/ledger")
        self.fill()
        assert "is no IP address" in await self.refused("/v1/ledger", {"client": "x"})
        assert "by must be one of" in await self.refused("/v1/ledger/totals", {"by": "x"})
        assert "give one of" in await self.refused("/v1/ledger/consequences")
        assert "there is no receive connector" in await self.refused("/v1/ledger/consequences", {"without_connector": "x"})
        spoil(self.file)
        assert "cannot be read now" in await self.refused("/v1/ledger")

    async def test_webhooks(self) -> None:
        assert "no webhooks" in await self.refused("/v1/webhooks")
        self.relay.webhooks = Webhooks()
        states = await self.ask("get", "/v1/webhooks")
        assert [(each["name"], each["status"], each["last_error"]) for each in states] == [
            ("Desk", "ready", ""),
            ("B", "broken", "no key"),
            ("C", "disabled", ""),
        ]
        assert states[0]["url"] == "https://desk.example/***"
        assert (states[0]["waiting"], states[0]["delivered"], states[1]["waiting"]) == (2, 5, 0)
        self.relay.webhooks.hook.last_error = "it answers 503"
        assert (await self.ask("get", "/v1/webhooks"))[0]["status"] == "failing"
        self.relay.webhooks.hook.gone = True
        assert (await self.ask("get", "/v1/webhooks"))[0]["status"] == "gone"

    async def test_a_test_of_a_webhook(self) -> None:
        self.relay.webhooks = Webhooks()
        results = [await self.ask("post", f"/v1/webhooks/{name}/test") for name in ("Desk", "Busy", "a%2Fb")]
        assert [(each["taken"], each["status"], each["answer"]) for each in results] == [
            (True, 204, ""),
            (False, 503, "later"),
            (False, None, "gone"),
        ]
        error = await self.assertFailure(self.ask("post", "/v1/webhooks/Nobody/test"), Refused)
        assert "No webhook Nobody is in use" in str(error)
