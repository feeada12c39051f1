"""Tests for L{twistedrelay.relayctl.timeline}."""

from __future__ import annotations

from pathlib import Path

from tests.observe.tracking.world import BUSY, UNKNOWN, World
from twistedrelay.answers.tracking import properties
from twistedrelay.relayctl.timeline import timeline
from twistedrelay.values import events
from twistedrelay.values.envelope import Origin, RecipientState
from twistedrelay.values.reply import Reply


def told(world: World) -> list[str]:
    return list(timeline([properties(event, "EXCSERVER", "relay.akkaya.local") for event in world.found()]))


def test_a_message_that_came_back(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking")
    message = world.received("u@customer.example", subject="Rapor\x1b[31m")
    world.clock.advance(0.25)
    world.tried(message, BUSY)
    world.clock.advance(600)
    world.tried(message, UNKNOWN, tls="TLSv1.3 X")
    report = world.message("a@akkaya.local", sender="", origin=Origin(source="DSN"))
    world.sink.emit(events.ReportSent(report, message, "failed"))
    world.clock.advance(5 * 86400)
    world.tried(report)
    assert told(world) == [
        "Message 1 <1@printer>",
        r"  from a@akkaya.local, 512 bytes, subject: Rapor\x1b[31m",
        "  by IP_Relay printer [192.0.2.55]",
        "  2026-11-22 12:00:00.000  RECEIVE   SMTP to u@customer.example",
        "                 +0.250 s  DEFER     u@customer.example via mx [198.51.100.9]:25 by Internet: 451 4.2.1 mailbox busy",
        "                  +10.0 m  FAIL      u@customer.example via mx [198.51.100.9]:25 by Internet (TLSv1.3 X): 550 5.1.1 User unknown",
        "                 +0.000 s  DSN       non-delivery report: message 2 to a@akkaya.local",
        "",
        "Message 2 <2@printer>",
        "  from <>, 512 bytes, subject: Hello",
        "  2026-11-22 12:10:00.250  DSN       non-delivery report about message 1 to a@akkaya.local",
        "                   +5.0 d  SEND      a@akkaya.local via mx [198.51.100.9]:25 by Internet: 250 2.0.0 taken",
    ]


def test_other_events(tmp_path: Path) -> None:
    world = World(tmp_path / "tracking")
    message = world.received(*[f"r{number}@x.example" for number in range(5)])
    world.tried(message, told="test@qa.example")
    world.sink.emit(events.Poisoned(message, 2))
    message.recipients[0].state, message.recipients[0].last_reply = RecipientState.REMOVED, Reply(550, "5.0.0", "removed")
    world.sink.emit(events.Removed(message, False, message.recipients[:1]))
    world.sink.emit(events.Dropped(message, "its return path is null"))
    world.sink.emit(events.Resubmitted(world.message(origin=Origin(source="SAFETYNET")), message.id))
    lines = [line[27:] for line in told(world)]
    named = "r0@x.example, r1@x.example, r2@x.example and 2 more"
    assert f"RECEIVE   SMTP to {named}" in lines
    assert any(line.startswith("REDIRECT  r0@x.example;r1@x.example;") for line in lines)
    assert "POISONMESSAGE failures: 2" in lines
    assert "FAIL      r0@x.example removed by an administrator,: 550 5.0.0 removed [without NDR]" in lines
    assert f"DROP      {named} [its return path is null]" in lines
    assert "RESUBMIT  as a new message: message 2 to u@customer.example" in lines
    assert "RESUBMIT  message 1 again to u@customer.example" in lines
