"""What the writer's thread says to the reactor's: answers to changes, and news for people.

Decides nothing about what is written.  Each change is answered once, whoever answers it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.change import Change

SHOWN = 20  #: ids of messages in one piece of news


def some(ids: Iterable[int]) -> str:
    """The first of some ids."""
    each = list(dict.fromkeys(ids))
    shown = ", ".join(map(str, each[:SHOWN]))
    return shown if len(each) <= SHOWN else f"{shown}, ..."


class Answers:
    """See the module.  All is called in the writer's thread."""

    def __init__(self, call: Callable[..., Any], on_event: Callable[[str, str], None]) -> None:
        """@param call: C{reactor.callFromThread}.
        @param on_event: called on the reactor thread with a level and a text for people.
        """
        self._call = call
        self._on_event = on_event

    def tell(self, level: str, text: str) -> None:
        """Something for people."""
        self._call(self._on_event, level, text)

    def give(self, changes: Sequence[Change], error: SpoolError | None) -> None:
        """All of these are durable, or refused for this reason."""
        if changes:
            self._call(self._give, changes, error)

    def lose(self, changes: Sequence[Change], doubtful: Sequence[int], reason: SpoolError) -> None:
        """Nothing of these is written any more, if it is not yet.

        @param doubtful: ids of messages that may be in the store or not.
        """
        self.give([change for change in changes if change.messages or not change.unsure], reason)
        perhaps = SpoolError(f"{reason}; what was asked for may be done all the same", reason.reply)
        self.give([change for change in changes if change.unsure and not change.messages], perhaps)
        if doubtful:
            self.tell("warn", f"uncertain: {len(set(doubtful))} messages may be in the store or not: {some(doubtful)}")

    def _give(self, changes: Sequence[Change], error: SpoolError | None) -> None:
        """On the reactor thread: answer some changes in their order; one bad listener must not cost the others their answer."""
        for change in changes:
            if change.answered:
                continue
            change.answered = True
            try:
                change.answer(error)
            except Exception as bad:
                self._on_event("error", f"an answer of the spool was not taken well: {type(bad).__name__}: {bad}")
