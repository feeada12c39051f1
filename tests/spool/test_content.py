"""Contents: what stays in memory, what goes to a file, and that nothing is left behind."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

from tests.network import PATIENCE
from tests.spool.world import World, deliver, failing
from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.content import PIECE, slice_of
from twistedrelay.values.envelope import Outcome, OutcomeKind, RecipientState
from twistedrelay.values.reply import BAD_RECIPIENT

LARGE = bytes(range(256)) * 4000  # 1,024,000 octets


def test_small_content_never_touches_bodies(world: World) -> None:
    message = world.store(b"x" * 65536)
    assert world.bodies() == []
    assert message.content.in_memory() == [b"x" * 65536]
    assert world.wait(message.content.read(65530, 100)) == b"x" * 6


def test_large_content_is_a_file_until_the_message_ends(world: World) -> None:
    message = world.store(LARGE)
    assert len(world.bodies()) == 1
    assert b"".join(message.content.in_memory() or ()) == LARGE
    world.close()
    (loaded,) = world.load(message.id)
    assert loaded.content.in_memory() is None
    assert world.content(loaded) == LARGE
    world.wait(world.spool.record(loaded, deliver(*loaded.recipients)))
    world.close()
    assert world.bodies() == []


def test_file_and_its_name_are_durable_before_the_row(world: World) -> None:
    message = world.message(LARGE)
    world.disk.steps.clear()
    order: list[str] = []
    world.disk.fault = order.append
    world.wait(world.spool.store(message))
    assert order.index("sync") < order.index("sync_directory") < order.index("before COMMIT")
    assert max(number for number, step in enumerate(order) if step == "write") < order.index("sync")


def test_content_waits_for_the_disk_within_its_backlog(world: World) -> None:
    gate = threading.Event()

    def slow(step: str) -> None:
        if step == "write":
            gate.wait(PATIENCE)

    world.options["cache_each"] = 0
    writer = world.spool.new_content()
    world.disk.fault = slow
    for _ in range(100):
        writer.write(b"z" * 10_000)
    assert writer.backlog() == writer.size == 1_000_000
    assert writer.in_memory() is None
    drained = writer.drained()
    gate.set()
    world.wait(drained)
    assert writer.backlog() == 0
    assert world.wait(writer.read(999_990, 100)) == b"z" * 10
    writer.abort()


def test_pieces_are_written_while_they_arrive(world: World) -> None:
    writer = world.spool.new_content()
    for _ in range(40):
        writer.write(b"a" * (PIECE // 4))
    world.reactor.until(lambda: writer.backlog() < PIECE)
    writer.abort()
    world.close()
    assert world.bodies() == []


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_abort_leaves_nothing_and_may_be_repeated(world: World, size: int) -> None:
    message = world.message(b"a" * size)
    writer: Any = message.content
    writer.abort()
    writer.abort()
    writer.write(b"late")
    assert writer.backlog() == 0
    with pytest.raises(SpoolError):
        world.wait(world.spool.store(message))
    world.close()
    assert world.bodies() == []
    assert world.count() == 0


def test_abort_tells_those_who_wait(world: World) -> None:
    writer = world.spool.new_content()
    writer.write(LARGE)
    drained = writer.drained()
    writer.abort()
    with pytest.raises(SpoolError):
        world.wait(drained)


@pytest.mark.parametrize(
    ("step", "number", "code"), [("create", errno.ENOSPC, 452), ("write", errno.EDQUOT, 452), ("sync", errno.EIO, 451)]
)
def test_disk_refuses_a_large_content(world: World, step: str, number: int, code: int) -> None:
    message = world.message()  # the spool is open
    large: Any = world.spool.new_content()
    world.disk.fault = failing(step, number)
    large.write(LARGE)
    message.content = large
    with pytest.raises(SpoolError) as refused:
        world.wait(world.spool.store(message))
    assert refused.value.reply.code == code
    world.reactor.until(lambda: world.health[-1:] == [(True, "")])
    assert world.health[0][0] is False
    assert world.count() == 0
    world.close()
    assert world.bodies() == []


def test_back_pressure_hears_of_a_sick_disk(world: World) -> None:
    writer = world.spool.new_content()
    world.disk.fault = failing("write", errno.ENOSPC)
    writer.write(LARGE)
    with pytest.raises(SpoolError) as refused:
        world.wait(writer.drained())
    assert refused.value.reply.code == 452
    with pytest.raises(SpoolError):
        world.wait(writer.drained())
    world.reactor.until(lambda: world.spool.healthy)


def test_short_writes_are_completed(world: World) -> None:
    whole = type(world.disk).write_some

    def short(descriptor: int, pieces: Any) -> int:
        return whole(world.disk, descriptor, [memoryview(pieces[0])[:70_001]])

    world.disk.write_some = short  # type: ignore[method-assign]
    message = world.store(LARGE)
    world.close()
    assert world.content(world.load(message.id)[0]) == LARGE


def test_hot_contents_share_one_budget(world: World) -> None:
    world.options.update(cache_budget=250_000, cache_each=120_000)
    first, second, third = (world.store(b"h" * 100_000) for _ in range(3))
    assert [message.content.in_memory() is not None for message in (first, second, third)] == [False, True, True]
    assert world.store(b"h" * 130_000).content.in_memory() is None
    third = world.store(b"h" * 100_000)
    world.wait(world.spool.record(second, deliver(*second.recipients)))
    fourth = world.store(b"h" * 100_000)
    assert third.content.in_memory() is not None
    assert fourth.content.in_memory() is not None
    assert world.content(first) == b"h" * 100_000


def test_damaged_file_fails_the_read_only(world: World) -> None:
    message = world.store(LARGE)
    world.close()
    (loaded,) = world.load(message.id)
    for name in world.bodies():
        world.disk.unlink(f"{world.directory}/bodies/{name}")
    with pytest.raises(SpoolError) as refused:
        world.wait(loaded.content.read(0, 10))
    assert refused.value.reply.code == 451
    assert world.spool.healthy


@pytest.mark.parametrize("offset", range(8))
def test_slices_of_chunks(offset: int) -> None:
    chunks = [b"ab", b"", b"cde", b"f"]
    assert [slice_of(chunks, offset, length) for length in range(8)] == [b"abcdef"[offset : offset + length] for length in range(8)]


def test_large_report(world: World) -> None:
    message = world.store()
    report = world.message(LARGE)
    world.wait(report.content.finish())
    world.wait(world.spool.record(message, deliver(*message.recipients), [report]))
    (loaded,) = world.load(report.id)
    assert world.content(loaded) == LARGE


@pytest.mark.parametrize("step", ["create", "write", "sync"])
def test_report_that_cannot_be_written_is_never_recorded(world: World, step: str) -> None:
    """Whoever makes the report hears of it before anybody is given up."""
    message = world.store()
    content = world.spool.new_content()
    world.disk.fault = failing(step, errno.ENOSPC)
    content.write(LARGE)
    with pytest.raises(SpoolError) as refused:
        world.wait(content.finish())
    assert refused.value.reply.code == 452
    world.reactor.until(lambda: world.spool.healthy)
    world.close()
    assert world.bodies() == []
    assert [loaded.id for loaded in world.load(message.id)] == [message.id]


@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_finished_content_may_be_thrown_away(world: World, size: int) -> None:
    content = world.spool.new_content()
    content.write(b"x" * size)
    for _ in range(2):
        world.wait(content.finish())
    assert len(world.bodies()) == (size > 100_000)
    content.abort()
    content.abort()
    world.close()
    assert world.bodies() == []


def test_abort_comes_too_late_for_content_that_is_being_stored(world: World) -> None:
    messages = [world.message(b"small"), world.message(LARGE)]
    for message in messages:
        world.wait(message.content.finish())
        stored = world.spool.store(message)
        message.content.abort()
        world.wait(stored)
    world.close()
    assert [world.content(loaded) for loaded in world.load(*(message.id for message in messages))] == [b"small", LARGE]


@pytest.mark.parametrize("lost", [True, False])
def test_record_takes_only_reports_that_are_whole(world: World, lost: bool) -> None:
    """A report that was thrown away or is not finished: nothing of the result is recorded."""
    message = world.store()
    (recipient,) = message.recipients
    recipient.state = RecipientState.FAILED
    report = world.message(LARGE)
    if lost:
        report.content.abort()
    with pytest.raises(SpoolError):
        world.wait(world.spool.record(message, [Outcome(recipient, OutcomeKind.FAILED, BAD_RECIPIENT)], [report]))
    assert world.count() == 1
    world.close()
    assert world.bodies() == []


def test_a_queue_of_small_messages_costs_disk_and_not_memory(world: World) -> None:
    world.options["cache_budget"] = 500_000
    stored = [world.store(b"%05d" % number + b"x" * 50_000) for number in range(40)]

    def held() -> int:
        return sum(sum(map(len, message.content.in_memory() or ())) for message in stored)

    assert 0 < held() <= 500_000
    assert stored[0].content.in_memory() is None
    assert stored[-1].content.in_memory() is not None
    for number, message in enumerate(stored):  # what was dropped is read back
        assert world.wait(message.content.read(0, 5)) == b"%05d" % number
        assert world.wait(message.content.read(50_000, 100)) == b"x" * 5
    stored = world.load(*(message.id for message in stored))
    assert len(stored) == 40
    assert 0 < held() <= 500_000
    for message in stored:
        world.wait(world.spool.record(message, deliver(*message.recipients)))
    assert held() == 0
    assert world.count() == 0
