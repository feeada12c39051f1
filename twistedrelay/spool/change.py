"""What one caller wants to change in the store: the unit of the group commit.

A change is made on the reactor thread, as plain rows, and is not touched by it again until it is answered; so the writer's thread
never looks at an object that others change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool.rows import Row


def _nothing_to_do() -> None:
    """Nothing depends on it."""


@attrs.define(slots=True, eq=False)
class Change:
    """Rows to write, in the order of the fields.

    @ivar answer: called on the reactor thread with None once the change is durable, else with why it is not in the store.
    @ivar messages: new messages, L{twistedrelay.spool.rows.MESSAGE_COLUMNS}.
    @ivar contents: C{(id, octets)} of the small ones.
    @ivar recipients: new recipients, L{twistedrelay.spool.rows.NEW_RECIPIENT_COLUMNS}.
    @ivar updates: recipients after an attempt, C{(message, place)} and L{twistedrelay.spool.rows.CHANGED_COLUMNS}.
    @ivar due: C{(id, next_attempt)} of messages whose time changed.
    @ivar parks: C{(id, until, lane)} of messages that wait for a lane, or with lane C{""} no longer do; undone by what C{due} says later.
    @ivar failures: C{(id, poison, failures)} of messages that made us fail, and whether they are poison now.
    @ivar statuses: C{(ids, status, failures, only)}, C{failures} None where the count stays; only those of the status C{only}, if any.
    @ivar redirects: C{(ids, to)}: where messages go from now on, None for their own ways.
    @ivar texts: C{(key, text)} to keep, None to forget.
    @ivar deletes: ids of messages that are finished.
    @ivar keep_at: the messages of C{deletes} that somebody got are kept from this time on; None: nothing is.
    @ivar purge: C{(before, limit)}: the oldest kept messages to remove.
    @ivar files: whether a message's content is a file, whose directory has to be synced first.
    @ivar keep: tried again after a failure until it succeeds (what a remote answered); others fail at once.
    @ivar size: octets, to bound a transaction.
    @ivar unsure: it was refused or is kept, but the store may have it: where it was refused, C{taken_out} follows C{answer}, unless this
        run ends before that is settled.
    @ivar answered: whether C{answer} was called.
    @ivar found: how many messages C{statuses} or C{redirects} were said of, or how many of C{deletes} are kept, once it is durable.
    @ivar purged: C{(id, file)} of the kept messages that are removed, likewise.
    @ivar taken_out: called on the reactor thread once the store surely does not have an unsure change with files.
    """

    answer: Callable[[SpoolError | None], None]
    messages: Sequence[Row] = ()
    contents: Sequence[Row] = ()
    recipients: Sequence[Row] = ()
    updates: Sequence[Row] = ()
    due: Sequence[Row] = ()
    parks: Sequence[Row] = ()
    failures: Sequence[Row] = ()
    statuses: Sequence[tuple[Sequence[int], int, int | None, int | None]] = ()
    redirects: Sequence[tuple[Sequence[int], str | None]] = ()
    texts: Sequence[tuple[str, str | None]] = ()
    deletes: Sequence[int] = ()
    keep_at: float | None = None
    purge: tuple[float, int] | None = None
    files: bool = False
    keep: bool = False
    size: int = 0
    unsure: bool = False
    answered: bool = False
    found: int = 0
    purged: Sequence[Row] = ()
    taken_out: Callable[[], None] = _nothing_to_do
