"""Messages and recipients as rows and back.

Decides the encoding of each column.  Everything that comes out of here can be bound: text holds no lone surrogates and no NUL,
so one odd message can never make a whole transaction fail.  Knows nothing of a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from twistedrelay.interfaces import IContent
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import (
    NO_MAIL_PARAMETERS,
    NO_RCPT_PARAMETERS,
    DeliverBy,
    MailParameters,
    Message,
    MessageStatus,
    Origin,
    RcptParameters,
    Recipient,
    RecipientState,
)
from twistedrelay.values.reply import Reply

Row = tuple[Any, ...]

MESSAGE_COLUMNS = (
    "id, next_attempt, received_at, size, sender, sender_domain, message_id, parameters, "
    "source, connector, client, helo, user, session, file"
)
#: what is read back
STORED_COLUMNS = f"{MESSAGE_COLUMNS}, status, failures, redirect"
#: what an attempt changes
CHANGED_COLUMNS = "state, attempts, next_attempt, reply_code, reply_enhanced, reply_text, remote, delay_notified"
RECIPIENT_COLUMNS = f"message, place, address, domain, parameters, {CHANGED_COLUMNS}"
#: what is said of a recipient that nothing has happened to; the rest of its columns have defaults
NEW_RECIPIENT_COLUMNS = "message, place, address, domain, parameters, next_attempt"

#: The parameters of MAIL that are kept as they are, with their defaults.
_DEFAULTS = tuple((field.name, field.default) for field in attrs.fields(MailParameters) if field.name != "deliver_by")


def clean(text: str) -> str:
    """Text as the database takes it."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _split(text: str) -> tuple[str, str]:
    """The local part and the domain for comparison of an address as it is written."""
    local, at, domain = text.rpartition("@")
    return (local, domain.lower()) if at else (text, "")


def address_columns(address: Address) -> tuple[str, str | None]:
    """The address as written, and its domain where that does not follow from it."""
    text = clean(address.text)
    return text, None if _split(text)[1] == address.domain else clean(address.domain)


def address_of(text: str, domain: str | None) -> Address:
    """The address of two columns."""
    local, written = _split(text)
    return Address(text, local, written if domain is None else domain)


def _mail_parameters(parameters: MailParameters) -> str | None:
    """An object of what differs from the defaults; by-time, mode and trace of BY are an array."""
    if parameters is NO_MAIL_PARAMETERS or parameters == NO_MAIL_PARAMETERS:
        return None
    kept: dict[str, Any] = {}
    for name, default in _DEFAULTS:
        value = getattr(parameters, name)
        if value != default:
            kept[name] = clean(value) if isinstance(value, str) else value
    if parameters.deliver_by is not None:
        kept["deliver_by"] = attrs.astuple(parameters.deliver_by)
    return json.dumps(kept)


def _mail_parameters_of(text: str | None) -> MailParameters:
    if text is None:
        return NO_MAIL_PARAMETERS
    kept = json.loads(text)
    if isinstance(kept, list):  # the first format: SIZE, BODY, RET and ENVID in their order
        return MailParameters(*kept)
    by = kept.pop("deliver_by", None)
    return MailParameters(**kept, deliver_by=DeliverBy(*by) if by else None)


def _rcpt_parameters(parameters: RcptParameters) -> str | None:
    if parameters is NO_RCPT_PARAMETERS or parameters == NO_RCPT_PARAMETERS:
        return None
    return json.dumps([sorted(parameters.notify), clean(parameters.orcpt)])


def _rcpt_parameters_of(text: str | None) -> RcptParameters:
    if text is None:
        return NO_RCPT_PARAMETERS
    notify, orcpt = json.loads(text)
    return RcptParameters(frozenset(notify), orcpt)


def _origin_columns(origin: Origin) -> Row:
    columns = (origin.source, origin.connector, origin.client, origin.helo, origin.user, origin.session)
    together = "".join(columns)
    return columns if clean(together) is together else tuple(map(clean, columns))


def next_attempt(recipients: Iterable[Recipient]) -> float | None:
    """When the first waiting recipient is due; None where nobody waits."""
    ready = RecipientState.READY
    least = None
    for recipient in recipients:
        if recipient.state is ready:
            due = recipient.next_attempt
            if due <= 0.0:
                return 0.0  # nothing is sooner: a list that is only begun is not walked to its end each time
            if least is None or due < least:
                least = due
    return least


def message_row(message: Message, file: str) -> Row:
    """The columns of L{MESSAGE_COLUMNS}.

    @raise ValueError: no recipient waits.
    """
    due = next_attempt(message.recipients)
    if due is None:
        raise ValueError("no recipient waits")
    sender, domain = address_columns(message.sender)
    return (
        message.id,
        due,
        message.received_at,
        message.size,
        sender,
        domain,
        clean(message.message_id),
        _mail_parameters(message.parameters),
        *_origin_columns(message.origin),
        file or None,
    )


def _changed(recipient: Recipient) -> Row:
    last = recipient.last_reply
    return (
        recipient.state.value,
        recipient.attempts,
        recipient.next_attempt,
        None if last is None else last.code,
        None if last is None else clean(last.enhanced),
        None if last is None else clean(last.text),
        clean(recipient.last_remote),
        int(recipient.delay_notified),
    )


def recipient_rows(message: Message) -> list[Row]:
    """The columns of L{NEW_RECIPIENT_COLUMNS} for each recipient."""
    return [
        (message.id, recipient.index, *address_columns(recipient.address), _rcpt_parameters(recipient.parameters), recipient.next_attempt)
        for recipient in message.recipients
    ]


def is_new(recipient: Recipient) -> bool:
    """Whether nothing has happened to a recipient."""
    return (
        not (recipient.attempts or recipient.last_reply or recipient.last_remote or recipient.delay_notified)
        and recipient.state is RecipientState.READY
    )


def change_rows(message: Message, recipients: Iterable[Recipient]) -> list[Row]:
    """(message, place) and L{CHANGED_COLUMNS} of some of its recipients."""
    return [(message.id, recipient.index, *_changed(recipient)) for recipient in recipients]


def recipient_of(row: Sequence[Any]) -> Recipient:
    """A recipient from L{RECIPIENT_COLUMNS}."""
    _, place, address, domain, parameters, state, attempts, next_attempt, code, enhanced, text, remote, notified = row
    return Recipient(
        place,
        address_of(address, domain),
        _rcpt_parameters_of(parameters),
        RecipientState(state),
        attempts,
        next_attempt,
        None if code is None else Reply(code, enhanced, text),
        remote,
        bool(notified),
    )


def kept_recipient_of(row: Sequence[Any]) -> Recipient:
    """A recipient that got its message, from the columns of L{twistedrelay.spool.kept}."""
    _, place, address, domain, parameters, remote = row
    return Recipient(place, address_of(address, domain), _rcpt_parameters_of(parameters), RecipientState.DELIVERED, last_remote=remote)


def message_of(row: Sequence[Any], recipients: list[Recipient], content: IContent) -> Message:
    """A message from L{STORED_COLUMNS}."""
    number, _, received_at, _, sender, domain, message_id, parameters, *origin, _, status, failures, redirect = row
    return Message(
        number,
        address_of(sender, domain),
        recipients,
        message_id,
        received_at,
        content,
        _mail_parameters_of(parameters),
        Origin(*origin),
        MessageStatus(status),
        failures,
        redirect=redirect or "",
    )
