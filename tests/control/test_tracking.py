"""Tests for message tracking in the API."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Content, Schedule, Spool, make_api
from tests.network import PATIENCE
from tests.observe.tracking.world import UNKNOWN, World
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.server import ControlService
from twistedrelay.values.events import Receive


class TrackingTests(TestCase):
    """Each test has a daemon's control service of its own."""

    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.world = World(directory / "tracking")
        self.world.tried(self.world.received("u@customer.example"))
        self.world.tried(self.world.received("nobody@customer.example"), UNKNOWN)
        self.serve(directory, tracking=self.world.sink)

    def serve(self, directory: Path, **parts: Any) -> None:
        path = str(directory / "c" / "s")
        self.spool = Spool()
        self.service = ControlService(reactor, path, make_api(reactor, self.spool, Schedule(self.spool), **parts))  # type: ignore[arg-type]
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.client = ControlClient(path)

    async def get(self, path: str, **query: str) -> Any:
        return await deferToThread(self.client.get, path, query)

    async def refused(self, path: str, **query: str) -> tuple[int, str]:
        error: Refused = await self.assertFailure(deferToThread(self.client.get, path, query), Refused)
        return error.status, str(error)

    async def test_events(self) -> None:
        page = await self.get("/v1/tracking")
        assert [event["event_id"] for event in page["events"]] == ["FAIL", "RECEIVE", "SEND", "RECEIVE"]
        assert (page["next"], page["problems"]) == ("", [])
        page = await self.get("/v1/tracking", order="oldest", recipient="customer.example", event_id="SEND,FAIL")
        assert [event["recipients"] for event in page["events"]] == [["u@customer.example"], ["nobody@customer.example"]]

    async def test_where_a_messages_time_went(self) -> None:
        message = self.world.message()
        message.received_at -= 0.25
        message.content = Content()
        self.world.sink.emit(Receive(message))
        self.spool.kept[message.id] = message
        assert (await self.get(f"/v1/messages/{message.id}"))["component_latency"] is None
        spans = (await self.get(f"/v1/messages/{message.id}", include_component_latency_info="true"))["component_latency"]
        assert [(span["component"], span["pending"]) for span in spans] == [("Commit", False), ("Queue", True)]
        assert spans[0]["seconds"] == 0.25

    async def test_pages(self) -> None:
        first = await self.get("/v1/tracking", limit="3", order="oldest")
        second = await self.get("/v1/tracking", limit="3", order="oldest", after=first["next"])
        assert [len(page["events"]) for page in (first, second)] == [3, 1]
        assert second["next"] == ""

    async def test_times(self) -> None:
        assert (await self.get("/v1/tracking", end="2026-11-22T12:00:00Z"))["events"] == []
        assert len((await self.get("/v1/tracking", start="2026-11-22T12:00:00Z"))["events"]) == 4

    async def test_a_story(self) -> None:
        for wanted in ("2", "%3C2%40printer%3E"):
            page = await self.get(f"/v1/tracking/messages/{wanted}")
            assert [event["event_id"] for event in page["events"]] == ["RECEIVE", "FAIL"]
        assert (await self.get("/v1/tracking/messages/99"))["events"] == []

    async def test_what_is_no_question(self) -> None:
        for query in (
            {"event_id": "SENT"},
            {"client": "x"},
            {"internal_message_id": "x"},
            {"after": "x"},
            {"order": "up"},
            {"start": "soon"},
            {"limit": "0"},
            {"sender": "a\nb"},
        ):
            status, said = await self.refused("/v1/tracking", **query)
            assert status == 400, said

    async def test_tracking_is_off(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.serve(directory)
        for path in ("/v1/tracking", "/v1/tracking/messages/1"):
            assert (await self.refused(path))[0] == 409
