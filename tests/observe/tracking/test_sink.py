"""Tests for L{twistedrelay.observe.tracking.sink} and L{twistedrelay.observe.tracking.rows}: which events are tracked, with which facts."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred

from tests.observe.tracking.world import BUSY, DAY, INTERNET, MAILBOX, NOON, TAKEN, UNKNOWN, World, address
from twistedrelay.observe.tracking import schema, sink
from twistedrelay.observe.tracking.find import Page
from twistedrelay.observe.tracking.query import TrackingQuery
from twistedrelay.observe.tracking.rows import MAX_TEXT, MOST_NAMES, Names
from twistedrelay.observe.tracking.sink import INTERVAL
from twistedrelay.values import events
from twistedrelay.values.envelope import Origin, Outcome, OutcomeKind, RecipientState
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import UNREACHABLE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "tracking")


def test_a_message_comes_and_goes(world: World) -> None:
    world.sink.emit(events.Connected("0123456789ABCDEF", "IP_Relay", "192.0.2.55:4711", "192.0.2.1:25"))
    message = world.received(subject="Rapor")
    world.clock.advance(0.25)
    world.tried(message, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    received, sent = world.found()
    assert (received.kind, received.source, received.number) == (schema.RECEIVE, schema.SMTP, message.id)
    assert (received.sender, received.message_id, received.size) == ("a@akkaya.local", "<1@printer>", 512)
    assert (received.connector, received.client, received.helo, received.user) == ("IP_Relay", "192.0.2.55", "printer", "")
    assert (received.local, received.session, received.subject) == ("192.0.2.1:25", "0123456789ABCDEF", "Rapor")
    assert received.recipients == (("u@customer.example", ""),)
    assert (received.at, received.received_at) == (int(NOON * 1e6), int(NOON * 1e6))
    assert (sent.kind, sent.source, sent.at - received.at) == (schema.SEND, schema.SMTP, 250_000)
    assert (sent.send_connector, sent.next_hop, sent.remote) == ("Internet", "customer.example", "mx [198.51.100.9]:25")
    assert (sent.tls, sent.reply, sent.subject) == ("TLSv1.3 TLS_AES_256_GCM_SHA384", "250 2.0.0 taken", "Rapor")


def test_recipients_of_one_transaction_are_one_event(world: World) -> None:
    message = world.received("a@x.example", "b@x.example", "c@x.example")
    world.tried(message)
    received, sent = world.found()
    assert [name for name, _ in received.recipients] == ["a@x.example", "b@x.example", "c@x.example"]
    assert sent.recipients == received.recipients
    assert (received.recipient_count, sent.recipient_count) == (3, 3)


def test_recipients_with_different_answers_are_events_of_their_own(world: World) -> None:
    message = world.received("a@x.example", "b@x.example", "c@x.example")
    for recipient, reply in zip(message.recipients, (TAKEN, UNKNOWN, UNKNOWN), strict=True):
        kind = OutcomeKind.DELIVERED if reply is TAKEN else OutcomeKind.FAILED
        world.sink.emit(events.Send(message, Outcome(recipient, kind, reply, "mx [198.51.100.9]:25"), "x", INTERNET))
    assert [(event.kind, [name for name, _ in event.recipients]) for event in world.found()[1:]] == [
        (schema.SEND, ["a@x.example"]),
        (schema.FAIL, ["b@x.example", "c@x.example"]),
    ]


@pytest.mark.parametrize(
    ("reply", "route", "remote", "kind", "source"),
    [
        (TAKEN, MAILBOX, "/mail", schema.DELIVER, schema.STOREDRIVER),
        (BUSY, INTERNET, "mx [198.51.100.9]:25", schema.DEFER, schema.SMTP),
        (UNKNOWN, INTERNET, "mx [198.51.100.9]:25", schema.FAIL, schema.SMTP),
        (Reply(550, "4.4.7", "message expired"), INTERNET, "", schema.FAIL, schema.QUEUE),
        (Reply(550, "5.4.4", "no route"), UNREACHABLE, "", schema.FAIL, schema.ROUTING),
        (Reply(451, "4.4.0", "cannot connect"), INTERNET, "", schema.DEFER, schema.SMTP),
    ],
)
def test_the_event_and_its_source(world: World, reply: Reply, route: object, remote: str, kind: int, source: int) -> None:
    world.tried(world.received(), reply, route, remote)  # type: ignore[arg-type]
    [event] = world.found()[1:]
    assert (event.kind, event.source) == (kind, source)


def test_a_recipient_who_becomes_another_one(world: World) -> None:
    world.tried(world.received("u@customer.example", "v@customer.example"), told="test@qa.example")
    _, redirected, sent = world.found()
    assert (redirected.kind, redirected.source) == (schema.REDIRECT, schema.ROUTING)
    assert (
        redirected.recipients == sent.recipients == (("u@customer.example", "test@qa.example"), ("v@customer.example", "test@qa.example"))
    )
    world.tried(world.received(), told="test@qa.example")
    assert world.names()[3:] == ["RECEIVE", "REDIRECT", "SEND"]
    assert world.names(recipient="test@qa.example") == ["REDIRECT", "SEND"] * 2


def test_a_sender_who_becomes_another_one(world: World) -> None:
    class Rewrite:
        def sender(self, sender: object) -> object:
            return address("SRS0=x@relay.example")

    world.tried(world.received(), route=attrs.evolve(INTERNET, rewrite=Rewrite()))
    assert [event.return_path for event in world.found()] == ["", "SRS0=x@relay.example"]


def test_a_report_and_what_it_is_about(world: World) -> None:
    message = world.received()
    world.tried(message, UNKNOWN)
    report = world.message("a@akkaya.local", sender="", origin=Origin(source="DSN"))
    world.sink.emit(events.ReportSent(report, message, "failed"))
    event = world.found()[-1]
    assert (event.kind, event.source, event.number, event.context) == (schema.DSN, schema.BY_DSN, report.id, "failed")
    assert (event.related, event.reference, event.sender) == (message.id, message.message_id, "")
    assert world.names(sender="<>") == ["DSN"]


def test_a_message_that_is_sent_again(world: World) -> None:
    first = world.received()
    second = world.message(origin=Origin(source="SAFETYNET"))
    world.sink.emit(events.Resubmitted(second, first.id))
    event = world.found()[-1]
    assert (event.kind, event.source, event.number, event.related) == (schema.RESUBMIT, schema.SAFETYNET, second.id, first.id)


def test_a_copy_from_the_safety_net_has_the_subject_of_the_first(world: World) -> None:
    first = world.received(subject="Rapor")
    world.write()
    world.clock.advance(DAY)
    world.sink.emit(events.Resubmitted(world.message(subject=""), first.id))
    assert [event.subject for event in world.found()] == ["Rapor", "Rapor"]


def test_attempts_that_waited_together_are_events_of_their_own(world: World) -> None:
    message = world.message("a@x.example", "b@x.example")
    for _ in range(2):
        world.tried(message, BUSY)
        world.clock.rightNow += 60
    assert [event.recipient_count for event in world.found()] == [2, 2]


def test_a_message_that_is_removed(world: World) -> None:
    message = world.received("a@x.example", "b@x.example")
    message.recipients[0].state = RecipientState.DELIVERED
    message.recipients[1].state = RecipientState.REMOVED
    message.recipients[1].last_reply = Reply(550, "5.0.0", "removed")
    world.sink.emit(events.Removed(message, True, message.recipients[1:]))
    event = world.found()[-1]
    assert (event.kind, event.source, event.context, event.reply) == (schema.FAIL, schema.ADMIN, "with NDR", "550 5.0.0 removed")
    assert event.recipients == (("b@x.example", ""),)


def test_the_other_ends_of_a_message(world: World) -> None:
    message = world.received()
    world.sink.emit(events.ReceiveUncertain(message))
    world.sink.emit(events.Poisoned(message, 2))
    world.sink.emit(events.Dropped(message, "its return path is null"))
    assert world.names()[1:] == ["AGENTINFO", "POISONMESSAGE", "DROP"]
    assert world.found()[-1].context == "its return path is null"


def test_mail_by_file(world: World) -> None:
    world.received(origin=Origin(source="PICKUP", connector="Pickup"))
    [event] = world.found()
    assert (event.source, event.connector) == (schema.PICKUP, "Pickup")


def test_doubts_and_conversions_are_told(world: World) -> None:
    world.tried(world.received(), uncertain=True, converted=True)
    assert world.found()[-1].context == "uncertain converted"


def test_how_long_an_attempt_took_that_failed(world: World) -> None:
    message = world.received()
    began = world.clock.seconds()
    world.clock.advance(30.0625)
    world.tried(message, BUSY, began=began, uncertain=True)
    assert world.found()[-1].context == "uncertain took 30.062 s"
    assert schema.seconds_of(world.found()[-1].context) == 30.062
    assert schema.seconds_of("took part") is None


def test_subjects_can_be_left_out(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking", subjects=False)
    world.received(subject="secret")
    assert world.found()[0].subject == ""


def test_what_is_kept_can_change_while_it_is_written(world: World) -> None:
    """Subjects, and for how long: whole days go, one after the age at the earliest."""
    world.received(subject="Rapor")
    world.write()
    world.sink.change(DAY, 1 << 30, False)
    world.clock.advance(DAY / 2)
    world.received(subject="secret")
    assert [event.subject for event in world.found()] == ["Rapor", ""]
    world.clock.advance(3 * DAY)
    world.received()
    world.write()
    assert [event.subject for event in world.found()] == [""]


def test_a_message_of_yesterday_is_known_today(world: World) -> None:
    message = world.received(subject="Rapor")
    world.tried(message, BUSY)
    world.write()
    world.clock.advance(DAY)
    world.tried(message)
    assert world.names(sender="a@akkaya.local", start=NOON + DAY / 2) == ["SEND"]
    assert world.names(subject="rapor", start=NOON + DAY / 2) == ["SEND"]
    assert len(world.there()) == 2


def test_a_message_of_an_earlier_run_is_known(world: World) -> None:
    message = world.message()
    world.clock.advance(60)
    world.begin()
    world.tried(message)
    [event] = world.found(sender="a@akkaya.local")
    assert event.received_at == int(NOON * 1e6)


def test_texts_are_bounded_and_of_one_line(world: World) -> None:
    world.tried(world.received(), Reply(451, "4.0.0", "one\ntwo" + "x" * 5000))
    reply = world.found()[-1].reply
    assert reply.startswith("451 4.0.0 one two")
    assert len(reply) == MAX_TEXT


def test_half_a_surrogate_pair_costs_nothing(world: World) -> None:
    world.received(subject="half \ud800")
    world.received()
    assert world.names() == ["RECEIVE", "RECEIVE"]
    assert world.reports == []


def test_each_event_has_a_time_of_its_own(world: World) -> None:
    for _ in range(5):
        world.received()
    times = [event.at for event in world.found()]
    assert times == [int(NOON * 1e6) + more for more in range(5)]


def test_names_that_were_forgotten_get_other_numbers() -> None:
    names = Names(1)
    assert [names.number(text) for text in ("a", "b", "a")] == [1, 2, 1]
    assert names.take() == [(1, "a"), (2, "b")]
    for number in range(MOST_NAMES):
        names.number(number)
    assert names.number("a") > MOST_NAMES


def test_what_happens_in_sessions_is_forgotten_with_them(world: World) -> None:
    where = ("0123456789ABCDEF", "IP_Relay", "192.0.2.55:4711")
    world.sink.emit(events.Connected(*where, "192.0.2.1:25"))
    world.sink.emit(events.LoggedIn(*where, "PLAIN", "cengiz"))
    world.sink.emit(events.Disconnected(*where, "QUIT", 0, 1.0))
    assert world.sink._local == {}
    assert not world.path.exists()


def test_the_end_writes_the_rest(world: World) -> None:
    message = world.received()
    assert world.sink.stop(2.0).called
    assert [event.number for event in world.found()] == [message.id]
    assert not list(world.path.glob("*-wal"))


def test_questions_are_answered_with_what_has_just_happened(world: World) -> None:
    world.received()
    asked: list[object] = []
    from twistedrelay.observe.tracking.query import TrackingQuery

    world.sink.find(TrackingQuery(), 10, "", True).addCallback(asked.append)
    world.sink.story("1").addCallback(asked.append)
    assert [len(page.events) for page in asked] == [1, 1]  # type: ignore[attr-defined]


def test_a_disk_that_refuses_is_told_once_and_costs_nothing_that_fits(world: World) -> None:
    world.path.write_text("in the way")
    world.received()
    world.write()
    world.received()
    world.write()
    pages: list[Page] = []
    world.sink.find(TrackingQuery(), 10, "", True).addCallback(pages.append)
    assert (pages[0].events, "the latest events cannot be written" in pages[0].problems[-1]) == ([], True)
    [told] = world.reports
    assert told.startswith("message tracking cannot be written; as many entries are kept as there is room for: ")
    world.path.unlink()
    world.clock.advance(INTERVAL)
    assert world.names() == ["RECEIVE", "RECEIVE"]
    assert world.reports[1:] == ["message tracking is written again"]
    assert world.sink.lost == 0


def test_a_slow_disk_holds_up_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BATCH", 10), ("MOST_WAITING", 100)):
        monkeypatch.setattr(sink, name, value)
    slow: list[Deferred[None]] = []
    monkeypatch.setattr(world, "in_thread", lambda *_: slow.append(Deferred()) or slow[-1])
    world.begin()
    for _ in range(110):
        world.received()
    assert world.sink.lost == 10
    assert len(slow) == 1
