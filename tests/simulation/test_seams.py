"""Spool, schedule and reports together: stops, sick disks, loops of reports, and content that leaves while it is read."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.schedule.fakes import LATER, NEVER, OK, Attempt, Events, Router
from tests.spool.world import World as SpoolWorld
from twistedrelay.config.schema import Transport
from twistedrelay.dsn.report import Reporter
from twistedrelay.schedule.due import Scheduler
from twistedrelay.spool import writer
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import Message
from twistedrelay.values.events import Dropped, ReportSent, Send

POSTMASTER = "postmaster@relay.example"


class Relay(SpoolWorld):
    """A scheduler over a real spool; runs are the test's."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.reactor.advance(1_700_000_000.0)
        self.attempt = Attempt()
        self.events = Events()
        self.begin()

    def begin(self) -> None:
        reporter = Reporter("relay.example", POSTMASTER, self.spool, self.reactor)
        transport = Transport.model_construct()
        self.scheduler = Scheduler(self.reactor, self.spool, Router(), self.attempt, reporter, self.events, transport)
        self.spool._on_health = lambda healthy, _: self.scheduler.resume() if healthy else self.scheduler.pause()
        self.scheduler.start()
        self.reactor.until(lambda: self.scheduler.suspensions.known)  # before that nothing begins

    def receive(self, *arguments: object, sender: Address | None = None, **keywords: object) -> Message:
        message = self.message(*arguments, **keywords)  # type: ignore[arg-type]
        message.received_at = self.reactor.seconds()
        message.sender = message.sender if sender is None else sender
        self.wait(self.spool.store(message))
        self.scheduler.submit(message)
        return message

    def eventually(self, condition: Callable[[], object]) -> None:
        """The clock goes on, and threads have their time, until something is so."""
        for _ in range(10_000):
            if condition():
                return
            self.reactor.advance(0.01)
            self.reactor.drain(0.005)
        raise AssertionError("it did not happen")

    def settle(self) -> None:
        for _ in range(10):
            self.reactor.advance(0.01)
            self.reactor.drain(0.005)


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    monkeypatch.setattr(writer, "_FIRST_PAUSE", 0.001)
    made = Relay(str(tmp_path / "spool"))
    yield made
    made.disk.fault = lambda step: None
    made.close()


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_report_is_never_reported(relay: Relay, size: int) -> None:
    """Everything is refused: a client and the postmaster get one report each, which are dropped; a null sender none."""
    relay.attempt.answer = lambda next_hop: NEVER
    content = b"Subject: x\r\n\r\n" + b"x" * size
    people = [Address("client@home.example", "client", "home.example"), Address(POSTMASTER, "postmaster", "relay.example"), NULL]
    messages = [relay.receive(content, sender=sender) for sender in people]
    relay.eventually(lambda: len(relay.events.of(Dropped)) == 3 and len(relay.events.of(ReportSent)) == 2)
    relay.settle()
    about = [event.about for event in relay.events.of(ReportSent) if isinstance(event, ReportSent)]
    assert sorted(each.id for each in about) == sorted(message.id for message in messages[:2])
    assert relay.count() == 0
    relay.close()
    assert relay.bodies() == []


def test_what_is_stored_while_the_relay_stops_stays_in_the_spool(relay: Relay) -> None:
    relay.attempt.answer = lambda next_hop: OK
    stopped = relay.scheduler.stop(1.0)
    early = relay.message(b"e" * 100)
    late = relay.message(b"l" * 100_000)
    answers = [relay.spool.store(early), relay.spool.store(late)]
    for message, answer in zip((early, late), answers, strict=True):
        answer.addCallback(lambda _, message=message: relay.scheduler.submit(message))
    relay.wait(stopped)
    relay.close()
    assert all(answer.called for answer in answers)
    assert relay.attempt.delivered == []
    assert {message.id for message in relay.load(early.id, late.id)} == {early.id, late.id}
    relay.begin()
    relay.eventually(lambda: len(relay.attempt.delivered) == 2)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_250_that_cannot_be_written_yet_is_kept_and_nothing_new_begins(relay: Relay, number: int) -> None:
    first, second = relay.receive(), relay.receive()
    run = relay.attempt.runs[0]
    assert run.take() is not None
    broken = True

    def fault(step: str) -> None:
        if broken and step in ("before COMMIT", "connect"):
            raise OSError(number, "the disk")

    relay.disk.fault = fault
    run.finish(OK)
    relay.reactor.until(lambda: not relay.spool.healthy)
    assert run.take() is None
    run.end()
    for _ in range(5):
        relay.reactor.advance(2.0)
        relay.reactor.drain(0.01)
    assert len(relay.attempt.runs) == 1
    assert relay.events.of(Send) == []
    broken = False
    relay.reactor.until(lambda: len(relay.events.of(Send)) == 1)
    relay.reactor.until(lambda: relay.spool.healthy)
    relay.eventually(lambda: len(relay.attempt.runs) == 2)
    again = relay.attempt.runs[1].take()
    assert again is not None
    assert again.message.id == second.id
    relay.attempt.runs[1].finish(LATER)
    assert relay.attempt.runs[1].take() is None
    relay.settle()
    relay.close()
    assert [message.id for message in relay.load(first.id, second.id)] == [second.id]


def test_nothing_is_taken_from_a_sick_spool(relay: Relay) -> None:
    """A refused message may still be seen by a read until it is taken out."""
    stored = relay.store()  # nobody submits it
    relay.scheduler.resume()  # which reads
    relay.scheduler.pause()
    relay.settle()
    assert relay.attempt.runs == []
    relay.scheduler.resume()
    relay.eventually(lambda: relay.attempt.runs)
    job = relay.attempt.runs[0].take()
    assert job is not None
    assert job.message.id == stored.id


def test_content_in_use_survives_the_cache_and_leaves_with_the_last_recipient(relay: Relay) -> None:
    content = b"c" * 100_000
    message = relay.receive(content, recipients=1)
    chunks = message.content.in_memory()
    assert chunks is not None
    message.content.forget()  # type: ignore[attr-defined]
    assert message.content.in_memory() is None
    assert b"".join(chunks) == content
    assert relay.content(message) == content
    run = relay.attempt.runs[0]
    run.take()
    reading = message.content.read(0, 100_000)
    run.finish(OK)
    assert relay.wait(reading) == content
    relay.reactor.until(lambda: relay.events.of(Send))
    relay.close()
    assert relay.bodies() == []
