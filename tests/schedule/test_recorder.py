"""The order of report, record and word: what is said is true, and what could not be recorded is not taken for done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred, fail

from tests.schedule.fakes import LATER, NEVER, OK, Reporter, World, message
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.envelope import Message, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import Dropped, Removed, ReportSent, Send, ServiceEvent
from twistedrelay.values.reply import LOCAL_ERROR, Reply


class Slow(Reporter):
    """Reports wait for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Deferred[Message | None]] = []

    def failed(self, message: Message, recipients: Sequence[Recipient]) -> Deferred[Message | None]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def delayed(self, message: Message, recipients: Sequence[Recipient], gives_up_at: float) -> Deferred[Message | None]:
        return self.failed(message, recipients)


def refusing(world: World) -> None:
    """From now on the spool closes."""
    world.spool.record = lambda *_: fail(SpoolError("the spool is closed", LOCAL_ERROR))  # type: ignore[method-assign]


def slow(world: World) -> Slow:
    world.reporter = reporter = Slow()
    world.restart()
    return reporter


def texts(world: World) -> list[str]:
    return [event.text for event in world.events.all if isinstance(event, ServiceEvent)]


def test_unrecorded_failure_says_nothing_of_a_report_and_tries_again() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    refusing(world)
    run.finish(NEVER)
    assert world.events.of(ReportSent) == world.events.of(Dropped) == world.events.of(Send) == []
    assert list(world.spool.disk) == [1]
    del world.spool.record
    world.sleep(310)
    run.end()
    world.sleep(1)
    world.runs.pop().take()


def test_unrecorded_delivery_is_uncertain_and_not_repeated_by_this_run() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    refusing(world)
    run.finish(OK)
    assert world.scheduler.uncertain == 1
    assert any(text.startswith("uncertain: message 1 ") and "twice" in text for text in texts(world))
    assert world.events.of(Send) == []
    world.sleep(4000)
    assert run.take() is None


def test_nobody_counts_as_given_up_while_the_report_is_written() -> None:
    """A crash or another lane's record in that time must not take the message for finished."""
    world = World()
    reporter = slow(world)
    world.submit(message(1, "a@one.example", "b@two.example"))
    one, two = world.runs
    one.take()
    one.finish(NEVER)
    two.take()
    two.finish(OK)
    kept = world.spool.disk[1]
    assert [each.state for each in kept.recipients] == [RecipientState.READY, RecipientState.DELIVERED]
    reporter.asked[0].callback(message(900_001, "sender@here.example", sender=""))
    assert list(world.spool.disk) == [900_001]


def test_given_up_without_a_report_keeps_its_doubt() -> None:
    """An uncertain attempt that cannot be reported is tried again: the warning is not swallowed."""
    world = World(message_expiration_timeout=100.0)
    world.reporter.broken = True
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    world.clock.advance(200.0)
    run.finish(LATER, uncertain=True)
    (sent,) = world.events.of(Send)
    assert isinstance(sent, Send)
    assert (sent.outcome.kind, sent.outcome.uncertain) == (OutcomeKind.DEFERRED, True)
    assert world.scheduler.uncertain == 1


def dead_and_late(world: World) -> None:
    """A message waits for a next hop that does not answer until a delay notice is due."""
    world.submit(message(1))
    world.runs.pop().end(Reply(451, "4.4.1", "Connection refused"))
    world.clock.advance(31.0)


def test_delay_notice_of_what_was_sent_meanwhile_is_not_sent() -> None:
    world = World(delay_notification_timeout=30.0)
    reporter = slow(world)
    dead_and_late(world)
    (asked,) = reporter.asked
    world.clock.advance(30.0)
    run = world.runs.pop()
    run.take()
    run.finish(OK)
    report = message(900_001, "sender@here.example", sender="")
    aborted: list[bool] = []
    report.content.abort = lambda: aborted.append(True)  # type: ignore[attr-defined]
    asked.callback(report)
    assert aborted == [True]
    assert world.events.of(ReportSent) == []
    assert world.spool.disk == {}
    assert world.scheduler.room() == 1000


def test_delay_notice_that_lost_its_original_to_a_delivery_is_no_error() -> None:
    world = World(delay_notification_timeout=30.0)
    reporter = slow(world)
    dead_and_late(world)
    world.clock.advance(30.0)
    run = world.runs.pop()
    run.take()
    run.finish(OK)
    reporter.asked[0].errback(SpoolError("cannot read", LOCAL_ERROR))
    assert texts(world) == []
    assert world.scheduler.room() == 1000


def test_delay_notice_is_recorded_for_those_it_names_only() -> None:
    world = World(delay_notification_timeout=30.0)
    world.submit(message(1, "a@one.example", "b@two.example"))
    one, two = world.runs
    two.take()
    one.end(Reply(451, "4.4.1", "Connection refused"))
    world.clock.advance(31.0)
    assert [each.delay_notified for each in world.spool.disk[1].recipients] == [True, False]
    (told,) = world.events.of(ReportSent)
    assert isinstance(told, ReportSent)
    assert told.kind == "delayed"


@pytest.mark.parametrize("on_disk", [True, False])
def test_removal_that_cannot_be_reported_fails_and_changes_nothing(on_disk: bool) -> None:
    world = World()
    world.reporter.broken = True
    kept = message(1)
    kept.recipients[0].last_reply = LATER
    if on_disk:
        kept.recipients[0].next_attempt = 50.0
        world.spool.put(kept)
    else:
        world.submit(kept)
    failures: list[type] = []
    world.scheduler.remove(1, True).addErrback(lambda failure: failures.append(failure.type))
    assert failures == [SpoolError]
    assert world.events.of(Removed) == []
    assert kept.recipients[0].last_reply == LATER
    world.clock.advance(60.0)
    job = world.runs[-1].take()
    assert job is not None
    world.runs[-1].finish()
    assert world.spool.disk == {}


def test_pending_removal_that_cannot_be_reported_goes_on() -> None:
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    run.take()
    results: list[bool] = []
    world.scheduler.remove(1, True).addCallback(results.append)
    world.reporter.broken = True
    run.finish(LATER)
    assert results == [True]
    assert world.spool.disk[1].recipients[0].state is RecipientState.READY
    run.end()
    world.sleep(310)
    run = world.runs.pop()
    run.take()
    run.finish()
    assert world.spool.disk == {}


@pytest.mark.parametrize("pending", [True, False])
def test_removal_that_cannot_be_recorded_is_given_up(pending: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed spool refuses at once: it is not asked for ever."""
    world = World()
    world.submit(message(1))
    run = world.runs.pop()
    if pending:
        run.take()
        world.scheduler.remove(1, False)
    asked: list[int] = []

    def refuse(of: Message, *arguments: object) -> Deferred[None]:
        asked.append(of.id)
        return fail(SpoolError("the spool is closed", LATER))

    monkeypatch.setattr(world.spool, "record", refuse)
    if pending:
        run.finish(LATER)
    else:
        failures: list[type] = []
        world.scheduler.remove(1, False).addErrback(lambda failure: failures.append(failure.type))
        assert failures == [SpoolError]
    assert len(asked) == 1 + pending
    assert world.spool.disk[1].recipients[0].state is RecipientState.READY
    assert not [event for event in world.events.of(ServiceEvent) if "defect" in str(event)]
