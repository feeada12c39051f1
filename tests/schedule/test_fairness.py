"""Which job goes next: priority, then sender, then message."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from tests.schedule.fakes import OK, World, message
from twistedrelay.schedule.jobs import EMPTY_FLOWS, MANY, JobQueue
from twistedrelay.values.envelope import Job, Message, Origin


def mail(number: int, who: str = "", recipients: int = 1, priority: int | None = None) -> Message:
    made = message(number, *(f"user{index}@there.example" for index in range(recipients)), priority=priority)
    made.origin = Origin(connector="Relay", client="192.0.2.1", user=who)
    return made


def put(queue: JobQueue, about: Message) -> None:
    people = about.recipients
    queue.append([Job(about, people[start : start + 100]) for start in range(0, len(people), 100)])


def order(queue: JobQueue, count: int = 10**6) -> list[int]:
    numbers = []
    while len(numbers) < count and (job := queue.pop()) is not None:
        numbers.append(job.message.id)
    return numbers


def test_a_single_message_does_not_wait_for_a_long_list_of_the_same_sender() -> None:
    queue = JobQueue()
    put(queue, mail(1, recipients=100_000))
    order(queue, 20)
    put(queue, mail(2))
    assert 2 in order(queue, 11)  # at most as many recipients of the list as two turns are worth


def test_many_lists_are_no_more_than_one() -> None:
    queue = JobQueue()
    for number in range(1, 101):
        put(queue, mail(number, recipients=100))
    for number in range(1000, 1020):
        put(queue, mail(number))
    early = order(queue, 25)
    assert sum(number >= 1000 for number in early) >= 18


def test_senders_share_by_recipients() -> None:
    queue = JobQueue()
    for number in range(2000):
        put(queue, mail(number, "busy"))
    order(queue, 10)
    for number in range(5000, 5040):
        put(queue, mail(number, "quiet"))
    early = order(queue, 100)
    assert sum(number >= 5000 for number in early) == 40
    assert order(queue)[-1] == 1999


def test_large_messages_cost_more_than_small_ones() -> None:
    queue = JobQueue()

    @attrs.frozen
    class Large:
        size = 5 * 1024 * 1024

    for number in range(100):
        large = mail(number, "large")
        large.content = Large()  # type: ignore[assignment]
        put(queue, large)
    for number in range(1000, 1400):
        put(queue, mail(number, "small"))
    early = order(queue, 200)
    assert sum(number < 100 for number in early) < 10


def test_the_higher_priority_goes_first_and_the_lower_ones_do_not_starve() -> None:
    queue = JobQueue()
    for number in range(100):
        put(queue, mail(number, priority=-4))
        put(queue, mail(1000 + number))
        put(queue, mail(2000 + number, priority=6))
    early = order(queue, 80)
    assert sum(number >= 2000 for number in early) == 70
    assert sum(1000 <= number < 2000 for number in early) == 5
    assert sum(number < 1000 for number in early) == 5
    assert len(order(queue)) == 220


def test_senders_that_never_come_back_leave_nothing_behind() -> None:
    queue = JobQueue()
    for number in range(5000):
        put(queue, mail(number, f"user{number}"))
        queue.pop()
    assert len(queue._flows) <= EMPTY_FLOWS


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "add", "pop", "few", "back", "extract", "drain"]),
            st.integers(1, 6),
            st.sampled_from(["", "a", "b"]),
            st.sampled_from([None, -3, 0, 5]),
            st.sampled_from([1, 2, 150, 350]),
        ),
        max_size=80,
    )
)
def test_whatever_happens_nothing_is_lost_or_doubled(steps: list[tuple[str, int, str, int | None, int]]) -> None:
    queue = JobQueue()
    inside: dict[int, Job] = {}
    taken: list[Job] = []
    number = 0
    for action, which, who, priority, recipients in steps:
        if action == "add":
            number += 1
            about = mail(number, who, recipients, priority)
            people = about.recipients
            jobs = [Job(about, people[start : start + 100]) for start in range(0, len(people), 100)]
            inside.update((id(job), job) for job in jobs)
            queue.append(jobs)
        elif action == "pop":
            popped = queue.pop()
            assert (popped is None) == (not inside)
            if popped is not None:
                del inside[id(popped)]
                taken.append(popped)
        elif action == "few":
            only_many = len(queue) == queue.many
            popped = queue.pop(few=True)
            assert (popped is None) == only_many
            if popped is not None:
                assert len(popped.recipients) <= MANY
                del inside[id(popped)]
                taken.append(popped)
        elif action == "back" and taken:
            job = taken.pop()
            queue.put_back(job)
            inside[id(job)] = job
        elif action == "extract":
            gone = queue.extract(lambda job: job.message.id % 6 + 1 == which)  # noqa: B023
            assert all(job.message.id % 6 + 1 == which for job in gone)
            for job in gone:
                del inside[id(job)]
        elif action == "drain":
            for job in queue.drain():
                del inside[id(job)]
        assert len(queue) == len(inside)
        assert sorted(map(id, queue)) == sorted(inside)
    left = 0
    while queue.pop() is not None:
        left += 1
    assert left == len(inside)


def test_mail_to_many_leaves_connections_to_other_mail() -> None:
    world = World()
    world.submit(message(1, *(f"user{number}@there.example" for number in range(1000))))
    world.sleep(0.2, step=0.02)
    taken = [run for run in world.runs if run.take() is not None]
    assert len(taken) == 4  # one of five is kept free
    assert all(run.lane.take() is None for run in world.runs)  # nor does anything wait behind a dot
    for run in world.runs[4:]:
        run.end()
    world.sleep(1, step=0.02)
    assert len(world.runs) == 5
    world.runs.pop()
    world.submit(message(2))
    world.clock.advance(0.03)
    run = world.runs[4]
    job = run.take()
    assert job is not None
    assert job.message.id == 2
    run.finish(OK)
    assert run.take() is None
    run.end()
    assert len(world.runs) == 5
    world.runs[0].finish(OK)
    assert world.runs[0].take() is not None


def test_mail_to_many_is_all_delivered() -> None:
    world = World()
    world.attempt.answer = lambda hop: OK
    world.submit(*(message(place, *(f"user{number}@there.example" for number in range(700)), sender="") for place in range(1, 8)))
    world.sleep(60)
    assert world.spool.disk == {}
    assert len(world.attempt.delivered) == 4900
