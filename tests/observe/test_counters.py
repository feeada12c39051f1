"""What counts as what."""

from __future__ import annotations

from tests.observe.cases import CASES, message, sent
from twistedrelay.observe.counters import Counters
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.events import Receive
from twistedrelay.values.reply import Reply


def test_every_kind_of_event_once() -> None:
    counters = Counters()
    for event, _ in CASES:
        counters.emit(event)
    assert counters.as_dict() == {
        "sessions": 1,
        "sessions_refused": 1,
        "tls_started": 1,
        "tls_failed": 1,
        "logins": 1,
        "logins_failed": 1,
        "logons_locked": 1,
        "commands_refused": 1,
        "received": 1,
        "bytes_received": 512,
        "receive_uncertain": 1,
        "recipients_delivered": 1,
        "recipients_deferred": 1,
        "recipients_failed": 1,
        "send_uncertain": 1,
        "reports": 1,
        "resubmitted": 1,
        "poisoned": 1,
        "removed": 1,
        "dropped": 1,
    }


def test_messages_are_counted_at_receipt_and_recipients_at_delivery() -> None:
    counters = Counters()
    counters.emit(Receive(message("a@b", "c@d")))
    for _ in range(2):
        counters.emit(sent(OutcomeKind.DELIVERED, Reply(250, "2.0.0", "Ok")))
    assert counters.totals.received == 1
    assert counters.totals.recipients_delivered == 2
