"""What the outcomes of an attempt mean for the recipients: done, try again later, too late, or give up.

A pure function of outcomes, time and settings.  It puts attempts, next_attempt and the last reply into the recipients; a state that calls
for a report, and C{delay_notified}, are set by L{twistedrelay.schedule.recorder}, once that is made.

Source: Exchange message retry and expiration (MessageRetryInterval, MessageExpirationTimeout, DelayNotificationTimeout).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from twistedrelay.schedule.retry import RetrySettings, delayed_at, expires_at, retried_at, returns_at
from twistedrelay.values.envelope import Message, Outcome, OutcomeKind, RecipientState
from twistedrelay.values.reply import Reply


@attrs.frozen(slots=True)
class Verdict:
    """The outcomes by what has to be done: recorded as they are, or with a report of failure, of delay, of success."""

    settled: list[Outcome]
    failed: list[Outcome]
    delayed: list[Outcome]
    succeeded: list[Outcome]


def expired(message: Message, last: Reply | None, now: float) -> Reply:
    """The reply for a recipient that is given up; it keeps the last error."""
    because = f"; last error: {' '.join(str(last).split())}" if last is not None else ""
    by = message.parameters.deliver_by
    if by is not None and returns_at(message) <= now:
        return Reply(550, "5.4.7", f"Delivery time expired: the by-time of {by.seconds} seconds is over{because}")
    return Reply(550, "4.4.7", f"QUEUE.Expired; message expired{because}")


def deliver(outcome: Outcome) -> None:
    """A recipient was reached, and nobody is to be told."""
    recipient = outcome.recipient
    recipient.attempts += 1
    recipient.last_reply = outcome.reply
    recipient.last_remote = outcome.remote
    recipient.state = RecipientState.DELIVERED


def judge(
    message: Message, outcomes: Sequence[Outcome], now: float, settings: RetrySettings, retry_at: float, *, attempted: bool = True
) -> Verdict:
    """Sort outcomes, put their results into the recipients.

    @param retry_at: when deferred recipients are tried again.
    @param attempted: False where it was our own reason (no route, a full lane): that counts as no attempt.
    """
    verdict = Verdict([], [], [], [])
    for outcome in outcomes:
        recipient = outcome.recipient
        if attempted:
            recipient.attempts += 1
        recipient.last_reply = outcome.reply
        recipient.last_remote = outcome.remote
        if outcome.kind is OutcomeKind.DELIVERED:
            if outcome.action:
                verdict.succeeded.append(outcome)
            else:
                recipient.state = RecipientState.DELIVERED
                verdict.settled.append(outcome)
        elif outcome.kind is OutcomeKind.FAILED:
            verdict.failed.append(outcome)
        elif expires_at(message, settings) <= now:
            recipient.last_reply = expired(message, outcome.reply, now)
            verdict.failed.append(attrs.evolve(outcome, kind=OutcomeKind.FAILED, reply=recipient.last_reply))
        else:
            recipient.next_attempt = retried_at(message, now, retry_at)
            late = not recipient.delay_notified and delayed_at(message, settings) <= now
            (verdict.delayed if late else verdict.settled).append(outcome)
    return verdict
