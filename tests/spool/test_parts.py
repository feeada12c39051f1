"""The small parts: multi-row statements, ids, results of attempts, full disks."""

from __future__ import annotations

import errno
import sqlite3

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spool.world import defer, deliver
from twistedrelay.spool import rows, settlement
from twistedrelay.spool.change import Change
from twistedrelay.spool.disk import disk_is_full, spool_error
from twistedrelay.spool.ids import RESERVE, Sequence
from twistedrelay.spool.statements import ManyRows
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import Message, Recipient, RecipientState


@attrs.frozen
class Content:
    """Stands for content where only the envelope matters."""

    size: int = 1


def a_message(recipients: int) -> Message:
    address = Address("a@b", "a", "b")
    return Message(7, NULL, [Recipient(index, address) for index in range(recipients)], "<x>", 0.0, Content())  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 63, 64, 65, 200])
def test_any_number_of_rows(count: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pair (a, b)")
    expected = [(number, -number) for number in range(count)]
    ManyRows("INSERT INTO pair VALUES {}", 2).run(connection, expected)
    assert connection.execute("SELECT * FROM pair").fetchall() == expected
    connection.close()


def test_many_rows_take_few_steps() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pair (a, b)")
    steps: list[str] = []
    connection.set_trace_callback(steps.append)
    ManyRows("INSERT INTO pair VALUES {}", 2).run(connection, [(1, 2)] * 150)
    connection.close()
    assert len([step for step in steps if step.startswith("INSERT")]) == 3  # 64 + 64 + 22


def test_reserve_of_ids() -> None:
    ids = Sequence(1)
    assert ids.wanted() == 1 + RESERVE
    ids.durable = 1 + RESERVE
    assert ids.wanted() is None
    taken = [ids.take() for _ in range(RESERVE // 2 + 1)]
    assert taken == list(range(1, RESERVE // 2 + 2))
    assert ids.wanted() == ids.next + RESERVE


def test_only_those_with_an_outcome_are_written() -> None:
    message = a_message(1000)
    change = Change(lambda error: None)
    settlement.add_result(change, message, deliver(message.recipients[5]))
    assert [row[:3] for row in change.updates] == [(7, 5, RecipientState.DELIVERED.value)]
    assert (change.due, change.deletes) == (((7, 0.0),), ())


def test_finished_message_writes_no_recipient() -> None:
    message = a_message(3)
    change = Change(lambda error: None)
    settlement.add_result(change, message, deliver(*message.recipients))
    assert (change.updates, change.due, change.deletes) == ((), (), (7,))


def test_due_with_its_first_waiting_recipient() -> None:
    message = a_message(4)
    deliver(message.recipients[0])
    for recipient, at in zip(message.recipients[1:], (30.0, 20.0, 40.0), strict=True):
        defer(at, recipient)
    assert rows.next_attempt(message.recipients) == 20.0


@settings(deadline=None, database=None)
@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_can_be_bound(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    clean = rows.clean(text)
    assert connection.execute("SELECT ?", (clean,)).fetchone() == (clean,)
    connection.close()
    assert "\0" not in clean


@pytest.mark.parametrize(
    "address",
    [
        NULL,
        Address("Postmaster", "Postmaster", ""),
        Address("User@Example.ORG", "User", "example.org"),
        Address("user@example.org.", "user", "example.org"),
        Address('"a@b"@[192.0.2.1]', '"a@b"', "[192.0.2.1]"),
        Address("ü@bücher.example", "ü", "xn--bcher-kva.example"),
    ],
)
def test_addresses_round_trip(address: Address) -> None:
    again = rows.address_of(*rows.address_columns(address))
    assert (again, again.text) == (address, address.text)


def test_full_is_452_and_all_else_451() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    for error, code in (
        (full, 452),
        (OSError(errno.ENOSPC, ""), 452),
        (OSError(errno.EDQUOT, ""), 452),
        (OSError(errno.EIO, ""), 451),
        (sqlite3.OperationalError("disk I/O error"), 451),
    ):
        assert disk_is_full(error) == (code == 452)
        assert spool_error("writing", error).reply.code == code
