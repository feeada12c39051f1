"""Which queued messages would take another way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from twistedrelay.answers.diff.document import Requeue
from twistedrelay.interfaces import IRouter
from twistedrelay.values.envelope import Message, RecipientState
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

#: Messages that are looked at.
MAX_MESSAGES = 50_000

#: Kinds of changes that are told apart, and examples of each.
MAX_KINDS = 200
EXAMPLES = 5

OTHERS = "other queues"

#: Recipients in a piece.
PIECE = 500


@attrs.frozen(slots=True)
class _Kind:
    """What changes for some recipients: their way, and what that means for them."""

    old: str
    new: str
    returned: bool
    stranded: bool


@attrs.define(slots=True)
class _Count:
    messages: int = 0
    recipients: int = 0
    examples: list[str] = attrs.Factory(list)
    last: int = 0


class Rerouting:
    """Counts what would change.

    @ivar looked_at: messages.
    """

    def __init__(self, old: IRouter, new: IRouter) -> None:
        self._old = old
        self._new = new
        self._counts: dict[_Kind, _Count] = {}
        self.looked_at = 0

    def look(self, messages: Iterable[Message]) -> Iterator[None]:
        """Some more messages, a piece at a time: one alone may have a hundred thousand recipients."""
        done = 0
        for message in messages:
            self.looked_at += 1
            for recipient in message.recipients:
                done += 1
                if not done % PIECE:
                    yield
                if recipient.state is RecipientState.READY:
                    before, after = self._old.route(message, recipient), self._new.route(message, recipient)
                    if _key(before) != _key(after):
                        self._add(message, recipient.address.text, before, after)

    def _add(self, message: Message, recipient: str, before: Route | Reply, after: Route | Reply) -> None:
        returned = _ends(after) and not _ends(before)
        stranded = isinstance(before, Route) and isinstance(after, Reply) and not returned
        kind = _Kind(_shown(before), _shown(after), returned, stranded)
        if kind not in self._counts and len(self._counts) >= MAX_KINDS:
            kind = _Kind(OTHERS, OTHERS, returned, stranded)
        count = self._counts.setdefault(kind, _Count())
        count.recipients += 1
        if count.last != message.id:
            count.last = message.id
            count.messages += 1
        if len(count.examples) < EXAMPLES:
            count.examples.append(f"{message.id} to {recipient}")

    def found(self) -> list[Requeue]:
        """What would change, the largest number first."""
        found = [
            Requeue(
                old=kind.old,
                new=kind.new,
                returned=kind.returned,
                stranded=kind.stranded,
                messages=count.messages,
                recipients=count.recipients,
                examples=count.examples,
            )
            for kind, count in self._counts.items()
        ]
        return sorted(found, key=lambda one: -one.recipients)


def _ends(way: Route | Reply) -> bool:
    """Whether it ends there: the message is returned."""
    return isinstance(way, Reply) and way.code >= 500


def _key(way: Route | Reply) -> object:
    return str(way) if isinstance(way, Reply) else way.key


def _shown(way: Route | Reply) -> str:
    """A queue with its connector, or why there is none."""
    if isinstance(way, Reply):
        return str(way)
    through = f" by {way.connector}" if way.connector else ""
    return f"{way.next_hop}{through}"
