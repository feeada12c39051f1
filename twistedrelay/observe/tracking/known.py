"""What tracking files know of messages whose events go on in another file.

A message that came back from the spool has no subject, nor has a copy from the safety net; and an event that waited while a file was full
may say nothing of its message at all.  It decides which events that concerns, and completes them by the file at hand and the ones before.
Everything here blocks; what cannot be read is left out, for whoever looks is told of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence

from twistedrelay.observe.tracking.directory import opened, tracking_files
from twistedrelay.observe.tracking.rows import Entry, Facts
from twistedrelay.observe.tracking.schema import BEGINNINGS, RESUBMIT
from twistedrelay.values.envelope import Origin

_SUBJECT = 6  #: the place among L{Facts}
_FACTS = """
SELECT message.id, at, message_id, coalesce(sender.name, ''), size, coalesce(origin.source, ''), coalesce(connector, ''),
    coalesce(client, ''), coalesce(helo, ''), coalesce(user, ''), session, local, subject
FROM message LEFT JOIN address AS sender ON sender.id = sender LEFT JOIN origin ON origin.id = message.origin
WHERE message.id IN (SELECT value FROM json_each(?))
"""


def completed(entries: Sequence[Entry], before: float, database: sqlite3.Connection, path: str, subjects: bool) -> Sequence[Entry]:
    """Events that go to a file, with what the files know of their messages where they say too little themselves.

    @param before: events of an earlier time may belong to the file before.
    @param database: the file, C{path} is its.
    @param subjects: whether subjects are kept.
    """
    numbers = _lacking(entries, before, subjects)
    if not numbers:
        return entries
    facts = _known(database, numbers)
    directory, this = os.path.split(path)
    for name in reversed(tracking_files(directory)):
        missing = numbers - facts.keys()
        if missing and str(name) != this:
            with contextlib.suppress(sqlite3.Error), opened(directory, name) as other:
                facts |= _known(other, missing)
    return [_completed(entry, before, facts, subjects) for entry in entries]


def _lacking(entries: Iterable[Entry], before: float, subjects: bool) -> set[int]:
    """The numbers of messages that more should be known of."""
    numbers = set()
    for entry in entries:  # all there are: by place, for names cost as much as all else
        facts = entry[4]
        if facts is None:
            if entry[0] < before:
                numbers.add(entry[3])
        elif subjects and not facts[_SUBJECT]:
            kind = entry[1]
            if kind not in BEGINNINGS:
                numbers.add(entry[3])
            elif kind == RESUBMIT:
                numbers.add(entry[11])
    return numbers


def _known(database: sqlite3.Connection, numbers: set[int]) -> dict[int, Facts]:
    """What one file knows of messages."""
    found = {}
    for number, at, message_id, sender, size, *origin, local, subject in database.execute(_FACTS, (json.dumps(list(numbers)),)):
        found[number] = (at / 1e6, message_id, sender, size, Origin(*origin), local, subject)
    return found


def _completed(entry: Entry, before: float, facts: dict[int, Facts], subjects: bool) -> Entry:
    at, kind, _, number, own, *_, about = entry
    if own is None:
        if at < before and (found := facts.get(number)) is not None:
            return (*entry[:4], found if subjects else (*found[:_SUBJECT], ""), *entry[5:])  # type: ignore[return-value]
    elif subjects and not own[_SUBJECT] and (kind not in BEGINNINGS or kind == RESUBMIT):
        found = facts.get(about if kind == RESUBMIT else number)
        if found is not None:
            return (*entry[:4], (*own[:_SUBJECT], found[_SUBJECT]), *entry[5:])  # type: ignore[return-value]
    return entry
