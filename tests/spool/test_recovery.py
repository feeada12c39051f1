"""What a start finds: orphans, missing and damaged files."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3

import pytest

from tests.spool.world import World, defer, deliver
from twistedrelay.spool.schema import MIGRATIONS
from twistedrelay.values.envelope import YEAR, MailParameters, MessageStatus

LARGE = b"l" * 200_000


def _path(world: World) -> str:
    (name,) = world.bodies()
    return os.path.join(world.directory, "bodies", name)


def test_files_that_no_row_names_are_removed(world: World) -> None:
    message = world.store(LARGE)
    world.close()
    for name in ("0123456789abcdef01234567.eml", "ffffffffffffffffffffffff.eml", "notes.txt"):
        with open(os.path.join(world.directory, "bodies", name), "w"):
            pass
    assert world.content(world.load(message.id)[0]) == LARGE
    assert len(world.bodies()) == 2
    assert "notes.txt" in world.bodies()
    assert world.sink.texts() == ["2 content files that no message names were removed"]


def test_message_without_its_file_is_parked_and_comes_back(world: World) -> None:
    message = world.store(LARGE)
    path = _path(world)
    world.close()
    os.rename(path, path + ".away")
    assert world.wait(world.spool.due(1.0, 10)) == []
    assert world.count() == 1
    assert world.sink.texts() == [f"message {message.id} is parked: its content is missing or damaged"]
    world.close()
    os.rename(path + ".away", path)
    assert world.wait(world.spool.due(1.0, 10)) == [(0.0, message.id)]
    assert world.content(world.load(message.id)[0]) == LARGE


def test_message_with_a_torn_file_is_parked_and_can_be_removed(world: World) -> None:
    message = world.store(LARGE)
    path = _path(world)
    world.close()
    os.truncate(path, 100_000)
    assert world.wait(world.spool.due(1.0, 10)) == []
    (loaded,) = world.load(message.id)
    world.wait(world.spool.record(loaded, deliver(*loaded.recipients)))
    assert world.count() == 0
    world.close()
    assert world.bodies() == []


def test_unclean_end_counts_what_may_have_been_on_the_wire(world: World) -> None:
    """After a kill nobody knows what was being sent: one warning with the number of messages that were due."""
    later, due, kept = world.store(), world.store(), world.store()
    world.wait(world.spool.record(later, defer(500.0, *later.recipients)))
    world.close()
    assert world.load(due.id, kept.id)
    assert not any("uncertain" in text for text in world.sink.texts())
    world.reactor.advance(100.0)

    def dead(step: str) -> None:
        raise OSError(errno.EIO, "the process is gone")

    world.disk.fault = dead
    world.close()
    world.disk.fault = lambda step: None
    assert world.count() == 3
    (warning,) = [text for text in world.sink.texts() if "good order" in text]
    assert warning.startswith("uncertain:")
    assert "those of 2 due and 1 waiting messages that were being sent" in warning
    world.close()
    assert world.count() == 3
    assert len([text for text in world.sink.texts() if "good order" in text]) == 1


def test_what_was_suspended_while_it_was_sent_is_in_doubt_after_a_kill_too(world: World) -> None:
    """It is not due any more, but may have arrived."""
    message = world.store()
    world.wait(world.spool.set_status([message.id], MessageStatus.SUSPENDED))

    def dead(step: str) -> None:
        raise OSError(errno.EIO, "the process is gone")

    world.disk.fault = dead
    world.close()
    world.disk.fault = lambda step: None
    assert world.count() == 1
    (warning,) = [text for text in world.sink.texts() if "good order" in text]
    assert "those of 0 due and 1 suspended messages that were being sent may be delivered twice" in warning


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_spool_of_an_older_format_is_taken_over(world: World, version: int) -> None:
    message = world.store()
    world.close()
    today = sqlite3.connect(f"{world.directory}/spool.db")
    rows = {table: today.execute(f"SELECT * FROM {table}").fetchall() for table in ("message", "content", "recipient")}
    today.close()
    os.unlink(f"{world.directory}/spool.db")
    connection = sqlite3.connect(f"{world.directory}/spool.db")
    for statement in itertools.chain(*MIGRATIONS[:version]):
        connection.execute(statement)
    for table, found in rows.items():
        width = len(connection.execute(f"PRAGMA table_info ({table})").fetchall())
        places = ",".join("?" * width)
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", [row[:width] for row in found])
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    (loaded,) = world.load(message.id)
    assert (loaded.id, loaded.status, loaded.failures) == (message.id, MessageStatus.NORMAL, 0)
    assert world.content(loaded) == b"Subject: x\r\n\r\nbody\r\n"
    assert not any("uncertain" in text for text in world.sink.texts())


def test_parameters_of_the_first_format_are_read(world: World) -> None:
    message = world.store(parameters=MailParameters(1234, "8BITMIME", "HDRS", "id+1"))
    world.close()
    connection = sqlite3.connect(f"{world.directory}/spool.db")
    connection.execute("UPDATE message SET parameters = ?", ('[1234, "8BITMIME", "HDRS", "id+1"]',))
    connection.commit()
    connection.close()
    assert world.load(message.id)[0].parameters == message.parameters


def test_what_is_due_in_years_is_due_now(world: World) -> None:
    """It was put off by a clock that was wrong."""
    far, near = world.store(b"1"), world.store(b"2")
    for message, when in ((far, 10 * YEAR), (near, 30 * 86400.0)):
        world.wait(world.spool.record(message, defer(when, *message.recipients)))
    world.close()
    assert world.wait(world.spool.due(1.0, 10)) == [(0.0, far.id)]
    assert world.wait(world.spool.due(YEAR, 10)) == [(0.0, far.id), (30 * 86400.0, near.id)]
