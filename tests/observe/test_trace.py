"""Who watches sees sessions and messages that are meant, and nothing costs where nobody does."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.observe.cases import CASES, REPORT, SESSION, message, sent
from twistedrelay.observe import trace as module
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.trace import MAX_HELD, Trace
from twistedrelay.observe.tracers import Tracers
from twistedrelay.observe.wanted import Wanted
from twistedrelay.values import events
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.reply import UNABLE_TO_RELAY, Reply

CONNECTED = events.Connected(*SESSION, "10.0.0.1:25")
BYE = events.Disconnected(*SESSION, "QUIT", 1, 0.5)


@attrs.define
class World:
    """A trace and what one listener was told."""

    told: list[dict[str, Any]] = attrs.Factory(list)
    sink: EventSink = attrs.Factory(lambda: EventSink([]))
    trace: Trace = attrs.Factory(lambda self: Trace(self.sink, lambda: 1_700_000_000.5), takes_self=True)

    def follow(self, **given: str) -> Any:
        return self.trace.follow(Wanted.of(given), self.told.append)

    def say(self, *lines: str) -> None:
        tell = self.trace.tracer(SESSION[0])
        assert tell is not None
        for line in lines:
            tell(line[0], line[2:])

    @property
    def lines(self) -> list[str]:
        return [record["line"].split(" connector=")[0] for record in self.told]

    @property
    def names(self) -> list[str]:
        return [record["event"] for record in self.told]


def test_a_whole_session_and_its_message() -> None:
    world = World()
    world.follow(client="192.168.1.55")
    world.sink.emit(CONNECTED)
    world.say("> 220 hello", "< EHLO x")
    world.sink.emit(events.Receive(message()))
    world.sink.emit(BYE)
    world.sink.emit(sent(OutcomeKind.DELIVERED, Reply(250, "2.0.0", "ok")))
    assert world.names == ["connect", "line", "line", "RECEIVE", "disconnect", "SEND"]
    line = world.told[1]
    assert (line["time"], line["direction"], line["text"], line["line"]) == ("2023-11-14T22:13:20.500000Z", ">", "220 hello", "> 220 hello")
    assert (line["session"], line["connector"], line["peer"], line["queue_id"]) == (*SESSION, None)


def test_other_sessions_are_not_seen() -> None:
    world = World()
    world.follow(client="10.0.0.0/8")
    world.sink.emit(CONNECTED)
    assert world.trace.tracer(SESSION[0]) is None
    world.sink.emit(BYE)
    world.sink.emit(events.Receive(message()))
    world.sink.emit(events.ServiceEvent("info", "x"))
    assert world.told == []


@pytest.mark.parametrize(("event", "line"), CASES, ids=lambda case: type(case).__name__)
def test_everything(event: events.Event, line: str) -> None:
    world = World()
    world.follow()
    world.sink.emit(event)
    assert [record["line"] for record in world.told] == [line]


def test_what_led_to_it_is_kept_until_it_is_known() -> None:
    world = World()
    world.follow(recipient="user@akkaya.local")
    world.sink.emit(CONNECTED)
    world.say("< EHLO x", "< MAIL FROM:<a@b>", "< RCPT TO:<other@akkaya.local>", "< RSET", "< MAIL FROM:<c@d>")
    assert world.told == []
    world.say("< RCPT TO:<user@akkaya.local>", "> 250 ok")
    assert world.lines[1:] == ["< EHLO x", "< MAIL FROM:<c@d>", "< RCPT TO:<user@akkaya.local>", "> 250 ok"]
    world.say("< MAIL FROM:<e@f>", "< QUIT")
    assert len(world.told) == 5


def test_a_login_is_told_by_its_event() -> None:
    world = World()
    world.follow(user="a@b")
    world.sink.emit(CONNECTED)
    world.sink.emit(events.LoginFailed(*SESSION, "PLAIN", "x@b", "wrong"))
    assert world.told == []
    world.sink.emit(events.LoggedIn(*SESSION, "PLAIN", "A@b"))
    assert world.names == ["connect", "login_failed", "login"]
    world.say("< MAIL FROM:<x@y>")
    assert world.names[-1] == "line"


def test_a_session_under_way_is_seen_by_its_events() -> None:
    world = World()
    world.follow(recipient="gmail.com")
    world.sink.emit(events.CommandRefused(*SESSION, "RCPT TO:<x@gmail.com>", UNABLE_TO_RELAY, ""))
    assert world.names == ["command_refused"]
    assert world.trace.tracer(SESSION[0]) is None
    assert World().trace.tracer(SESSION[0]) is None


def test_what_is_refused_in_a_session_under_way_is_seen_by_its_sender() -> None:
    world = World()
    world.follow(sender="b.example")
    for number, sender in enumerate(("a@x.example", "a@b.example", "a@x.example", "c@b.example")):
        world.sink.emit(events.CommandRefused(*SESSION, f"RCPT TO:<{number}@gmail.com>", UNABLE_TO_RELAY, "", "helo", sender))
    assert [record["command"] for record in world.told] == ["RCPT TO:<1@gmail.com>", "RCPT TO:<3@gmail.com>"]


def test_what_is_kept_is_bounded() -> None:
    world = World()
    world.follow(user="a@b")
    world.sink.emit(CONNECTED)
    world.say(*[f"< NOOP {number}" for number in range(1000)])
    world.sink.emit(events.LoggedIn(*SESSION, "PLAIN", "a@b"))
    assert len(world.told) == MAX_HELD + 1
    assert world.lines[0] == f"< NOOP {1000 - MAX_HELD}"


def test_what_is_kept_of_all_sessions_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD_IN_ALL", 12)
    world = World()
    world.follow(user="a@b")
    for number in "ABCDE":
        session = (number, *SESSION[1:])
        world.sink.emit(events.Connected(*session, "10.0.0.1:25"))
        if number == "A":
            world.sink.emit(events.LoggedIn(*session, "PLAIN", "a@b"))
            world.told.clear()
        tell = world.trace.tracer(number)
        assert tell is not None
        for _ in range(3):
            tell("<", "NOOP")
    assert world.lines == ["< NOOP"] * 3, "one that is meant is seen at once"
    world.told.clear()
    for number in "BCA":
        world.sink.emit(events.LoggedIn(number, *SESSION[1:], "PLAIN", "a@b"))
    assert [(record["session"], record["event"]) for record in world.told if record["event"] != "line"] == [
        ("B", "login"),
        ("C", "connect"),
        ("C", "login"),
        ("A", "login"),
    ]
    assert len(world.lines) == 7
    for number in "BCDE":
        world.sink.emit(events.Disconnected(number, *SESSION[1:], "QUIT", 0, 1.0))
    (listener,) = world.trace._listeners
    assert listener._held == 0


def test_reports_about_a_message_belong_to_it() -> None:
    world = World()
    world.follow(client="192.168.1.55")
    world.sink.emit(events.ReportSent(REPORT, message(), "failed"))
    world.sink.emit(events.Dropped(REPORT, "null sender"))
    assert world.names == ["DSN", "DROP"]


def test_only_the_recipient_that_is_meant() -> None:
    world = World()
    world.follow(recipient="second@akkaya.local")
    to = message("first@akkaya.local", "second@akkaya.local")
    outcome = sent(OutcomeKind.DELIVERED, Reply(250, "2.0.0", "ok")).outcome
    for recipient in to.recipients:
        world.sink.emit(events.Send(to, attrs.evolve(outcome, recipient=recipient), "hop"))
    assert [record["recipient"] for record in world.told] == ["second@akkaya.local"]


def test_delivery_connections() -> None:
    world = World()
    world.follow(connector="Internet")
    tell = world.trace.begin("AB", "Internet", "mx [192.0.2.1]:25")
    assert tell is not None
    tell("<", "220 hello")
    world.sink.emit(events.Connectivity("x.example", "mx [192.0.2.1]:25", "connected", "", "Internet", "AB"))
    assert world.names == ["line", "delivery_connection"]
    assert world.trace.begin("AC", "Other", "mx [192.0.2.1]:25") is None


def test_a_message_on_its_way_out_is_found_by_its_sender() -> None:
    world = World()
    world.follow(sender="a@b.example")
    tell = world.trace.begin("AB", "Internet", "mx [192.0.2.1]:25")
    assert tell is not None
    for line in ("< 220 hello", "> EHLO us", "> MAIL FROM:<x@y>", "> MAIL FROM:<a@b.example>", "< 250 ok", "> MAIL FROM:<x@y>", "- bye"):
        tell(line[0], line[2:])
    assert world.lines == ["< 220 hello", "> EHLO us", "> MAIL FROM:<a@b.example>", "< 250 ok"]


def test_without_listeners_there_is_nothing() -> None:
    world = World()
    leave, other = world.follow(), world.follow(client="10.0.0.1")
    world.sink.emit(CONNECTED)
    tell = world.trace.tracer(SESSION[0])
    assert tell is not None
    leave()
    other()
    leave()
    tell("<", "NOOP")
    world.sink.emit(CONNECTED)
    assert world.trace.tracer(SESSION[0]) is None
    assert world.names == ["connect"]


def test_xclient_makes_another_session_of_it() -> None:
    world = World()
    world.follow(client="192.0.2.7")
    first = World()
    first.sink, first.trace = world.sink, world.trace
    first.follow(client="192.168.1.55")
    world.sink.emit(CONNECTED)
    tell = world.trace.tracer(SESSION[0])
    assert tell is not None
    world.sink.emit(events.Disconnected(*SESSION, "XCLIENT", 0, 0.1))
    world.sink.emit(events.Connected(SESSION[0], "IP_Relay", "192.0.2.7:0", "10.0.0.1:25"))
    tell("<", "EHLO y")
    assert world.names == ["connect", "line"]
    assert first.names == ["connect", "disconnect"]


def test_a_session_that_may_become_another_ones_is_heard_from_then_on() -> None:
    world = World()
    assert world.trace.tracer(SESSION[0], True) is None
    world.follow(client="192.0.2.7")
    world.sink.emit(CONNECTED)
    tell = world.trace.tracer(SESSION[0], True)
    assert tell is not None
    tell("<", "XCLIENT")
    world.sink.emit(events.Disconnected(*SESSION, "XCLIENT", 0, 0.1))
    world.sink.emit(events.Connected(SESSION[0], "IP_Relay", "192.0.2.7:0", "10.0.0.1:25"))
    tell("<", "EHLO y")
    assert world.names == ["connect", "line"]


def test_several_tracers_are_one() -> None:
    class Log:
        def __init__(self, wants: bool) -> None:
            self.heard: list[tuple[str, str]] = []
            self.wants = wants

        def tracer(self, session: str, may_change: bool = False) -> Any:
            return (lambda *line: self.heard.append(line)) if self.wants else None

    logs = [Log(True), Log(False), Log(True)]
    assert Tracers(logs[1:2]).tracer("1") is None  # type: ignore[arg-type]
    for some in (logs[:1], logs):
        tell = Tracers(some).tracer("1")  # type: ignore[arg-type]
        assert tell is not None
        tell("<", "NOOP")
    assert [len(log.heard) for log in logs] == [2, 0, 1]
