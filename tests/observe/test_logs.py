"""Every event has a line and a record; nothing hostile gets through; passwords never appear."""

from __future__ import annotations

import io
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import FileLogObserver, Logger, LogPublisher, textFileLogObserver
from twisted.python.failure import Failure

from tests.observe.cases import CASES, REPORT, SESSION, message, sent
from twistedrelay.observe import fields as fields_module
from twistedrelay.observe import lines as lines_module
from twistedrelay.observe.fields import FIXED, fields
from twistedrelay.observe.lines import MAX_LINE, line, value
from twistedrelay.observe.logs import FEW, FLUSH_INTERVAL, MAX_BATCH, LineObserver, LogSink, observer, text_observer
from twistedrelay.values import events
from twistedrelay.values.envelope import DeliverBy, MailParameters, OutcomeKind
from twistedrelay.values.reply import UNABLE_TO_RELAY, Reply


def all_event_classes() -> set[type[events.Event]]:
    """The classes that are emitted: the leaves."""
    found = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    return {kind for kind in found if not any(other is not kind and issubclass(other, kind) for other in found)}


def test_every_event_class_has_a_line_and_a_record() -> None:
    assert {type(event) for event, _ in CASES} == all_event_classes()
    assert set(lines_module.MAKERS) == set(fields_module.EXTRAS) == all_event_classes()


@pytest.mark.parametrize(("event", "expected"), CASES, ids=lambda case: type(case).__name__)
def test_line(event: events.Event, expected: str) -> None:
    assert line(event) == expected


@pytest.mark.parametrize("event", [event for event, _ in CASES], ids=lambda event: type(event).__name__)
def test_record_is_flat_json_with_the_fixed_keys_first(event: events.Event) -> None:
    record = fields("2026-01-01T00:00:00.000000Z", event)
    assert tuple(record)[: len(FIXED)] == FIXED
    assert record["level"] in ("info", "warn", "error")
    for found in json.loads(json.dumps(record)).values():
        assert found is None or isinstance(found, (str, int, float, bool)) or all(isinstance(item, str) for item in found)


def test_records_carry_the_keys_to_search_by() -> None:
    session = fields("t", events.Connected(*SESSION, "10.0.0.1:25"))
    assert (session["session"], session["connector"], session["peer"], session["queue_id"]) == (*SESSION, None)
    received = fields("t", events.Receive(message()))
    assert (received["queue_id"], received["message_id"], received["session"]) == (42, "<f7c2@EXCSERVER>", SESSION[0])
    assert fields("t", sent(OutcomeKind.DEFERRED, UNABLE_TO_RELAY))["event"] == "DEFER"
    assert fields("t", events.ServiceEvent("error", "x"))["level"] == "error"


def test_what_a_sender_asks_for_is_shown() -> None:
    asked = message()
    asked.parameters = MailParameters(smtp_utf8=True, require_tls=True, deliver_by=DeliverBy(60, "R", True), hold_until=1e9)
    shown = line(events.Receive(asked))
    assert " requiretls smtputf8 hold-until=2001-09-" in shown
    assert shown.endswith(" by=60;RT")
    record = fields("t", events.Receive(asked))
    assert (record["require_tls"], record["hold_until"], record["deliver_by"]) == (True, 1e9, 60)
    plain = fields("t", events.Receive(message()))
    assert (plain["require_tls"], plain["hold_until"], plain["deliver_by"]) == (False, None, None)


def test_a_conversion_is_shown() -> None:
    event = sent(OutcomeKind.DELIVERED, UNABLE_TO_RELAY)
    event = attrs.evolve(event, outcome=attrs.evolve(event.outcome, converted=True))
    assert line(event).endswith(" converted")
    assert fields("t", event)["converted"]


def test_a_recipient_that_became_another_is_shown() -> None:
    event = sent(OutcomeKind.DELIVERED, UNABLE_TO_RELAY)
    event = attrs.evolve(event, outcome=attrs.evolve(event.outcome, told="test@company.example"))
    assert line(event).endswith(" as=<test@company.example>")
    assert fields("t", event)["told"] == "test@company.example"


def test_many_recipients_are_counted_not_listed() -> None:
    event = events.Receive(message(*(f"user{n}@akkaya.local" for n in range(1000))))
    assert "<user4@akkaya.local> (and 995 more) size=" in line(event)
    record = fields("t", event)
    assert record["recipient_count"] == 1000
    assert len(record["recipients"]) == 100


HOSTILE = "x\r\n2026-01-01T00:00:00+0000 [relay] login user=root\x1b[2J\x00\u202e\u2028\udc80\x9b"


@pytest.mark.parametrize(
    "event",
    [
        events.LoginFailed(SESSION[0], HOSTILE, SESSION[2], HOSTILE, HOSTILE, HOSTILE),
        events.CommandRefused(*SESSION, HOSTILE, Reply(550, "5.1.1", HOSTILE), HOSTILE),
        events.TLSFailed(*SESSION, HOSTILE),
        events.Receive(attrs.evolve(message(f"{HOSTILE}@x"), message_id=HOSTILE)),
        sent(OutcomeKind.FAILED, Reply(550, "", HOSTILE)),
        events.Dropped(REPORT, HOSTILE),
        events.Connectivity(HOSTILE, HOSTILE, "failed", HOSTILE),
    ],
    ids=lambda event: type(event).__name__,
)
def test_hostile_text_is_escaped_everywhere(event: events.Event) -> None:
    for as_json in (False, True):
        written = io.StringIO()
        emit_to(LineObserver(written, as_json=as_json), event)
        text = written.getvalue()
        assert text.endswith("\n")
        assert text[:-1].isprintable()
        text.encode("utf-8")
    assert "x\\r" in line(event)
    assert "\\x1b" in line(event)


@given(st.text())
def test_values_cannot_look_like_more_fields(text: str) -> None:
    shown = value(text)
    if text and not set(text) & set(' "='):
        assert shown == text
    else:
        assert shown[0] == shown[-1] == '"'
        assert shown[1:-1].replace("\\\\", "").replace('\\"', "").find('"') == -1


def test_a_quoted_local_part_cannot_look_like_more_fields() -> None:
    text = line(events.Receive(message('"x> to=<y"@client.example')))
    assert ' to="<\\"x> to=<y\\"@client.example>" size=' in text


def test_a_line_is_bounded() -> None:
    assert len(line(events.ServiceEvent("info", "x" * 100_000))) <= MAX_LINE + 3


def test_an_event_that_cannot_be_shown_costs_no_other_its_line() -> None:
    written = io.StringIO()
    broken = events.Receive(None)  # type: ignore[arg-type]
    emit_to(LineObserver(written, as_json=False), broken, events.ServiceEvent("info", "hello"))
    assert "Receive (cannot be shown: AttributeError)" in written.getvalue()
    assert "[relay] hello\n" in written.getvalue()
    assert fields("t", broken)["level"] == "error"


def emit_to(to: Any, *what: events.Event) -> None:
    """Events through a sink into an observer, as one batch."""
    sink = LogSink(Clock(), Logger(namespace="relay", observer=LogPublisher(to)), now=lambda: 1_700_000_000.25)
    for event in what:
        sink.emit(event)
    sink.flush()


def test_json_lines() -> None:
    written = io.StringIO()
    emit_to(LineObserver(written, as_json=True), *(event for event, _ in CASES))
    records = [json.loads(text) for text in written.getvalue().splitlines()]
    # An error does not wait, so it may end a batch early; all are there.
    assert len(records) == len(CASES)
    assert records[0]["time"] == "2023-11-14T22:13:20.250000Z"
    assert records[10]["event"] == "RECEIVE"
    assert records[10]["recipients"] == ["user@akkaya.local"]


def test_text_lines_each_have_their_time() -> None:
    written = io.StringIO()
    emit_to(LineObserver(written, as_json=False), *(event for event, _ in CASES))
    shown = written.getvalue().splitlines()
    assert [text.partition(" [relay] ")[2] for text in shown] == [expected for _, expected in CASES]
    assert all(text.startswith("20") for text in shown)


@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
def test_stock_observers_get_a_line_per_event(count: int) -> None:
    written = io.StringIO()
    emit_to(textFileLogObserver(written), *[CASES[0][0]] * count)
    shown = written.getvalue().splitlines()
    assert [text.partition(" [relay] ")[2] for text in shown] == [CASES[0][1]] * count
    assert any(text.startswith("\t") for text in shown) == (count > FEW)


def test_lines_wait_for_company_but_not_long() -> None:
    seen: list[Any] = []
    clock = Clock()
    sink = LogSink(clock, Logger(observer=seen.append))
    for _ in range(FEW + 1):
        sink.emit(CASES[0][0])
    assert seen == []
    clock.advance(FLUSH_INTERVAL)
    assert [len(event["relay_batch"].events) for event in seen] == [FEW + 1]
    assert clock.getDelayedCalls() == []


def test_a_full_batch_and_an_error_do_not_wait() -> None:
    seen: list[Any] = []
    clock = Clock()
    sink = LogSink(clock, Logger(observer=seen.append))
    for _ in range(MAX_BATCH):
        sink.emit(CASES[0][0])
    assert len(seen) == 1
    sink.emit(events.ServiceEvent("warn", "disk nearly full"))
    assert len(seen) == 2
    sink.flush()
    assert len(seen) == 2
    assert clock.getDelayedCalls() == []


def test_other_log_events_as_json_with_their_tracebacks() -> None:
    written = io.StringIO()
    log = Logger(namespace="some.library", observer=LogPublisher(LineObserver(written, as_json=True)))
    log.warn("odd: {what}", what="a\nb")
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        log.failure("went wrong", failure=Failure())
    first, second = (json.loads(text) for text in written.getvalue().splitlines())
    assert (first["level"], first["event"], first["system"], first["text"]) == ("warn", "log", "some.library", "odd: a\nb")
    assert tuple(first)[: len(FIXED)] == FIXED
    assert second["level"] == "critical"
    assert "ZeroDivisionError: by nothing" in second["traceback"]


def test_other_log_events_as_text_look_as_the_stock_observers() -> None:
    ours, stock = io.StringIO(), io.StringIO()
    log = Logger(namespace="some.library", observer=LogPublisher(LineObserver(ours, as_json=False), textFileLogObserver(stock)))
    log.info("two\nlines")
    log.info("")
    assert ours.getvalue() == stock.getvalue() != ""


def test_other_log_events_as_text_hold_no_control_characters() -> None:
    written = io.StringIO()
    Logger(observer=LineObserver(written, as_json=False)).info("a {word}", word="\x1b[2J\r")
    assert written.getvalue().endswith(" a \\x1b[2J\\r\n")


def test_the_factories_write_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    emit_to(observer(), CASES[0][0])
    emit_to(text_observer(), CASES[0][0])
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["event"] == "connect"
    assert second.endswith(CASES[0][1])
    assert not isinstance(observer(), FileLogObserver)
