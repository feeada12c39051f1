"""The time of day that does not jump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock

from twistedrelay.steady import FIRST, LASTING, SETTLED, SteadyClock

NOON = 1_790_000_000.0
DAY = 86400.0
YEARS = 3650 * DAY


class _Reactor(Clock):
    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Between two turns, which follow at once."""
        call(*arguments)


class Machine:
    """A machine whose clock may jump; its reactor goes by the steady clock."""

    def __init__(self) -> None:
        self.passed = 1000.0
        self.wrong = 0.0
        self.clock = SteadyClock(lambda: NOON + self.passed - 1000.0 + self.wrong, lambda: self.passed)
        self.reactor = _Reactor()
        self.told: list[str] = []

    def run(self, seconds: float) -> None:
        """Time passes, and the clock is looked at each second."""
        for _ in range(int(seconds)):
            self.passed += 1.0
            self.told += [f"{level}: {text}" for level, text in self.clock.look(self.reactor)]

    @property
    def now(self) -> float:
        """The steady time since noon."""
        return self.clock.seconds() - NOON

    @property
    def settled(self) -> float:
        """Likewise."""
        return self.clock.settled() - NOON


def test_a_clock_that_is_right() -> None:
    machine = Machine()
    machine.run(30)
    assert (machine.now, machine.told) == (30, [])


def test_some_seconds_of_another_decade_are_nothing() -> None:
    machine = Machine()
    machine.run(FIRST)
    machine.wrong = YEARS
    machine.run(50)
    assert (machine.now, machine.settled) == (FIRST + 50, FIRST + 50)
    machine.wrong = 0.0
    machine.run(1000)
    assert machine.now == FIRST + 1050
    assert machine.told == [
        "warn: the clock of this machine has jumped ahead by 3650 days, 0:00:00; it is believed if that lasts for 60 seconds",
        "info: the clock of this machine is right again",
    ]


def test_a_jump_that_lasts_is_believed_and_waits_stay_as_long() -> None:
    for jump in (-3600.0, 7200.0):
        machine = Machine()
        woken: list[float] = []
        call = machine.reactor.callLater(50.0, woken.append, 0.0)
        machine.wrong = jump
        machine.run(LASTING)
        assert machine.now == LASTING
        machine.run(1)
        assert machine.now == LASTING + 1 + jump
        assert call.getTime() == 50.0 + jump
        assert "and it is believed now; nothing is deleted for its age by the new time for 24 hours" in machine.told[1]
        machine.run(100)
        assert len(machine.told) == 2


def test_a_second_is_taken_at_once() -> None:
    machine = Machine()
    machine.wrong = 0.9
    machine.run(1)
    assert (round(machine.now, 3), machine.told) == (1.9, [])


def test_at_the_end_nothing_is_believed_any_more() -> None:
    machine = Machine()
    machine.wrong = -7200.0
    machine.run(LASTING)
    machine.clock.hold()
    machine.run(10)
    assert machine.now == LASTING + 10


def test_who_waits_is_told_of_what_is_believed() -> None:
    machine = Machine()
    told: list[float] = []
    machine.clock.when_set(told.append)
    machine.wrong = -7200.0
    machine.run(LASTING + 2)
    machine.wrong = 0.5
    machine.run(LASTING + 2)
    assert [round(seconds, 3) for seconds in told] == [-7200.0, 7200.5]


def test_a_clock_that_jumps_about_is_not_believed() -> None:
    machine = Machine()
    for number in range(1, 5):
        machine.wrong = number * 1000.0
        machine.run(LASTING - 10)
    assert machine.now == 4 * (LASTING - 10)
    assert len(machine.told) == 1


def test_what_deletes_believes_later() -> None:
    machine = Machine()
    assert machine.clock.settled() == 0.0, "nothing is deleted right after a start"
    machine.run(FIRST)
    assert machine.settled == FIRST
    machine.wrong = YEARS
    machine.run(LASTING + 2)
    assert machine.now > YEARS
    assert machine.settled == FIRST + LASTING + 2
    machine.passed += SETTLED - 2
    assert machine.settled < 2 * DAY
    machine.passed += 1
    assert machine.settled > YEARS


def test_a_jump_is_not_settled_for_a_thread_that_asks_at_the_very_moment_when_it_is_believed() -> None:
    machine = Machine()
    machine.run(FIRST)
    machine.wrong = YEARS
    machine.run(LASTING)

    class Moment(float):
        """What a thread compares with just before the reactor's thread goes on."""

        def __le__(self, other: float) -> bool:
            machine.clock._settled_at = float(self)
            machine.run(1)
            return super().__le__(other)

    machine.clock._settled_at = Moment(machine.clock._settled_at)
    assert machine.settled < 2 * DAY
    assert machine.now > YEARS


def test_a_jump_right_after_the_start_is_not_believed_by_what_deletes() -> None:
    machine = Machine()
    machine.wrong = YEARS
    machine.run(LASTING + 2)
    assert machine.now > YEARS
    machine.passed += SETTLED - 100
    assert machine.clock.settled() == 0.0


@given(st.lists(st.tuples(st.sampled_from((0.0, 0.5, -0.5, 90.0, -4000.0, YEARS)), st.integers(1, 200)), max_size=8))
def test_it_never_differs_for_long(steps: list[tuple[float, int]]) -> None:
    """Whatever the clock does: when it stays as it is, it is believed, and until then time only passes."""
    machine = Machine()
    for wrong, seconds in steps:
        machine.wrong = wrong
        before, told = machine.now, len(machine.told)
        machine.run(seconds)
        if len(machine.told) == told:
            assert abs(machine.now - before - seconds) < 1.1
    machine.run(LASTING + 2)
    assert abs(machine.now - (machine.passed - 1000.0 + machine.wrong)) < 1e-3


def test_a_clock_that_is_set_back_makes_nothing_due() -> None:
    """Twisted takes the time once for all calls of a turn, and looks for the clock in one of them."""
    machine = Machine()
    reactor: Any = SelectReactor()
    machine.clock.install(reactor)
    called: list[str] = []
    waits = [reactor.callLater(seconds, called.append, f"{seconds}") for seconds in (5.0, 200.0, 86400.0)]
    reactor.callLater(100.0, lambda: list(machine.clock.look(reactor)))
    reactor.callLater(161.0, lambda: list(machine.clock.look(reactor)))
    machine.wrong = -7200.0
    for seconds in (100.0, 161.0, 199.0):
        machine.passed = 1000.0 + seconds
        reactor.runUntilCurrent()
        reactor.runUntilCurrent()
    assert called == ["5.0"]
    assert machine.now == 199.0 - 7200.0
    machine.passed = 1200.0
    reactor.runUntilCurrent()
    assert called == ["5.0", "200.0"]
    assert reactor.timeout() > 86000.0
    waits[2].cancel()


def test_what_waits_at_the_stop_waits_on() -> None:
    reactor: Any = SelectReactor()
    clock = SteadyClock(lambda: NOON)
    clock.install(reactor)
    waits = reactor.callLater(5.0, lambda: None)
    clock.remove(reactor)
    assert 4.0 < waits.getTime() - reactor.seconds() <= 5.0
    waits.cancel()


def test_of_two_relays_the_later_keeps_the_clock() -> None:
    """Tests have some in one process; one may end after another began, or never have begun."""
    reactor: Any = Clock()
    former, later = SteadyClock(lambda: NOON), SteadyClock(lambda: NOON + 1000.0)
    former.install(reactor)
    later.install(reactor)
    former.remove(reactor)
    assert reactor.seconds() >= NOON + 1000.0
    later.remove(reactor)
    later.remove(reactor)
    assert reactor.seconds() == 0.0


def test_a_reactor_goes_by_its_own_clock_again() -> None:
    reactor, before = Clock(), Clock.seconds
    clock = SteadyClock(lambda: NOON)
    clock.install(reactor)
    assert reactor.seconds() >= NOON
    clock.remove(reactor)
    assert reactor.seconds() == before(reactor) == 0.0
