"""Answers that go on: bounded, alive, and over when they should be."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.test.requesthelper import DummyRequest

from tests.control.fakes import Schedule, Spool, make_api
from tests.network import PATIENCE
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.requests import RequestProblem
from twistedrelay.control.server import ControlService
from twistedrelay.control.streams import HEARTBEAT, MAX_STREAMS, MAX_WAITING, Streams
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.trace import Trace
from twistedrelay.values.events import ServiceEvent


class Watched(DummyRequest):
    """A request whose answer is looked at."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # DummyRequest's own is for those that are asked for more
        assert streaming

    def unregisterProducer(self) -> None:
        pass


class World:
    """Streams, and who tells."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.streams = Streams()
        self.tellers: list[Callable[[dict[str, Any]], None]] = []

    def subscribe(self, tell: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        self.tellers.append(tell)
        return lambda: self.tellers.remove(tell)

    def begin(self) -> tuple[Any, Any]:
        request = Watched([])
        return request, self.streams.begin(request, self.clock, self.subscribe)  # type: ignore[arg-type]


def records(request: Any) -> list[dict[str, Any]]:
    """The records of a stream."""
    return [json.loads(part[6:]) for part in b"".join(request.written).split(b"\n\n") if part.startswith(b"data: ")]


def test_records_and_signs_of_life() -> None:
    world = World()
    request, finished = world.begin()
    assert request.responseHeaders.getRawHeaders(b"content-type") == [b"text/event-stream"]
    world.tellers[0]({"event": "x", "text": "a\nb"})
    assert records(request) == [{"event": "x", "text": "a\nb"}]
    before = len(request.written)
    world.clock.advance(HEARTBEAT)
    assert request.written[before:] == [b": lives\n\n"]
    assert not finished.called


def test_who_does_not_read_loses_the_oldest_and_is_told() -> None:
    world = World()
    request, _ = world.begin()
    stream = next(iter(world.streams._open))
    stream.pauseProducing()
    for number in range(MAX_WAITING + 7):
        world.tellers[0]({"n": number})
    world.clock.advance(HEARTBEAT)
    assert records(request) == []
    stream.resumeProducing()
    found = records(request)
    assert found[0] == {"event": "dropped", "count": 7}
    assert [record["n"] for record in found[1:]] == list(range(7, MAX_WAITING + 7))


def test_the_end() -> None:
    world = World()
    request, finished = world.begin()
    world.streams.close()
    assert records(request) == [{"event": "end", "reason": "shutdown"}]
    assert finished.result == b""
    assert world.tellers == []
    assert len(world.streams) == 0
    assert world.clock.getDelayedCalls() == []


def test_who_goes_away_is_told_nothing_more() -> None:
    world = World()
    _, finished = world.begin()
    finished.addErrback(lambda failure: failure.trap(CancelledError))
    finished.cancel()
    assert world.tellers == []
    assert len(world.streams) == 0
    assert world.clock.getDelayedCalls() == []


def test_there_are_not_too_many() -> None:
    world = World()
    for _ in range(MAX_STREAMS):
        world.begin()
    with pytest.raises(RequestProblem, match="streams are open"):
        world.begin()


class TraceTests(TestCase):
    """Over a real socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        path = str(Path(self.enterContext(tempfile.TemporaryDirectory())) / "c" / "s")
        self.sink = EventSink([])
        spool = Spool()
        api = make_api(reactor, spool, Schedule(spool), trace=Trace(self.sink))
        self.service = ControlService(reactor, path, api)  # type: ignore[arg-type]
        self.service.startService()
        self.addCleanup(lambda: self.service.running and self.service.stopService())
        self.client = ControlClient(path)

    async def listening(self) -> None:
        while not self.sink._consumers:
            await deferLater(reactor, 0.01)

    async def test_a_trace(self) -> None:
        watching = deferToThread(lambda: list(self.client.stream("/v1/trace")))
        await self.listening()
        self.sink.emit(ServiceEvent("info", "one"))
        self.sink.emit(ServiceEvent("info", "two"))
        await self.service.stopService()
        found = await watching
        assert [record.get("line") for record in found] == ["one", "two", None]
        assert found[-1] == {"event": "end", "reason": "shutdown"}

    async def test_who_closes_is_forgotten(self) -> None:
        def watch() -> Any:
            records = self.client.stream("/v1/trace")
            first = next(records)
            records.close()  # type: ignore[attr-defined]
            return first

        watching = deferToThread(watch)
        await self.listening()
        self.sink.emit(ServiceEvent("info", "one"))
        assert (await watching)["line"] == "one"
        while self.sink._consumers:
            await deferLater(reactor, 0.01)

    async def test_what_is_no_question(self) -> None:
        for name, given, words in (
            ("client", "x", "client: "),
            ("session", "12", "16 hex digits"),
            ("connector", "Nobody's", "There is no connector Nobody's"),
        ):
            asked = deferToThread(lambda query: list(self.client.stream("/v1/trace", query)), {name: given})
            error: Refused = await self.assertFailure(asked, Refused)
            assert error.status == 400
            assert words in str(error)
        assert not self.sink._consumers

    async def test_a_connector_by_its_identity(self) -> None:
        watching = deferToThread(lambda: list(self.client.stream("/v1/trace", {"connector": "excserver\\default frontend"})))
        await self.listening()
        await self.service.stopService()
        assert len(await watching) == 1
