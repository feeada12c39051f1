"""A disk that fails: who is told what, and that nothing half-written is ever seen."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Callable

import pytest

from tests.network import PATIENCE
from tests.spool.world import World, defer, deliver, failing
from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.disk import disk_is_full
from twistedrelay.values.envelope import MessageStatus

STEPS = ["before BEGIN", "before INSERT INTO message", "before INSERT INTO recipient", "before COMMIT", "after COMMIT"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 452), (errno.EIO, 451)])
def test_refused_store_is_not_in_the_spool(world: World, step: str, number: int, code: int) -> None:
    kept = world.store()
    world.disk.fault = _typed(step, number)
    answers = [world.spool.store(world.message()) for _ in range(3)]
    for answer in answers:
        with pytest.raises(SpoolError) as refused:
            world.wait(answer)
        assert refused.value.reply.code == code
    world.reactor.until(lambda: world.health[-1:] == [(True, "")])
    assert world.spool.healthy
    assert world.count() == 1
    world.close()
    assert [message.id for message in world.load(kept.id)] == [kept.id]
    assert world.count() == 1


def test_a_change_that_surely_was_not_done_fails(world: World) -> None:
    message = world.store()
    world.disk.fault = failing("before UPDATE message", errno.EIO)
    with pytest.raises(SpoolError, match=r"disk I/O error$"):
        world.wait(world.spool.set_status([message.id], MessageStatus.SUSPENDED))
    world.reactor.until(lambda: world.spool.healthy)
    (loaded,) = world.load(message.id)
    assert loaded.status is MessageStatus.NORMAL


@pytest.mark.parametrize("step", ["before COMMIT", "after COMMIT"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_change_that_perhaps_was_done_is_done_and_told_with_its_number(world: World, step: str, times: int) -> None:
    """The commit failed, which says nothing of what it did: nobody is told before it is known."""
    messages = [world.store() for _ in range(3)]
    ids = [message.id for message in messages]
    world.disk.fault = failing(step, errno.EIO, times)
    suspending = world.spool.set_status(ids, MessageStatus.SUSPENDED, None, MessageStatus.NORMAL)
    redirecting, remembering = world.spool.redirect(ids, "[192.0.2.9]"), world.spool.remember("queue:x", "y")
    assert world.wait(suspending) == 3
    assert world.wait(redirecting) == 3
    world.wait(remembering)
    world.reactor.until(lambda: world.spool.healthy)
    assert [(loaded.status, loaded.redirect) for loaded in world.load(*ids)] == [(MessageStatus.SUSPENDED, "[192.0.2.9]")] * 3
    assert world.wait(world.spool.remembered()) == {"queue:x": "y"}


def test_at_the_end_nobody_knows_whether_it_was_done_and_that_is_said(world: World) -> None:
    message = world.store()
    broken = threading.Event()

    def fault(step: str) -> None:
        if step == "after COMMIT" or broken.is_set():
            broken.set()
            raise sqlite3.OperationalError("disk I/O error")

    world.disk.fault = fault
    suspending = world.spool.set_status([message.id], MessageStatus.SUSPENDED)
    world.reactor.until(lambda: not world.spool.healthy)
    world.close()
    with pytest.raises(SpoolError, match="may be done all the same"):
        world.wait(suspending)


def _typed(step: str, number: int) -> Callable[[str], None]:
    """Fail once at a step, in the way of a full or a broken disk; whatever follows in the same batch is refused with it."""
    done = False

    def fault(seen: str) -> None:
        nonlocal done
        if seen.startswith(step) and not done:
            done = True
            error = sqlite3.OperationalError("the disk")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if number == errno.ENOSPC else sqlite3.SQLITE_IOERR
            raise error

    return fault


def test_the_reason_is_told_until_the_recovery_is_heard_of(world: World) -> None:
    """The disk was full, has room again, and the reactor is told in a moment: what is refused until then has the same reason."""
    world.store()
    world.disk.fault = _typed("before BEGIN", errno.ENOSPC)
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(world.message()))
    deadline = time.monotonic() + 30
    while world.spool._writer.sick is not None and time.monotonic() < deadline:
        time.sleep(0.001)  # the reactor does not turn
    assert not world.spool.healthy
    with pytest.raises(SpoolError) as refused:
        world.wait(world.spool.store(world.message()))
    assert refused.value.reply.code == 452


def test_a_log_that_cannot_grow_its_index_is_a_full_disk() -> None:
    """SQLite tells that as an error of input and output."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert disk_is_full(error)


@pytest.mark.parametrize("step", ["before COMMIT", "after COMMIT"])
def test_failed_commit_is_uncertain_until_it_is_settled(world: World, step: str) -> None:
    world.store()
    world.disk.fault = failing(step, errno.EIO)
    message = world.message()
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    assert not world.spool.healthy
    world.reactor.until(lambda: world.spool.healthy)
    texts = world.sink.texts()
    assert any(text.startswith("uncertain") and str(message.id) in text for text in texts)
    assert any("taken out" in text for text in texts) == (step == "after COMMIT")
    assert world.load(message.id) == []


@pytest.mark.parametrize("step", [STEPS[0], "before DELETE", *STEPS[3:]])
def test_what_a_remote_said_is_kept_until_it_is_written(world: World, step: str) -> None:
    delivered, deferred = world.store(), world.store()
    report = world.message(b"report")
    world.disk.fault = failing(step, errno.EIO, 3)
    answers = [
        world.spool.record(delivered, deliver(*delivered.recipients), [report]),
        world.spool.record(deferred, defer(77.0, *deferred.recipients)),
    ]
    for answer in answers:
        world.wait(answer)
    world.reactor.until(lambda: world.spool.healthy)
    world.close()
    assert world.load(delivered.id) == []
    assert world.content(world.load(report.id)[0]) == b"report"
    assert world.wait(world.spool.due(100.0, 10)) == [(0.0, report.id), (77.0, deferred.id)]


def test_no_intake_while_the_disk_is_sick(world: World) -> None:
    message = world.store()
    broken = True

    def fault(step: str) -> None:
        if (broken and step == "write") or (step == "before COMMIT" and broken):
            raise OSError(errno.ENOSPC, "No space left on device")

    world.disk.fault = fault
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(world.message()))
    world.reactor.until(lambda: not world.spool.healthy)
    recorded = world.spool.record(message, deliver(*message.recipients))
    for _ in range(3):
        refused = world.spool.store(world.message())
        with pytest.raises(SpoolError) as error:
            world.wait(refused)
        assert error.value.reply.code == 452
    assert not recorded.called
    assert world.count() == 1
    broken = False
    world.wait(recorded)
    world.reactor.until(lambda: world.spool.healthy)
    assert world.count() == 0
    assert [healthy for healthy, _ in world.health] == [False, True]
    world.store()


def test_sick_directory_sync_refuses_large_content(world: World) -> None:
    message = world.message(b"d" * 200_000)
    world.disk.fault = failing("sync_directory", errno.EIO)
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    world.reactor.until(lambda: world.spool.healthy)
    world.close()
    assert world.count() == 0
    assert world.bodies() == []


def test_close_of_a_sick_spool_ends(world: World) -> None:
    message = world.store()
    unsure = world.message()
    spool = world.spool
    world.disk.fault = failing("before COMMIT", errno.EIO, 1000)
    with pytest.raises(SpoolError):
        world.wait(spool.store(unsure))
    recorded = spool.record(message, deliver(*message.recipients))
    world.close()
    with pytest.raises(SpoolError):
        world.wait(recorded)
    world.disk.fault = lambda step: None
    assert [loaded.id for loaded in world.load(message.id, unsure.id)] == [message.id]


def test_report_of_a_doubtful_commit_keeps_its_file_over_a_sick_close(world: World) -> None:
    """The row may be in the store: without its file it would be parked for ever."""
    message = world.store()
    report = world.message(b"r" * 200_000)
    world.wait(report.content.finish())
    committed = False

    def fault(step: str) -> None:
        nonlocal committed
        if committed or step == "after COMMIT":
            committed = True
            raise OSError(errno.EIO, "Input/output error")

    world.disk.fault = fault
    recorded = world.spool.record(message, deliver(*message.recipients), [report])
    world.close()
    with pytest.raises(SpoolError):
        world.wait(recorded)
    world.disk.fault = lambda step: None
    (loaded,) = world.load(report.id)
    assert world.content(loaded) == b"r" * 200_000
    assert world.wait(world.spool.due(1.0, 10)) == [(0.0, report.id)]
    assert world.load(message.id) == []


def test_refused_message_of_a_doubtful_commit_keeps_its_file_over_a_sick_close(world: World) -> None:
    """Its sender was told that this is uncertain; but a row without its file would be parked for ever."""
    message = world.message(b"m" * 200_000)
    broken = False

    def fault(step: str) -> None:
        nonlocal broken
        broken = broken or step == "after COMMIT"
        if broken:
            raise OSError(errno.EIO, "Input/output error")

    world.disk.fault = fault
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    world.close()
    world.disk.fault = lambda step: None
    (loaded,) = world.load(message.id)
    assert world.content(loaded) == b"m" * 200_000
    assert world.wait(world.spool.due(1.0, 10)) == [(0.0, message.id)]


@pytest.mark.parametrize("step", ["before COMMIT", "after COMMIT"])
def test_refused_message_leaves_no_file_once_its_commit_is_settled(world: World, step: str) -> None:
    message = world.message(b"m" * 200_000)
    world.disk.fault = failing(step, errno.EIO)
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    world.reactor.until(lambda: world.spool.healthy)
    _wait_for_no_bodies(world)
    assert world.load(message.id) == []


def test_message_that_found_no_room_makes_room_at_once(world: World) -> None:
    """The disk may be full of what was refused: recovery needs the room that this takes."""
    message = world.message(b"m" * 200_000)
    full = True
    commit_failed = _typed("before COMMIT", errno.ENOSPC)

    def fault(step: str) -> None:
        commit_failed(step)
        if full and step == "connect":
            raise OSError(errno.ENOSPC, "No space left on device")

    world.disk.fault = fault
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    _wait_for_no_bodies(world)
    assert not world.spool.healthy
    full = False
    world.reactor.until(lambda: world.spool.healthy)


def _wait_for_no_bodies(world: World) -> None:
    end = time.monotonic() + 10.0
    while world.bodies() and time.monotonic() < end:
        world.reactor.drain(0.01)
    assert world.bodies() == []


def test_unusable_directory_is_a_clear_error(world: World) -> None:
    with open(world.directory, "w"):
        pass
    with pytest.raises(SpoolError, match="cannot open the spool"):
        assert world.spool


def test_the_writer_lives_on_when_what_waited_was_refused(world: World) -> None:
    committing, gate = threading.Event(), threading.Event()
    fail = failing("before COMMIT", errno.EIO)

    def fault(step: str) -> None:
        if step == "before COMMIT" and not committing.is_set():
            committing.set()
            gate.wait(PATIENCE)
        fail(step)

    messages = [world.message() for _ in range(3)]
    world.disk.fault = fault
    stores = [world.spool.store(messages[0])]
    assert committing.wait(PATIENCE)
    stores += [world.spool.store(message) for message in messages[1:]]  # urgent, and refused before the writer sees them
    gate.set()
    for store in stores:
        with pytest.raises(SpoolError):
            world.wait(store)
    world.reactor.until(lambda: world.spool.healthy)
    world.store(b"after")
    world.close()
    assert world.count() == 1
