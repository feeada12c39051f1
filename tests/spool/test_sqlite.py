"""The spool as the other rooms use it: store, record, load, due, restart."""

from __future__ import annotations

import os
import sqlite3
import stat

import pytest
from zope.interface.verify import verifyObject

from tests.spool.world import LATER, World, defer, deliver
from twistedrelay.interfaces import IContent, IContentWriter, ISpool, SpoolError
from twistedrelay.spool.lock import SpoolHeld
from twistedrelay.spool.schema import MIGRATIONS
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import (
    DeliverBy,
    MailParameters,
    Message,
    Origin,
    Outcome,
    OutcomeKind,
    RcptParameters,
    Recipient,
    RecipientState,
)
from twistedrelay.values.reply import Reply


def test_interfaces(world: World) -> None:
    assert verifyObject(ISpool, world.spool)
    assert verifyObject(IContentWriter, world.spool.new_content())
    stored = world.store()
    assert verifyObject(IContent, world.load(stored.id)[0].content)


def test_everything_of_a_message_survives_a_restart(world: World) -> None:
    message = world.message(
        parameters=MailParameters(
            1234, "8BITMIME", "HDRS", "id+1", True, True, -4, DeliverBy(-20, "N", True), hold_for=60, hold_until=5e8, auth="a@b.example"
        ),
        origin=Origin("SMTP", "IP_Relay", "192.0.2.7", "client", "user@example.org", "0123456789abcdef"),
    )
    message.recipients = [
        Recipient(0, Address("A.B@MÜNCHEN.example", "A.B", "xn--mnchen-3ya.example"), RcptParameters(frozenset({"FAILURE"}), "rfc822;x@y")),
        Recipient(1, Address("x@[IPv6:2001:DB8::1]", "x", "[ipv6:2001:db8::1]")),
        Recipient(2, Address("postmaster", "postmaster", "")),
        Recipient(3, Address('"a@b c"@example.com', '"a@b c"', "example.com"), attempts=2, last_reply=LATER, last_remote="mx"),
        Recipient(4, Address("r4@example.com", "r4", "example.com"), delay_notified=True),
    ]
    world.wait(world.spool.store(message))
    world.close()
    (loaded,) = world.load(message.id)
    assert loaded.recipients == message.recipients
    assert [recipient.address.text for recipient in loaded.recipients] == [recipient.address.text for recipient in message.recipients]
    assert (loaded.sender, loaded.sender.text) == (message.sender, "Sender@Example.org")
    assert (loaded.message_id, loaded.received_at, loaded.size) == (message.message_id, message.received_at, 20)
    assert (loaded.parameters, loaded.origin) == (message.parameters, message.origin)
    assert loaded.content.in_memory() == (b"Subject: x\r\n\r\nbody\r\n",)
    assert world.content(loaded) == b"Subject: x\r\n\r\nbody\r\n"


def test_a_held_message_is_due_at_its_time(world: World) -> None:
    held = world.message(parameters=MailParameters(hold_until=5000.0))
    world.wait(world.spool.store(held))
    assert [recipient.next_attempt for recipient in held.recipients] == [5000.0] * len(held.recipients)
    world.close()
    assert world.wait(world.spool.due(1e9, 10)) == [(5000.0, held.id)]
    assert [recipient.next_attempt for recipient in world.load(held.id)[0].recipients] == [5000.0] * len(held.recipients)


def test_null_sender_and_empty_content(world: World) -> None:
    message = world.message(b"")
    message.sender = NULL
    world.wait(world.spool.store(message))
    world.close()
    (loaded,) = world.load(message.id)
    assert loaded.sender.is_null
    assert (loaded.size, world.content(loaded)) == (0, b"")


def test_text_that_a_database_refuses_is_made_harmless(world: World) -> None:
    message = world.message()
    message.message_id = "<a\0b\udcff>"
    world.wait(world.spool.store(message))
    assert world.load(message.id)[0].message_id == "<a?b?>"


def test_delivered_message_is_gone(world: World) -> None:
    message = world.store()
    world.wait(world.spool.record(message, deliver(*message.recipients)))
    assert world.load(message.id) == []
    assert world.count() == 0
    connection = sqlite3.connect(os.path.join(world.directory, "spool.db"))
    assert [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("message", "content", "recipient")] == [0, 0, 0]
    connection.close()


def test_deferred_recipients_stay_with_their_state(world: World) -> None:
    message = world.store(recipients=3)
    first, second, third = message.recipients
    outcomes = deliver(first) + defer(500.0, second)
    world.wait(world.spool.record(message, outcomes))
    world.close()
    (loaded,) = world.load(message.id)
    assert loaded.recipients == [second, third]
    assert loaded.recipients[0].last_reply == LATER
    assert world.wait(world.spool.due(0.0, 10)) == [(0.0, message.id)]
    world.wait(world.spool.record(loaded, defer(700.0, loaded.recipients[1])))
    assert world.wait(world.spool.due(499.0, 10)) == []
    assert world.wait(world.spool.due(500.0, 10)) == [(500.0, message.id)]
    everyone = world.wait(world.spool.browse(10)).messages[0].recipients
    assert [recipient.state for recipient in everyone] == [RecipientState.DELIVERED, RecipientState.READY, RecipientState.READY]
    assert first.state is RecipientState.DELIVERED


def test_message_ends_with_its_last_waiting_recipient(world: World) -> None:
    message = world.store(recipients=3)
    for recipient in message.recipients:
        assert world.count() == 1
        world.wait(world.spool.record(message, deliver(recipient)))
    assert world.count() == 0


def test_record_without_outcomes_writes_everyone(world: World) -> None:
    message = world.store(recipients=2)
    message.recipients[0].state = RecipientState.REMOVED
    message.recipients[1].delay_notified = True
    world.wait(world.spool.record(message, ()))
    (loaded,) = world.load(message.id)
    assert loaded.recipients == [message.recipients[1]]
    message.recipients[1].state = RecipientState.REMOVED
    world.wait(world.spool.record(message, ()))
    assert world.count() == 0


def test_report_is_stored_with_the_result(world: World) -> None:
    message = world.store()
    (recipient,) = message.recipients
    recipient.state = RecipientState.FAILED
    report = world.message(b"report")
    refused = Reply(550, "5.1.1", "User unknown")
    world.wait(world.spool.record(message, [Outcome(recipient, OutcomeKind.FAILED, refused)], [report]))
    assert world.load(message.id) == []
    assert world.content(world.load(report.id)[0]) == b"report"


def test_due_is_soonest_first_and_bounded(world: World) -> None:
    stored = [world.store() for _ in range(5)]
    for message, at in zip(stored, (30.0, 10.0, 50.0, 20.0, 10.0), strict=True):
        world.wait(world.spool.record(message, defer(at, *message.recipients)))
    ids = [message.id for message in stored]
    assert world.wait(world.spool.due(40.0, 10)) == [(10.0, ids[1]), (10.0, ids[4]), (20.0, ids[3]), (30.0, ids[0])]
    assert world.wait(world.spool.due(40.0, 2)) == [(10.0, ids[1]), (10.0, ids[4])]


def test_due_reads_the_index_only(world: World) -> None:
    world.store()
    connection = sqlite3.connect(os.path.join(world.directory, "spool.db"))
    query = "EXPLAIN QUERY PLAN SELECT next_attempt, id FROM message WHERE next_attempt <= ? ORDER BY next_attempt, id LIMIT ?"
    plan = " ".join(row[3] for row in connection.execute(query, (1.0, 1)))
    connection.close()
    assert "COVERING INDEX message_due" in plan
    assert "TEMP B-TREE" not in plan


def test_views_page_through_by_id_and_read_content_when_asked(world: World) -> None:
    ids = [world.store(b"content %d" % number).id for number in range(5)]
    page = world.wait(world.spool.browse(2, after=ids[1])).messages
    assert [message.id for message in page] == ids[2:4]
    assert page[0].content.in_memory() is None
    assert world.content(page[0]) == b"content 2"
    assert world.wait(page[0].content.read(3, 4)) == b"tent"


def test_load_keeps_the_order_and_leaves_out_what_is_gone(world: World) -> None:
    first, second = world.store(), world.store()
    assert [message.id for message in world.load(second.id, 99_999, first.id)] == [second.id, first.id]


def test_store_and_its_end_in_one_batch(world: World) -> None:
    messages = [world.message() for _ in range(50)]
    order: list[tuple[str, int]] = []
    for message in messages:
        stored, recorded = world.spool.store(message), world.spool.record(message, deliver(*message.recipients))
        stored.addCallback(lambda _, number: order.append(("store", number)), message.id)
        recorded.addCallback(lambda _, number: order.append(("record", number)), message.id)
    world.reactor.until(lambda: len(order) == 100)
    assert order == [(what, message.id) for message in messages for what in ("store", "record")]
    assert world.count() == 0


def test_last_of_several_updates_in_one_batch_counts(world: World) -> None:
    message = world.store()
    recorded = [world.spool.record(message, defer(at, *message.recipients)) for at in (10.0, 20.0, 30.0)]
    world.wait(recorded[-1])
    assert world.wait(world.spool.due(100.0, 5)) == [(30.0, message.id)]
    assert world.load(message.id)[0].recipients[0].attempts == 3


def test_raising_listener_costs_nobody_else_the_answer(world: World) -> None:
    bad, good = world.spool.store(world.message()), world.spool.store(world.message())
    bad.addCallback(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.wait(bad)
    world.wait(good)


def test_message_nobody_waits_for_is_refused(world: World) -> None:
    message = world.message()
    message.recipients = []
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    assert world.spool.healthy


def test_impossible_change_harms_only_itself(world: World) -> None:
    before = world.store()
    twin = world.message()
    twin.id = before.id
    others = [world.message() for _ in range(5)]
    answers = [world.spool.store(message) for message in (*others[:2], twin, *others[2:])]
    for number, answer in enumerate(answers):
        if number == 2:
            with pytest.raises(SpoolError) as refused:
                world.wait(answer)
            assert refused.value.reply.code == 451
        else:
            world.wait(answer)
    assert world.spool.healthy
    assert world.count() == 6


def test_ids_are_never_used_again(world: World) -> None:
    seen: list[int] = []
    for _ in range(3):
        for _ in range(10):
            message = world.store()
            seen.append(message.id)
            world.wait(world.spool.record(message, deliver(*message.recipients)))
        seen.extend(world.spool.next_id() for _ in range(10))
        world.close()
    assert seen == sorted(set(seen))
    assert seen[0] == 1
    assert seen[-1] == 60  # a clean end gives the reserve back


def test_directory_is_private(world: World) -> None:
    os.mkdir(world.directory, 0o755)
    world.store(b"x" * 100_000)
    assert stat.S_IMODE(os.stat(world.directory).st_mode) == 0o700
    for root, directories, files in os.walk(world.directory):
        assert all(stat.S_IMODE(os.stat(os.path.join(root, name)).st_mode) == 0o700 for name in directories)
        assert all(stat.S_IMODE(os.stat(os.path.join(root, name)).st_mode) == 0o600 for name in files), files


def test_held_spool_is_refused(world: World) -> None:
    assert world.spool.healthy
    with pytest.raises(SpoolHeld, match=f"in use by process {os.getpid()}"):
        SQLiteSpool(world.reactor, world.directory).open()
    world.close()
    assert world.spool.healthy


def test_newer_format_is_refused(world: World) -> None:
    world.store()
    world.close()
    connection = sqlite3.connect(os.path.join(world.directory, "spool.db"))
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(SpoolError, match="this version knows up to"):
        SQLiteSpool(world.reactor, world.directory).open()


def test_closed_spool_takes_nothing(world: World) -> None:
    message = world.store()
    spool = world.spool
    world.close()
    assert not spool.healthy
    late = Message(9, message.sender, message.recipients, "<x>", 0.0, spool.new_content())
    for answer in (spool.store(late), spool.record(message, ()), spool.count(), spool.load([1])):
        with pytest.raises(SpoolError):
            world.wait(answer)
    world.wait(spool.close())
    assert os.path.getsize(os.path.join(world.directory, "spool.db")) > 0
    assert not os.path.exists(os.path.join(world.directory, "spool.db-wal"))


def test_close_writes_what_waits(world: World) -> None:
    small = [world.message() for _ in range(20)]
    large = world.message(b"y" * 300_000)
    answers = [world.spool.store(message) for message in (*small, large)]
    closing = world.spool.close()
    for answer in answers:
        world.wait(answer)
    world.wait(closing)
    world.close()
    assert world.count() == 21
    assert world.content(world.load(large.id)[0]) == b"y" * 300_000


def test_close_behind_the_last_delivery_leaves_no_file(world: World) -> None:
    message = world.store(b"y" * 300_000)
    spool = world.spool
    spool.record(message, deliver(*message.recipients))
    late = spool.new_content()
    late.write(b"z" * 300_000)
    world.close()
    assert len(world.bodies()) == 1  # of the content that nobody ended
    late.abort()
    with pytest.raises(SpoolError):
        world.wait(message.content.read(0, 1))
    assert world.count() == 0
    assert world.bodies() == []
