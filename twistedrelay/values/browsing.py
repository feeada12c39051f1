"""Looking through all messages of a spool, page by page: what is looked for, and what was found.

It decides nothing; the store evaluates the terms where it can do so without touching each message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from twistedrelay.values.envelope import Message

#: What a store keeps of each message in columns that it can compare; C{recipient} is the address of any of its recipients.
Column = Literal[
    "id", "received_at", "size", "sender", "status", "source", "connector", "client", "helo", "user", "message_id", "recipient"
]

#: C{like} has C{*} for any text and C{?} for one character.
TermOperator = Literal["eq", "gt", "ge", "lt", "le", "like"]


@attrs.frozen(slots=True)
class Term:
    """One condition.  Texts are compared without regard to the case of ASCII letters; others may be found although they do not fit."""

    column: Column
    operator: TermOperator
    value: str | int | float


@attrs.frozen(slots=True)
class MessageQuery:
    """What is looked for.

    @ivar terms: all of them hold.
    @ivar backwards: the newest first.
    """

    terms: tuple[Term, ...] = ()
    backwards: bool = False


EVERYTHING = MessageQuery()


@attrs.frozen(slots=True)
class MessagePage:
    """Some messages, with all of their recipients.

    @ivar position: what to go on behind; None: there is no more.  A page may be empty and still not be the last.
    """

    messages: list[Message]
    position: int | None
