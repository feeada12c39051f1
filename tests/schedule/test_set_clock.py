"""The clock is set while messages wait: what waits for so long waits as long, what has a time of day has it by the new clock."""

from __future__ import annotations

import pytest

from tests.schedule.fakes import LATER, OK, REFUSED, World, message
from twistedrelay.schedule.alarm import Alarm
from twistedrelay.schedule.rates import INTERVAL
from twistedrelay.schedule.turns import Turns
from twistedrelay.values.envelope import YEAR
from twistedrelay.values.route import Route

NOON = 1_790_000_000.0
HOURS = 7200.0


class Machine(World):
    """A world whose clock may be set."""

    def set_clock(self, seconds: float) -> None:
        """As the reactor does it: timers go on, and the scheduler is told."""
        self.clock.rightNow += seconds
        for call in self.clock.getDelayedCalls():
            call.delay(seconds)
        scheduler = self.scheduler
        for each in (scheduler.limits, scheduler.probes, scheduler.queues):
            each.wait_on(seconds)


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.clock.advance(NOON)
    machine.scheduler.start()
    return machine


def _tried(machine: Machine, seconds: float) -> float:
    """After how many seconds another run begins."""
    before, count = machine.clock.seconds(), len(machine.runs)
    while len(machine.runs) == count:
        machine.clock.advance(1.0)
        assert machine.clock.seconds() - before < seconds, "nobody tries"
    return machine.clock.seconds() - before


@pytest.mark.parametrize("jump", [-HOURS, -10 * YEAR])
def test_a_next_hop_that_failed_is_tried_as_soon(machine: Machine, jump: float) -> None:
    machine.submit(message(1, received_at=NOON))
    machine.runs[0].end(REFUSED)
    machine.set_clock(jump)
    assert _tried(machine, 100.0) == pytest.approx(60.0, abs=1.1)
    machine.runs[-1].take()
    machine.runs[-1].finish(OK)
    assert machine.spool.disk == {}


@pytest.mark.parametrize("jump", [-HOURS, -10 * YEAR])
def test_a_message_that_was_deferred_is_tried_as_soon(machine: Machine, jump: float) -> None:
    machine.submit(message(1, received_at=NOON))
    machine.runs[0].take()
    machine.runs[0].finish(LATER)
    machine.runs[0].end()
    machine.set_clock(jump)
    assert _tried(machine, 2000.0) == pytest.approx(300.0, abs=31.0)


def test_ahead_it_is_tried_at_once(machine: Machine) -> None:
    machine.submit(message(1, received_at=NOON))
    machine.runs[0].end(REFUSED)
    machine.set_clock(HOURS)
    assert _tried(machine, 100.0) == 1.0


def test_a_rate_stays_as_it_is(machine: Machine) -> None:
    machine.router.ways["there.example"] = Route("", "there.example", "SmtpDeliveryToMailbox", max_connections=1, message_rate=6)
    machine.submit(*(message(number, received_at=NOON) for number in range(1, 4)))
    run = machine.runs[0]
    assert run.take() is not None
    run.finish(OK)
    assert run.take() is None
    run.end()
    machine.set_clock(-HOURS)
    assert _tried(machine, 60.0) == pytest.approx(10.0, abs=1.1)
    run = machine.runs[-1]
    assert run.take() is not None
    run.finish(OK)
    assert run.take() is None
    run.end()
    assert _tried(machine, 60.0) == pytest.approx(10.0, abs=1.1)


def test_a_message_of_the_future_comes_back_to_the_present_and_expires(machine: Machine) -> None:
    machine.attempt.connect["there.example"] = REFUSED
    machine.attempt.answer = lambda next_hop: OK
    machine.set_clock(10 * YEAR)
    machine.submit(message(1, received_at=machine.clock.seconds()))
    machine.set_clock(-10 * YEAR)
    machine.sleep(machine.transport.message_expiration_timeout + 3600.0, step=300.0)
    assert [number for number, _ in machine.reporter.failures] == [1]


def test_after_a_restart_too(machine: Machine) -> None:
    late = message(1, received_at=NOON + 10 * YEAR)
    late.recipients[0].next_attempt = NOON + 10 * YEAR
    machine.spool.put(late)
    machine.scheduler.adopt(late)
    assert late.received_at == NOON
    assert len(machine.runs) == 1


def test_a_held_message_waits_for_its_time_of_day(machine: Machine) -> None:
    machine.submit(message(1, received_at=NOON, hold_until=NOON + 600.0))
    machine.set_clock(-HOURS)
    assert _tried(machine, 2 * HOURS) == pytest.approx(HOURS + 600.0, abs=1.1)


def test_a_suspension_ends_by_the_clock(machine: Machine) -> None:
    machine.submit(message(1, received_at=NOON))
    machine.runs[0].end()
    machine.scheduler.queues.suspend("there.example", "", NOON + 100.0)
    machine.set_clock(-600.0)
    machine.sleep(650.0)
    assert machine.scheduler.suspensions.of("there.example") is not None
    machine.sleep(60.0)
    assert machine.scheduler.suspensions.of("there.example") is None


def test_what_takes_several_turns_goes_on(machine: Machine) -> None:
    alarm: Alarm = machine.scheduler.alarm
    work = Turns((None for _ in range(3)), alarm, machine.clock.seconds)
    machine.set_clock(-HOURS)
    machine.clock.advance(0.0)
    for _ in range(5):
        machine.clock.advance(0.001)
    assert work.done.called


def test_rates_are_measured_on(machine: Machine) -> None:
    machine.submit(*(message(number, received_at=NOON) for number in range(1, 61)))
    machine.sleep(30.0, step=1.0)
    machine.set_clock(-HOURS)
    (lane,) = machine.scheduler._lanes.values()
    came, _ = lane.meter.rates(machine.clock.seconds(), lane.came, 0)
    assert came <= 3.0
    samples = list(lane.meter._samples)
    machine.sleep(INTERVAL + 1.0, step=1.0)
    assert list(lane.meter._samples) != samples
