"""Delivered messages that are sent again, over a real spool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.schedule.fakes import Events
from tests.spool.world import World, deliver
from twistedrelay.schedule import safetynet
from twistedrelay.schedule.safetynet import ResubmitRequest, SafetyNet
from twistedrelay.values.envelope import DeliverBy, MailParameters, Message, Origin, RecipientState
from twistedrelay.values.events import Resubmitted, ServiceEvent
from twistedrelay.values.kept import KeptQuery

LARGE = b"0123456789" * 60_000


class Net:
    """A spool that keeps, and its safety net."""

    def __init__(self, directory: str, hold_time: float = 1000.0) -> None:
        self.world = World(directory)
        self.world.options["keep_delivered"] = True
        self.events = Events()
        self.submitted: list[Message] = []
        self.net = SafetyNet(self.world.reactor, self.world.spool, self.submitted.append, self.events, hold_time)

    def delivered(self, *arguments: Any, **more: Any) -> Message:
        message = self.world.store(*arguments, **more)
        self.world.wait(self.world.spool.record(message, deliver(*message.recipients)))
        return message

    def finish(self, request: ResubmitRequest) -> None:
        for _ in range(2000):
            if request.state != "Running":
                return
            self.world.reactor.drain(0.002)
            self.world.reactor.advance(0.02)
        raise AssertionError("the request does not end")

    def purge(self) -> None:
        for _ in range(20):
            self.world.reactor.drain(0.01)
            self.world.reactor.advance(0.02)


@pytest.fixture
def net(tmp_path: Path) -> Any:
    made = Net(str(tmp_path / "spool"))
    yield made
    made.net.stop()
    made.world.close()


def test_what_was_delivered_is_sent_again_as_a_new_message(net: Net) -> None:
    parameters = MailParameters(body="8BITMIME", deliver_by=DeliverBy(30, "R"), hold_until=5.0, hold_for=5)
    first = net.delivered(LARGE, recipients=2, parameters=parameters, origin=Origin(connector="IP_Relay", client="192.0.2.7"))
    net.world.reactor.advance(100)
    request = net.net.resubmit(KeptQuery(recipient="r1@example.com"))
    net.finish(request)
    assert (request.state, request.resubmitted, request.failed) == ("Completed", 1, 0)
    (again,) = net.submitted
    assert again.id > first.id
    assert again.origin == Origin("SAFETYNET", "IP_Relay", "192.0.2.7")
    assert again.parameters == MailParameters(body="8BITMIME")
    assert again.received_at >= 100.0
    assert [(each.index, each.address.text, each.state) for each in again.recipients] == [(0, "r1@example.com", RecipientState.READY)]
    (loaded,) = net.world.load(again.id)
    assert net.world.content(loaded) == LARGE
    (event,) = net.events.of(Resubmitted)
    assert (event.message.id, event.about) == (again.id, first.id)


def test_many_come_again_each_once_and_what_comes_again_is_not_kept(net: Net) -> None:
    made = [net.delivered().id for _ in range(70)]
    net.world.reactor.advance(1)
    request = net.net.resubmit(KeptQuery())
    net.finish(request)
    assert request.resubmitted == 70
    assert len({message.id for message in net.submitted}) == 70
    for message in net.submitted:
        net.world.wait(net.world.spool.record(message, deliver(*message.recipients)))
    net.world.reactor.advance(1)
    second = net.net.resubmit(KeptQuery())
    net.finish(second)
    assert second.resubmitted == 70
    assert {event.about for event in net.events.of(Resubmitted)} == set(made)
    assert net.net.requests() == [second, request]


def test_what_is_delivered_later_is_not_meant(net: Net) -> None:
    net.world.reactor.advance(50)
    request = net.net.resubmit(KeptQuery())
    assert request.query.end == 50.0
    net.delivered()
    net.finish(request)
    assert request.resubmitted == 0


def test_a_request_can_be_ended(net: Net) -> None:
    for _ in range(70):
        net.delivered()
    net.world.reactor.advance(1)
    request = net.net.resubmit(KeptQuery())
    assert net.net.cancel(request.identity)
    assert not net.net.cancel(request.identity)
    assert not net.net.cancel(99)
    net.purge()
    assert request.state == "Cancelled"
    assert request.resubmitted <= safetynet.TOGETHER


@pytest.mark.parametrize("reason", ["resources", "disk"])
def test_a_request_waits_while_nothing_can_be_stored(net: Net, reason: str) -> None:
    for _ in range(30):
        net.delivered()
    net.world.reactor.advance(1)
    short = [reason == "resources"]
    net.net._held = lambda: short[0]
    net.world.spool.healthy = reason != "disk"
    request = net.net.resubmit(KeptQuery())
    net.purge()
    assert (request.state, request.resubmitted, request.failed) == ("Running", 0, 0)
    short[0], net.world.spool.healthy = False, True
    net.world.reactor.advance(safetynet.HELD)
    net.finish(request)
    assert (request.state, request.resubmitted, request.failed) == ("Completed", 30, 0)


def test_a_message_that_is_gone_meanwhile_is_counted(net: Net) -> None:
    net.delivered(LARGE)
    (name,) = net.world.bodies()
    (Path(net.world.directory) / "bodies" / name).unlink()
    net.world.reactor.advance(1)
    request = net.net.resubmit(KeptQuery())
    net.finish(request)
    assert (request.state, request.resubmitted, request.failed) == ("Completed", 0, 1)
    assert net.submitted == []
    assert any("1 could not be" in event.text for event in net.events.of(ServiceEvent))


def test_a_spool_that_cannot_be_read_ends_the_request(net: Net) -> None:
    net.delivered()
    net.world.close()
    request = net.net.resubmit(KeptQuery())
    assert request.state == "Failed"
    assert "closed" in request.error


def test_what_is_old_enough_goes(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetynet, "PURGE", 3)
    for _ in range(8):
        net.delivered(LARGE)
    net.world.reactor.advance(900)
    young = net.delivered()
    net.net.start()
    net.purge()
    assert len(net.world.bodies()) == 8
    net.world.reactor.advance(150)
    net.purge()
    assert net.world.bodies() == []
    found = net.world.wait(net.world.spool.kept.page(KeptQuery(), (0.0, 0), 100)).found
    assert [kept.message.id for kept in found] == [young.id]


def test_found_kept_messages_are_bounded(net: Net) -> None:
    made = [net.delivered().id for _ in range(5)]

    def find(limit: int) -> list[int]:
        return [kept.message.id for kept in net.world.wait(Deferred.fromCoroutine(net.net.find(KeptQuery(), limit)))]

    assert find(100) == made
    assert find(2) == made[:2]
