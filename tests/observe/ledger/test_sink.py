"""Tests for L{twistedrelay.observe.ledger.sink}: which row a session, a message, a refusal belongs to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.observe.ledger.world import NOON, World
from twistedrelay.observe.ledger import sink
from twistedrelay.observe.ledger.file import LedgerFile, LedgerQuery
from twistedrelay.observe.ledger.row import MOST_DOMAINS, OTHERS
from twistedrelay.observe.ledger.store import MOST_OF_CLIENT
from twistedrelay.values import events
from twistedrelay.values.reply import SERVICE_NOT_AVAILABLE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "ledger.sqlite")


def test_messages_of_a_session_are_one_row(world: World) -> None:
    session = world.connect()
    world.receive(session, "u@x.example", "v@y.example", size=100)
    world.clock.advance(1)
    world.receive(session, "w@x.example", size=50)
    world.end(session)
    [row] = world.rows()
    assert (row.connector, row.client, row.local, row.helo) == ("IP_Relay", "192.0.2.55", "192.0.2.1:25", "printer")
    assert (row.user, row.sender_domain, row.tls, row.cipher) == ("", "akkaya.local", "", "")
    assert (row.sessions, row.messages, row.recipients, row.size, row.refusals) == (1, 2, 3, 150, 0)
    assert row.recipient_domains == ("x.example", "y.example")
    assert (row.first_seen, row.last_seen) == (NOON, NOON + 1)


def test_rows_add_up_over_writes(world: World) -> None:
    session = world.connect()
    for _ in range(3):
        world.receive(session)
        world.pass_time()
    world.end(session)
    [row] = world.rows()
    assert (row.sessions, row.messages, row.first_seen) == (1, 3, NOON)


def test_tls_login_helo_and_sender_make_other_rows(world: World) -> None:
    session = world.connect()
    world.receive(session)
    world.emit(events.TLSStarted(session, "IP_Relay", "192.0.2.55:1", "TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    world.receive(session)
    world.emit(events.LoggedIn(session, "IP_Relay", "192.0.2.55:1", "PLAIN", "eren@akkaya.local"))
    world.receive(session)
    world.receive(session, sender="")
    world.receive(session, helo="laptop")
    rows = {(row.tls, row.user, row.sender_domain, row.helo): row.messages for row in world.rows()}
    eren = "eren@akkaya.local"
    assert rows == {
        ("", "", "akkaya.local", "printer"): 1,
        ("TLSv1.3", "", "akkaya.local", "printer"): 1,
        ("TLSv1.3", eren, "akkaya.local", "printer"): 1,
        ("TLSv1.3", eren, "", "printer"): 1,
        ("TLSv1.3", eren, "akkaya.local", "laptop"): 1,
    }


def test_a_session_that_only_connects_is_seen(world: World) -> None:
    world.end(world.connect(), helo="probe")
    [row] = world.rows()
    assert (row.helo, row.sessions, row.messages) == ("probe", 1, 0)


def test_refusals_belong_to_the_sender_that_was_named(world: World) -> None:
    session = world.connect()
    world.refuse(session, "MAIL FROM:<a@Spam.example>")
    world.refuse(session, "RCPT TO:<b@c.example>", sender="a@other.example")
    world.refuse(session, "end of data")
    world.emit(events.LoginFailed(session, "IP_Relay", "192.0.2.55:1", "PLAIN", "root", "wrong"))
    world.emit(events.LoginFailed(session, "IP_Relay", "192.0.2.55:1", "PLAIN", "root", "no answer", temporary=True))
    world.end(session)
    assert {row.sender_domain: row.refusals for row in world.rows()} == {"spam.example": 1, "other.example": 3}
    assert all("root" not in str(row) for row in world.rows())


def test_a_message_that_is_committed_behind_its_session(world: World) -> None:
    session = world.connect()
    world.emit(events.TLSStarted(session, "IP_Relay", "192.0.2.55:1", "TLSv1.2", "X"))
    world.end(session)
    world.receive(session)
    assert {(row.tls, row.messages) for row in world.rows()} == {("TLSv1.2", 0), ("TLSv1.2", 1)}
    world.receive("FFFF")
    assert sum(row.messages for row in world.rows()) == 1


@pytest.mark.parametrize(
    ("peer", "network"), [("198.51.100.7:5", "198.51.100.0/24"), ("[2001:db8:1:2::3]:5", "2001:db8:1::/48"), ("nobody", OTHERS)]
)
def test_who_met_no_connector_is_kept_by_network(world: World, peer: str, network: str) -> None:
    for _ in range(3):
        world.emit(events.ConnectionRefused("1", "", peer, "no receive connector for this address", SERVICE_NOT_AVAILABLE))
    [row] = world.rows()
    assert (row.connector, row.client, row.refusals, row.helo) == ("", network, 3, "")


def test_who_met_a_limit_is_kept_by_address(world: World) -> None:
    world.emit(events.ConnectionRefused("1", "IP_Relay", "192.0.2.9:5", "max_inbound_connection", SERVICE_NOT_AVAILABLE))
    assert [(row.connector, row.client, row.refusals) for row in world.rows()] == [("IP_Relay", "192.0.2.9", 1)]


def test_a_scanner_with_many_names_fills_neither_memory_nor_disk(world: World) -> None:
    session = world.connect()
    for number in range(5000):
        world.refuse(session, helo=f"name-{number}")
    assert len(world.ledger._rows) <= MOST_OF_CLIENT + 1
    rows = world.rows()
    assert len(rows) == MOST_OF_CLIENT + 1
    assert sum(row.refusals for row in rows) == 5000
    assert next(row for row in rows if row.helo == OTHERS).refusals == 5000 - MOST_OF_CLIENT
    assert LedgerFile(world.path).extent().folded == 5000 - MOST_OF_CLIENT
    for number in range(5000, 5100):
        world.refuse(session, helo=f"name-{number}")
    assert len(world.rows()) == MOST_OF_CLIENT + 1


def test_a_flood_of_clients_does_not_fill_the_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "MOST_ROWS", 50)
    for number in range(300):
        client = f"10.0.{number // 250}.{number % 250}"
        world.end(world.connect(client), client=client)
    assert len(world.ledger._rows) <= 51
    assert sum(row.sessions for row in world.rows()) == 300
    assert next(row for row in world.rows() if row.client == OTHERS).sessions == 250


def test_domains_are_bounded(world: World) -> None:
    session = world.connect()
    for number in range(3 * MOST_DOMAINS):
        world.receive(session, f"u@d{number}.example")
    [row] = world.rows()
    assert row.recipient_domains == tuple(f"d{number}.example" for number in range(MOST_DOMAINS))
    world.receive(session, "u@later.example")
    assert len(world.rows()[0].recipient_domains) == MOST_DOMAINS


def test_a_disk_that_refuses_is_told_once_and_nothing_is_lost(world: World) -> None:
    session = world.connect()
    world.error = sqlite3.OperationalError("database or disk is full")
    for _ in range(3):
        world.receive(session)
        world.pass_time()
    assert len(world.reports) == 1
    assert "the ledger cannot be written" in world.reports[0]
    world.error = None
    assert sum(row.messages for row in world.rows()) == 3
    assert len(world.reports) == 2


def test_what_has_just_happened_is_found(world: World) -> None:
    world.receive(world.connect())
    found: list[object] = []
    world.ledger.rows(LedgerQuery(connector="ip_relay")).addCallback(found.extend)
    assert len(found) == 1
    world.ledger.usage(NOON + 1).addCallback(found.extend)
    assert len(found) == 1


def test_the_end_writes_sessions_that_are_in_progress(world: World) -> None:
    world.connect()
    done: list[object] = []
    world.ledger.stop(2.0).addCallback(done.append)
    assert done == [None]
    assert len(LedgerFile(world.path).rows()) == 1
    assert world.clock.getDelayedCalls() == []


def test_the_relays_own_connections_are_nobodys_use_of_it(world: World) -> None:
    """Whoever they are told for; a neighbour on the same address is still seen."""
    world.ledger.own.add("127.0.0.99:40001")
    for peer, proxy in (("127.0.0.99:40001", ""), ("198.51.100.77:40000", "127.0.0.99:40001 tls=TLSv1.3"), ("127.0.0.99:40002", "")):
        session = f"{peer}{proxy}"
        world.emit(events.Connected(session, "IP_Relay", peer, "192.0.2.1:25", proxy))
        world.refuse(session)
        world.end(session)
    world.emit(events.ConnectionRefused("4", "IP_Relay", "127.0.0.99:40001", "max_inbound_connection", SERVICE_NOT_AVAILABLE))
    [row] = world.rows()
    assert (row.client, row.sessions, row.refusals) == ("127.0.0.99", 1, 1)
    world.ledger.own.clear()
    world.end(world.connect("127.0.0.99"))
    assert [row.sessions for row in world.rows()] == [2]
