"""What all sessions hold in memory together, and what happens when it is too much."""

from __future__ import annotations

from tests.net.relay import Client, Relay
from twistedrelay.net.buffers import FEW, PATIENCE, Buffers
from twistedrelay.net.conversation import INPUT_BACKLOG
from twistedrelay.values import events

LIMIT = 4 * 1024 * 1024
HEAD = b"Subject: x\r\n\r\n"
LINE = b"x" * 98 + b"\r\n"


def relay_with_limit() -> Relay:
    unlimited = {"max_inbound_connection_per_source": "unlimited", "max_inbound_connection_percentage_per_source": 100}
    return Relay({"Default Frontend": unlimited}, max_buffered_size=LIMIT)


def filled(relay: Relay, each: int = 400_000) -> list[Client]:
    """Clients in the middle of messages that nobody has written to the disk, until it is too much."""
    clients = []
    while not relay.buffers.full:
        client = relay.connect().begin()
        client.send(HEAD + LINE * (each // len(LINE)))
        clients.append(client)
        assert len(clients) <= LIMIT // each + 1
    return clients


def written(relay: Relay, number: int) -> None:
    """The disk has what this content had."""
    content = relay.spool.contents[number]
    content.unwritten = lambda: 0  # type: ignore[method-assign]


def test_full_until_it_is_low_again() -> None:
    buffers, changes = Buffers(100), []
    buffers.on_change = lambda: changes.append(buffers.full)
    buffers.add(100)
    assert not buffers.full
    buffers.add(1)
    buffers.add(50)
    buffers.add(-75)
    assert buffers.full
    buffers.add(-1)
    assert (buffers.full, buffers.used) == (False, 75)
    buffers.add(26)
    assert changes == [True, False, True]


def test_what_is_held_is_counted() -> None:
    relay = relay_with_limit()
    client = relay.connect().begin()
    assert relay.buffers.used == 0
    client.send(HEAD + LINE + b"x")
    assert relay.buffers.used == len(HEAD + LINE) + 1
    client.send(LINE * 5000 + b"x")
    assert 0 < relay.buffers.used - len(HEAD + LINE * 5001) < 1000, "and the trace header"
    client.transport.close()
    assert relay.buffers.used == 0


def test_a_message_is_held_until_it_is_stored() -> None:
    relay = relay_with_limit()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(HEAD + LINE * 100 + b".\r\n")
    assert relay.buffers.used > 100 * len(LINE)
    relay.spool.held[0].callback(None)
    assert relay.buffers.used == 0
    assert client.codes() == [250]


def test_half_a_command_is_held() -> None:
    relay = relay_with_limit()
    client = relay.connect()
    client.send(b"NOOP\r\nNOO")
    assert relay.buffers.used == 3
    client.send(b"P\r\n")
    assert relay.buffers.used == 0


def test_who_holds_much_is_not_read_from() -> None:
    relay = relay_with_limit()
    idle = relay.connect()
    clients = filled(relay)
    assert len(clients) > 5
    assert not any(client.transport.reading for client in clients)
    assert idle.transport.reading
    assert idle.command("NOOP").endswith("250 2.0.0 OK\r\n")


def test_no_new_messages_when_it_is_full() -> None:
    relay = relay_with_limit()
    filled(relay)
    client = relay.connect()
    client.said()
    client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
    assert client.codes() == [250, 250, 250, 452]
    refused = relay.events.of(events.CommandRefused)[-1]
    assert (refused.command, refused.reply.enhanced, refused.reason) == ("DATA", "4.3.1", "max_buffered_size")
    assert client.command("NOOP").startswith("250")


def test_it_goes_on_when_the_disk_has_caught_up() -> None:
    relay = relay_with_limit()
    clients = filled(relay)
    for number in range(4):
        written(relay, number)
    relay.pass_time(1)
    assert not relay.buffers.full
    assert all(client.transport.reading for client in clients)
    for client in clients:
        client.send(b".\r\n")
        assert client.codes() == [250]
    assert relay.buffers.used == 0


def test_who_leaves_makes_room() -> None:
    relay = relay_with_limit()
    clients = filled(relay)
    for client in clients[:4]:
        client.transport.close()
    assert not relay.buffers.full
    assert all(client.transport.reading for client in clients[4:])


def test_those_that_hold_the_most_go_when_nothing_helps() -> None:
    relay = relay_with_limit()
    small = relay.connect().begin()
    small.send(HEAD + LINE * 100)
    clients = filled(relay)
    relay.pass_time(PATIENCE - 2)
    assert relay.buffers.full
    assert not any(client.is_closing for client in clients)
    relay.pass_time(4)
    gone = [client for client in clients if client.is_closing]
    assert 0 < len(gone) < len(clients)
    assert all("max_buffered_size" in client.said() for client in gone)
    for client in gone:
        client.transport.close()
    assert not relay.buffers.full
    assert small.transport.reading
    assert {event.reason for event in relay.events.of(events.Disconnected)} == {"max_buffered_size"}
    small.send(b".\r\n")
    assert small.codes() == [250]


def test_the_time_that_it_is_full_is_not_the_clients() -> None:
    relay = relay_with_limit()
    client = relay.connect().begin()
    client.send(HEAD + LINE * 100)
    clients = filled(relay)
    for number in range(1, 5):
        written(relay, number)
    relay.pass_time(1)
    assert clients[0].transport.reading
    relay.pass_time(59)
    assert not client.is_closing


def test_commands_behind_a_pending_decision_count() -> None:
    relay = relay_with_limit()
    relay.spool.held = []
    clients = []
    while not relay.buffers.full:
        client = relay.connect().begin()
        client.send(HEAD + b".\r\n")
        while client.transport.reading and not relay.buffers.full:
            client.send(b"NOOP\r\n" * 1000)
        clients.append(client)
        assert len(clients) <= LIMIT // INPUT_BACKLOG + 1
    last = relay.connect().begin
    assert relay.buffers.used > LIMIT
    for stored in relay.spool.held:
        stored.callback(None)
    assert not relay.buffers.full
    assert relay.buffers.used < FEW * len(clients)
    last()
