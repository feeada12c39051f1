"""Many of one kind: dead next hops, senders, recipients, reports at once."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed

from tests.schedule.fakes import OK, Run, World, message, outcomes
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.condition import Condition
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.jobs import JobQueue
from twistedrelay.schedule.memory import Memory
from twistedrelay.schedule.pace import TOGETHER, Pace
from twistedrelay.schedule.removal import PAGE
from twistedrelay.schedule.slots import Slots
from twistedrelay.schedule.turns import PIECE
from twistedrelay.values.envelope import Job, Message, Origin
from twistedrelay.values.reply import LOCAL_ERROR, Reply


class Asker:
    """A lane that asks for a slot, now and whenever it is told to."""

    def __init__(self, slots: Slots, probe: bool) -> None:
        self.slots = slots
        self.probe = probe
        self.asked = self.granted = 0

    def slot_free(self) -> None:
        self.asked += 1
        self.granted += self.slots.take(self, probe=self.probe)


def test_dead_hops_that_wait_for_their_half_are_not_asked_in_vain_and_hold_up_nobody() -> None:
    slots = Slots(10)
    dead = [Asker(slots, True) for _ in range(1000)]
    healthy = [Asker(slots, False) for _ in range(5)]
    for each in (*dead, *healthy):
        each.slot_free()
    assert [each.granted for each in healthy] == [1] * 5
    assert sum(each.granted for each in dead) == 5
    assert not slots.contended  # the five that work need not make room: no dead one could have it
    slots.release(healthy[0])
    assert sum(each.asked for each in dead) == 1000
    slots.release(dead[0], probe=True)
    assert (dead[5].granted, sum(each.asked for each in dead)) == (1, 1001)


def test_a_dead_hop_gets_its_turn_while_others_always_wait() -> None:
    slots = Slots(2)
    busy = [Asker(slots, False) for _ in range(4)]
    probe = Asker(slots, True)
    for each in (*busy[:3], probe, busy[3]):
        each.slot_free()
    slots.release(busy[0])
    assert (busy[2].granted, probe.granted) == (1, 0)
    slots.release(busy[1])
    assert (probe.granted, busy[3].granted) == (1, 0)


def of(number: int, client: str, recipients: int = 1) -> Message:
    made = message(number, *(f"u{each}@there.example" for each in range(recipients)))
    made.origin = Origin("SMTP", "Default", client, "h", "", "s")
    return made


def taken(run: Run) -> int:
    job = run.take()
    assert job is not None
    return job.message.id


def add(queue: JobQueue, each: Message) -> None:
    queue.append([Job(each, each.recipients)])


def test_senders_take_turns_also_in_the_places_that_mail_to_many_leaves() -> None:
    queue = JobQueue()
    for number in range(20):
        add(queue, of(number, "10.0.0.1"))
    add(queue, of(100, "10.0.0.9", recipients=50))
    add(queue, of(200, "10.0.0.2"))
    first = [queue.pop(few=True) for _ in range(3)]
    assert 200 in [job.message.id for job in first if job]


def test_flows_are_not_sorted_out_for_each_new_one() -> None:
    queue = JobQueue()
    for number in range(3000):
        add(queue, of(number, f"2001:db8::{number:x}"))
    assert queue._most_flows > 3000
    assert Counter(job.message.origin.client for job in iter(queue.pop, None) if job).total() == 3000
    for number in range(2000):
        add(queue, of(number, f"2001:db8:1::{number:x}"))
        queue.pop()
    assert len(queue._flows) <= 8000


def test_long_lists_weigh_more() -> None:
    memory = Memory()
    world = World()
    for each in (of(1, "10.0.0.1"), of(2, "10.0.0.1", recipients=1000)):
        memory[each.id] = Entry.of(each, world.scheduler)
    assert memory.weight == 12
    del memory[2]
    assert memory.weight == 1


def test_long_lists_leave_memory_before_they_fill_it() -> None:
    world = World(window=40)
    world.submit(*(message(number, *(f"u@d{number}-{each}.example" for each in range(400))) for number in range(1, 30)))
    assert world.scheduler.room() > -10
    assert len(world.scheduler._entries) < 10


def test_only_few_pieces_of_work_are_under_way() -> None:
    pace: Pace[int] = Pace(2)
    begun: list[Deferred[int]] = []

    def work() -> Deferred[int]:
        begun.append(Deferred())
        return begun[-1]

    results: list[int] = []
    for _ in range(4):
        pace.run(work).addCallback(results.append)
    assert len(begun) == 2
    begun[1].callback(7)
    assert (len(begun), results) == (3, [7])
    assert pace.drop() == 1
    begun[0].callback(8)
    assert (len(begun), results) == (3, [7, 8])


def test_work_that_ends_at_once_does_not_nest() -> None:
    pace: Pace[int] = Pace(1)
    first: Deferred[int] = Deferred()
    pace.run(lambda: first)
    done: list[int] = []
    for number in range(5000):
        pace.run(partial(_at_once, number)).addCallback(done.append)
    first.callback(0)
    assert done == list(range(5000))


def _at_once(number: int) -> Deferred[int]:
    return succeed(number)


def test_a_domain_that_does_not_exist_returns_thousands_a_few_at_a_time() -> None:
    world = World()
    world.submit(*(message(number) for number in range(1, 101)))
    world.spool.hold = True
    for run in world.runs:
        run.end(Reply(550, "5.4.4", "The domain does not exist"))
    assert len(world.reporter.failures) == TOGETHER
    while world.spool.held:
        world.spool.commit()
    assert len(world.reporter.failures) == 100
    assert len(world.scheduler._entries) == 100  # the reports


def test_a_message_that_is_being_suspended_does_not_leave_any_more() -> None:
    world = World()
    setting: Deferred[int] = Deferred()
    world.spool.set_status = lambda *_: setting  # type: ignore[method-assign]
    world.submit(message(1), message(2))
    world.scheduler.suspend_message(1)
    (run, *_) = world.runs
    assert taken(run) == 2
    run.finish(OK)
    assert run.take() is None
    setting.errback(SpoolError("the spool is sick", LOCAL_ERROR))
    world.sleep(1)
    assert taken(run) == 1


def test_a_message_whose_last_recipient_was_reached_while_it_is_suspended_leaves_memory() -> None:
    for fails in (True, False):
        world = World()
        setting: Deferred[int] = Deferred()
        world.spool.set_status = lambda *_, setting=setting: setting  # type: ignore[method-assign]
        world.submit(message(1))
        (run,) = world.runs
        run.take()
        waiting = world.scheduler.suspend_message(1).addErrback(bool)
        run.finish(OK)
        if fails:
            setting.errback(SpoolError("the spool is sick", LOCAL_ERROR))
        else:
            setting.callback(0)
        assert waiting.called
        assert world.scheduler.room() == 1000
        assert not world.spool.disk


def test_the_queues_are_looked_at_in_pieces() -> None:
    world = World(window=10_000)
    for number in range(1, 2501):
        waiting = message(number)
        waiting.recipients[0].next_attempt = 5000.0
        world.scheduler.adopt(world.spool.put(waiting))
    shown: list[Any] = []
    world.scheduler.look().addCallback(shown.append)
    world.scheduler.look().addCallback(shown.append)
    assert shown == []
    world.clock.advance(0)
    assert shown[0] == shown[1] == world.scheduler.lanes()
    assert [(view.identity, view.deferred_message_count) for view in shown[0]] == [("there.example", 2500)]


def test_a_queue_that_has_no_lane_yet_is_found_by_what_waits_for_it() -> None:
    world = World()
    waiting = message(1)
    waiting.recipients[0].next_attempt = 5000.0
    world.scheduler.adopt(world.spool.put(waiting))
    answers: list[bool] = []
    for identity in ("there.example", "nowhere.example", "Unreachable"):
        world.scheduler.queues.suspend(identity).addCallback(answers.append)
    assert answers == [True, False, False]


def test_a_next_hop_that_asks_for_less_for_years_costs_no_memory() -> None:
    condition = Condition(10)
    for number in range(5000):
        each = message(number)
        job = Job(each, each.recipients)
        condition.heard(job, outcomes(job, Reply(432, "4.3.2", "Concurrent connections limit exceeded")))
        condition.success()
    assert len(condition._kept) <= 1000


def test_after_a_pause_the_lanes_go_on_in_pieces() -> None:
    world = World(max_outbound_connections=None)
    world.scheduler.pause()
    for number in range(3 * PIECE):
        world.submit(message(number + 1, f"user@d{number}.example"))
    world.scheduler.resume()
    assert len(world.runs) == PIECE
    world.scheduler.pause()  # sick again
    world.sleep(2, step=0.5)
    assert len(world.runs) == PIECE
    world.scheduler.resume()
    world.clock.advance(0)
    assert len(world.runs) == 3 * PIECE


def test_many_removals_are_recorded_a_page_at_a_time_and_none_of_them_is_sent_meanwhile() -> None:
    world = World()
    world.scheduler.pause()
    for number in range(2 * PAGE + 1):
        world.submit(message(number + 1))
    world.spool.hold = True
    removed: list[int] = []
    world.scheduler.messages.remove(range(1, 2 * PAGE + 2), True).addCallback(removed.append)
    assert len(world.spool.held) == PAGE
    world.scheduler.resume()
    world.sleep(1)
    assert world.runs == []
    world.spool.commit()
    assert removed == [2 * PAGE + 1]
    assert len(world.reporter.failures) == 2 * PAGE + 1
    assert set(world.spool.disk) == set(range(900_001, 900_002 + 2 * PAGE))
