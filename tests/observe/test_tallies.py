"""Tests for L{twistedrelay.observe.tallies}, and for what is counted in them."""

from __future__ import annotations

from tests.observe.cases import CASES, SESSION, message, sent
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.tallies import OTHER, Tally
from twistedrelay.values import events
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.reply import UNABLE_TO_RELAY, Reply


def test_labels_are_bounded() -> None:
    tally = Tally("a", "b", most=2)
    for name in ("x", "y", "z", "w", "x"):
        tally.add((name, "1"))
    assert dict(tally) == {("x", "1"): 2, ("y", "1"): 1, (OTHER, OTHER): 2}
    assert tally.total() == 5


def test_one_label() -> None:
    tally = Tally("a", most=1)
    tally.add("x", 5)
    tally.add("y")
    assert list(tally) == [(("x",), 5), ((OTHER,), 1)]
    assert (tally["x"], tally["never"]) == (5, 0)


def test_a_flood_of_strange_reasons_costs_no_memory() -> None:
    counters = Counters()
    for number in range(2000):
        counters.emit(events.Disconnected(*SESSION, f"reason {number}", 0, 1.0))
    assert len(list(counters.tallies.closed)) <= 501
    assert counters.tallies.closed.total() == 2000


def test_commands_are_told_apart_by_those_that_exist() -> None:
    counters = Counters()
    for command in ("RCPT TO:<a@b>", "XYZZY something", "end of data"):
        counters.emit(events.CommandRefused(*SESSION, command, UNABLE_TO_RELAY, ""))
    assert dict(counters.tallies.refused_commands) == {
        ("Default Frontend", "RCPT", "550"): 1,
        ("Default Frontend", OTHER, "550"): 1,
        ("Default Frontend", "END", "550"): 1,
    }


def test_latency_is_from_receipt_to_delivery() -> None:
    counters = Counters(now=lambda: 4.0)
    counters.emit(sent(OutcomeKind.DELIVERED, Reply(250, "2.0.0", "Ok")))
    counters.emit(sent(OutcomeKind.DEFERRED, Reply(451, "4.0.0", "later")))
    assert (counters.tallies.latency.count, counters.tallies.latency.sum) == (1, 3.0)
    assert dict(counters.tallies.outcomes) == {("", "delivered", "250"): 1, ("", "deferred", "451"): 1}
    assert dict(counters.tallies.delivered_octets) == {("",): 512}


def test_tallies_and_totals_agree() -> None:
    counters = Counters()
    for event, _ in CASES:
        counters.emit(event)
    tallies, totals = counters.tallies, counters.totals
    assert tallies.sessions.total() == totals.sessions
    assert tallies.refused.total() == totals.sessions_refused
    assert tallies.received.total() == totals.received
    assert tallies.received_octets.total() == totals.bytes_received
    assert tallies.outcomes.total() == totals.recipients_delivered + totals.recipients_deferred + totals.recipients_failed
    assert tallies.logins.total() == totals.logins + totals.logins_failed
    assert tallies.refused_commands.total() == totals.commands_refused


def test_received_by_connector() -> None:
    counters = Counters()
    counters.emit(events.Receive(message("a@b")))
    assert dict(counters.tallies.received) == {("Default Frontend",): 1}


def test_what_was_lost_is_asked_when_it_is_wanted() -> None:
    counters, lost = Counters(), [0]
    counters.watch_lost("tracking", lambda: lost[0])
    lost[0] = 3
    assert {what: number() for what, number in counters.losers.items()} == {"tracking": 3}


def test_replies_of_a_connector_are_counted_in_one_place() -> None:
    counters = Counters()
    assert counters.replies("A") is counters.replies("A")
    assert counters.replies("A") is not counters.replies("B")
