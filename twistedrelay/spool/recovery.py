"""What a start does about the last end: files and rows are made to agree.

A file that no row names was never acknowledged, or its message is finished: it is removed.  A row whose file is missing or has the
wrong length is damage from outside; its message is parked (never due, shown, logged) and comes back when the file does.

After a run that was killed nobody knows which messages were on the wire: those that were due may have been, and are counted.  So may those
that wait for a later time, since a retry by command, another way or another clock makes them due in memory first; and those that were
suspended meanwhile.  Each kind is told apart, for most of these will have waited for long.

What is due in years was so by a clock that was wrong, and is due now.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator

import attrs

from twistedrelay.spool.bodies import is_body_name
from twistedrelay.spool.disk import Disk
from twistedrelay.values.envelope import YEAR


@attrs.frozen(slots=True)
class Recovery:
    """What was found.

    @ivar removed: how many files without a row.
    @ivar parked: ids of messages whose file is missing or damaged.
    @ivar restored: ids of parked messages whose file is back.
    @ivar doubtful: after a run that did not end in good order, how many messages were due: those being sent then may be sent twice.
    @ivar waiting: likewise, how many messages waited for a later time.
    @ivar aside: likewise, how many messages were suspended or poison.
    """

    removed: int
    parked: tuple[int, ...]
    restored: tuple[int, ...]
    doubtful: int = 0
    waiting: int = 0
    aside: int = 0


def notices(recovery: Recovery) -> Iterator[tuple[str, str]]:
    """What is to be told of it: a level and a text."""
    if recovery.removed:
        yield "info", f"{recovery.removed} content files that no message names were removed"
    more = [f"{count} {which}" for count, which in ((recovery.waiting, "waiting"), (recovery.aside, "suspended")) if count]
    if recovery.doubtful or more:
        all_of_them = " and ".join([", ".join([f"{recovery.doubtful} due", *more[:-1]]), *more[-1:]])
        text = f"those of {all_of_them} messages that were being sent may be delivered twice"
        yield "warn", f"uncertain: the last run did not end in good order; {text}"
    for number in recovery.parked:
        yield "error", f"message {number} is parked: its content is missing or damaged"
    for number in recovery.restored:
        yield "info", f"message {number} is due again: its content is back"


def recover(connection: sqlite3.Connection, disk: Disk, directory: str, clean: bool, now: float) -> Recovery:
    """Make files and rows agree.  Blocks; nothing else uses the spool yet.

    @param clean: whether the last run ended in good order.
    """
    sizes = disk.sizes(directory)
    parked: list[int] = []
    restored: list[int] = []
    named: set[str] = set()
    for number, name, size, waits in connection.execute(
        "SELECT id, file, size, next_attempt IS NOT NULL OR status <> 0 FROM message WHERE file IS NOT NULL"
    ):
        named.add(name)
        whole = sizes.get(name) == size
        if not whole:
            parked.append(number)
        elif not waits:
            restored.append(number)
    named.update(name for (name,) in connection.execute("SELECT file FROM kept WHERE file IS NOT NULL"))
    if parked or restored:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE message SET next_attempt = NULL, lane = NULL WHERE id = ?", [(number,) for number in parked])
        connection.executemany(
            "UPDATE message SET next_attempt = (SELECT min(next_attempt) FROM recipient WHERE message = id AND state = 0) WHERE id = ?",
            [(number,) for number in restored],
        )
        connection.execute("COMMIT")
    connection.execute("UPDATE message SET next_attempt = ? WHERE next_attempt > ?", (now, now + YEAR))
    removed = 0
    for name in sizes:
        if is_body_name(name) and name not in named:
            disk.unlink(os.path.join(directory, name))
            removed += 1
    doubtful = waiting = aside = 0
    if not clean:
        doubtful = connection.execute("SELECT count(*) FROM message WHERE next_attempt <= ?", (now,)).fetchone()[0]
        waiting = connection.execute("SELECT count(*) FROM message WHERE next_attempt > ?", (now,)).fetchone()[0]
        aside = connection.execute("SELECT count(*) FROM message WHERE status <> 0").fetchone()[0]
    return Recovery(removed, tuple(parked), tuple(restored), doubtful, waiting, aside)
