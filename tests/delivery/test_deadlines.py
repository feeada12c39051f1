"""Deadlines of many by one timer."""

from __future__ import annotations

from twisted.internet.task import Clock

from twistedrelay.delivery.deadlines import Deadlines


class Member:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.passed = 0

    def wait_on(self, seconds: float) -> None:
        self.deadline += seconds

    def deadline_passed(self) -> None:
        self.passed += 1
        self.deadline += 100


def test_those_who_are_late_are_told_and_only_those() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    early, late = Member(3), Member(10)
    deadlines.add(early)
    deadlines.add(late)
    clock.pump([0.5] * 8)
    assert (early.passed, late.passed) == (1, 0)
    late.deadline = 20
    clock.pump([1] * 10)
    assert late.passed == 0
    late.deadline = 15
    clock.pump([1] * 2)
    assert late.passed == 1, "a deadline may be made sooner"


def test_timer_runs_only_while_somebody_is_there() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    member = Member(5)
    assert clock.getDelayedCalls() == []
    deadlines.add(member)
    clock.advance(1)
    assert len(clock.getDelayedCalls()) == 1
    deadlines.remove(member)
    deadlines.remove(member)
    assert clock.getDelayedCalls() == []


def test_member_that_leaves_while_told() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)

    class Leaver(Member):
        def deadline_passed(self) -> None:
            deadlines.remove(self)

    deadlines.add(Leaver(0.5))
    clock.advance(1)
    assert clock.getDelayedCalls() == []


def test_a_defect_of_one_keeps_no_other_from_its_deadline() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)

    class Broken(Member):
        def deadline_passed(self) -> None:
            super().deadline_passed()
            raise RuntimeError("a defect")

    members = [Broken(0.5), Member(0.5), Broken(0.5), Member(0.5)]
    for member in members:
        deadlines.add(member)
    clock.advance(1)
    assert [member.passed for member in members] == [1, 1, 1, 1]
    clock.pump([1] * 101)
    assert [member.passed for member in members] == [2, 2, 2, 2]


def test_a_clock_that_is_set_makes_nobody_late() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    member = Member(10)
    deadlines.add(member)
    for jump in (7200.0, -9000.0):
        clock.rightNow += jump
        for call in clock.getDelayedCalls():
            call.delay(jump)
        deadlines.wait_on(jump)
        clock.pump([1] * 4)
        assert member.passed == 0
    clock.pump([1] * 3)
    assert member.passed == 1
