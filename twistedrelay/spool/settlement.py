"""What an attempt means for the store, as a L{Change}.

Decides which recipients are written, when a message is finished, and when it is due again.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from twistedrelay.spool import rows
from twistedrelay.spool.change import Change
from twistedrelay.values.envelope import Message, Outcome, RecipientState


def add_result(change: Change, message: Message, outcomes: Sequence[Outcome], everyone: bool) -> None:
    """Write the state of a message's recipients: of those with an outcome, or of everyone."""
    due = rows.next_attempt(message.recipients)
    if due is None:
        change.deletes = (message.id,)
        return
    changed = message.recipients if everyone or not outcomes else [outcome.recipient for outcome in outcomes]
    change.updates = rows.change_rows(message, changed)
    change.due = ((message.id, due),)


def add_message(change: Change, message: Message, file: str, data: bytes | None) -> None:
    """Store a message; C{data} is its content where it has no file."""
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


def try_failed_again(message: Message, outcomes: Sequence[Outcome], at: float) -> Message:
    """The message as it is to be written when the report about the recipients that failed just now cannot be stored.

    They wait once more: their next attempt fails again and is reported then, while those that were delivered are not tried twice.
    """
    concerned = [outcome.recipient for outcome in outcomes] or message.recipients
    failed = {recipient.index for recipient in concerned if recipient.state is RecipientState.FAILED}
    recipients = [
        attrs.evolve(recipient, state=RecipientState.READY, next_attempt=at) if recipient.index in failed else recipient
        for recipient in message.recipients
    ]
    return attrs.evolve(message, recipients=recipients)
