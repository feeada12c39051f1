"""What a clock that was set ahead does not return."""

from __future__ import annotations

from twisted.internet.task import Clock

from twistedrelay.config.schema import Transport
from twistedrelay.patience import LASTS, Patience

YEARS = 3650 * 86400.0


def test_messages_may_be_older_for_a_day() -> None:
    clock, transport = Clock(), Transport()
    changes: list[float] = []
    before = transport.message_expiration_timeout
    patience = Patience(clock, lambda: changes.append(patience.of(transport).message_expiration_timeout - before))
    assert patience.of(transport) is transport
    patience.wait_on(YEARS)
    assert patience.of(transport).delay_notification_timeout == transport.delay_notification_timeout + YEARS
    clock.advance(LASTS - 1)
    assert changes == [YEARS]
    clock.advance(1)
    assert changes == [YEARS, 0.0]
    assert patience.of(transport) is transport


def test_set_right_again_there_is_no_need_for_it() -> None:
    clock, transport = Clock(), Transport()
    changes: list[None] = []
    patience = Patience(clock, lambda: changes.append(None))
    patience.wait_on(-7200.0)
    assert changes == []
    patience.wait_on(7200.0)
    clock.advance(100)
    patience.wait_on(-7200.0)
    assert len(changes) == 2
    assert patience.of(transport) is transport
    assert clock.getDelayedCalls() == []


def test_the_end_leaves_no_timer() -> None:
    clock = Clock()
    patience = Patience(clock, lambda: None)
    patience.wait_on(7200.0)
    patience.stop()
    assert clock.getDelayedCalls() == []
