"""Which messages are poison: those that made us fail as often as C{poison_threshold} says.

A failure is a defect of our own code that a message brings to light (C{Outcome.defect}), or the end of a process that worked on it at that
moment (L{twistedrelay.spool.blame}).  The count is stored with the result of the attempt, and forgotten where an administrator resumes the
message.  What a next hop says is never a failure of ours.

Source: Exchange Server, "The poison message queue" (PoisonThreshold, events 10001 and 10003).
"""

from __future__ import annotations

from collections.abc import Sequence

from twistedrelay.values.envelope import Message, MessageStatus, Outcome


def count_defects(message: Message, outcomes: Sequence[Outcome], threshold: int) -> bool:
    """Put into a message what outcomes say of our own code; whether it is poison now.

    The outcomes of one attempt count once, however many recipients they are for.
    """
    if message.status is MessageStatus.POISON or not any(outcome.defect for outcome in outcomes):
        return False
    message.failures += 1
    if message.failures < threshold:
        return False
    message.status = MessageStatus.POISON
    return True
