"""The small parts: queue of jobs, slots, alarm, retry steps, verdict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.schedule.fakes import LATER, NEVER, OK, message
from twistedrelay.config.schema import Transport
from twistedrelay.schedule.alarm import SLICE, Alarm
from twistedrelay.schedule.jobs import JobQueue
from twistedrelay.schedule.retry import lane_interval
from twistedrelay.schedule.slots import Slots
from twistedrelay.schedule.verdict import judge
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind, RecipientState


def jobs(number: int, count: int) -> list[Job]:
    """Of mail to many."""
    about = message(number)
    return [Job(about, about.recipients * 20) for _ in range(count)]


def drained(queue: JobQueue) -> list[int]:
    order = []
    while (job := queue.pop()) is not None:
        order.append(job.message.id)
    return order


def test_messages_take_turns() -> None:
    queue = JobQueue()
    queue.append(jobs(1, 3))
    queue.append(jobs(2, 1))
    queue.append(jobs(3, 2))
    assert len(queue) == 6
    assert drained(queue) == [1, 2, 3, 1, 3, 1]
    assert len(queue) == 0


def test_put_back_goes_in_front() -> None:
    queue = JobQueue()
    queue.append(jobs(1, 2))
    queue.append(jobs(2, 1))
    first = queue.pop()
    assert first is not None
    queue.put_back(first)
    assert queue.pop() is first


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["add", "pop", "back", "extract", "drain"]), st.integers(1, 4)), max_size=60))
def test_the_queue_loses_and_doubles_nothing(steps: list[tuple[int, str, int]]) -> None:
    queue = JobQueue()
    inside: set[int] = set()
    everything: dict[int, Job] = {}
    taken: list[Job] = []
    for number, action, count in steps:
        if action == "add":
            for job in (added := jobs(number, count)):
                everything[id(job)] = job
                inside.add(id(job))
            queue.append(added)
        elif action == "pop":
            popped = queue.pop()
            assert (popped is None) == (not inside)
            if popped is not None:
                inside.remove(id(popped))
                taken.append(popped)
        elif action == "back" and taken:
            job = taken.pop()
            queue.put_back(job)
            inside.add(id(job))
        elif action == "extract":
            for job in queue.extract(lambda job: job.message.id == number):  # noqa: B023
                inside.remove(id(job))
        elif action == "drain":
            for job in queue.drain():
                inside.remove(id(job))
        assert sorted(map(id, queue)) == sorted(inside)
        assert len(queue) == len(inside)


@given(st.integers(1, 200), st.integers(0, 15), st.integers(0, 15))
def test_retry_steps_never_get_shorter(failures: int, glitches: int, transients: int) -> None:
    settings = Transport.model_construct(queue_glitch_retry_count=glitches, transient_failure_retry_count=transients)
    interval = lane_interval(failures, settings)
    assert interval == (60 if failures <= glitches else 300 if failures <= glitches + transients else 600)
    assert lane_interval(failures + 1, settings) >= interval


class Sleeper:
    def __init__(self) -> None:
        self.woken: list[float] = []

    def wake(self, now: float) -> None:
        self.woken.append(now)


def test_one_timer_for_all() -> None:
    clock = Clock()
    alarm = Alarm(clock)
    sleeper = Sleeper()
    for when in (30.0, 10.0, 20.0):
        alarm.at(when, sleeper)
        assert len(clock.getDelayedCalls()) == 1
    clock.advance(10)
    clock.advance(10)
    clock.advance(10)
    assert sleeper.woken == [10, 20, 30]
    assert clock.getDelayedCalls() == []


def test_many_that_are_due_at_once_are_woken_in_slices_and_in_their_order() -> None:
    clock = Clock()
    alarm = Alarm(clock)
    woken: list[object] = []

    class Slow:
        def __init__(self, number: int) -> None:
            self.number = number

        def wake(self, now: float) -> None:
            clock.rightNow += SLICE * 0.4
            woken.append(self.number)

    for number in range(10):
        alarm.at(1.0, Slow(number))
    clock.callLater(1.0 + SLICE / 2, woken.append, "others have their turn")
    clock.advance(1.0)
    assert woken == [0, 1, 2, "others have their turn", 3, 4, 5, 6, 7, 8, 9]


def test_an_alarm_set_for_now_waits_for_the_next_turn() -> None:
    clock = Clock()
    alarm = Alarm(clock)

    class Again(Sleeper):
        def wake(self, now: float) -> None:
            super().wake(now)
            if len(self.woken) < 3:
                alarm.at(now, self)
                turns.append(len(clock.getDelayedCalls()))

    turns: list[int] = []
    again = Again()
    alarm.at(0, again)
    assert again.woken == []
    clock.advance(0)
    assert len(again.woken) == 3
    assert turns == [1, 1]  # each time by a call of its own
    alarm.stop()
    alarm.at(1, again)
    assert clock.getDelayedCalls() == []


class Asker:
    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.granted = 0

    def slot_free(self) -> None:
        if self.slots.take(self):
            self.granted += 1


def test_slots_go_round() -> None:
    slots = Slots(1)
    first, second, third = (Asker(slots) for _ in range(3))
    assert slots.take(first)
    assert not slots.take(second)
    assert not slots.take(third)
    assert slots.contended
    slots.release(first)
    assert (second.granted, third.granted) == (1, 0)
    slots.forget(third)
    slots.release(second)
    assert third.granted == 0
    assert slots.used == 0


def test_verdict_sorts_by_what_has_to_be_done() -> None:
    settings = Transport.model_construct(delay_notification_timeout=100.0, message_expiration_timeout=1000.0)
    people = message(1, "a@x", "b@x", "c@x")
    kinds = [(OutcomeKind.DELIVERED, OK), (OutcomeKind.DEFERRED, LATER), (OutcomeKind.FAILED, NEVER)]
    outcomes = [Outcome(each, kind, reply) for each, (kind, reply) in zip(people.recipients, kinds, strict=True)]
    early = judge(people, outcomes, 50, settings, 350)
    assert (early.settled, early.failed, early.delayed) == ([outcomes[0], outcomes[1]], [outcomes[2]], [])
    assert people.recipients[0].state is RecipientState.DELIVERED
    assert people.recipients[1].next_attempt == 350
    assert people.recipients[2].state is RecipientState.READY  # until the report is made
    assert [each.attempts for each in people.recipients] == [1, 1, 1]
    assert judge(people, outcomes[1:2], 100, settings, 400).delayed == [outcomes[1]]
    people.recipients[1].delay_notified = True
    assert judge(people, outcomes[1:2], 999, settings, 400).settled == [outcomes[1]]
    (late,) = judge(people, outcomes[1:2], 1000, settings, 400, attempted=False).failed
    assert late.reply.enhanced == "4.4.7"
    assert people.recipients[1].attempts == 3
