"""What an attempt means for the store, as a L{Change}.

Decides which recipients are written, when a message is finished, and when it is due again.
"""

from __future__ import annotations

from collections.abc import Sequence

from twistedrelay.spool import rows
from twistedrelay.spool.change import Change
from twistedrelay.values.envelope import Message, MessageStatus, Outcome


def add_result(change: Change, message: Message, outcomes: Sequence[Outcome], keep_at: float | None = None) -> None:
    """Write the state of a message's recipients: of those with an outcome, or of everyone where there is none.

    @param keep_at: where it is the last, what was delivered is kept from this time on; None: nothing is.
    """
    due = rows.next_attempt(message.recipients)
    if due is None:
        change.deletes = (message.id,)
        if keep_at is not None:
            change.keep_at = keep_at
            change.updates = rows.change_rows(message, message.recipients)
        return
    changed = [outcome.recipient for outcome in outcomes] if outcomes else message.recipients
    change.updates = rows.change_rows(message, changed)
    change.due = ((message.id, due),)
    if message.failures:
        change.failures = ((message.id, message.status is MessageStatus.POISON, message.failures),)


def add_message(change: Change, message: Message, file: str, data: bytes | None) -> None:
    """Store a message; C{data} is its content where it has no file."""
    if message.parameters.hold_until:
        message.hold()
    change.messages = (*change.messages, rows.message_row(message, file))
    change.recipients = (*change.recipients, *rows.recipient_rows(message))
    touched = [recipient for recipient in message.recipients if not rows.is_new(recipient)]
    if touched:
        change.updates = (*change.updates, *rows.change_rows(message, touched))
    if data is not None:
        change.contents = (*change.contents, (message.id, data))
        change.size += len(data)
    else:
        change.files = True
