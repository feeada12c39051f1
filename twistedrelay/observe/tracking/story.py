"""A message's whole story: all of its events, with those of the messages that came of it or that it came of.

It decides what belongs together: a message and the reports about it, a message and what was sent again in its place.  Everything here
blocks.
"""

from __future__ import annotations

import json
import os
import sqlite3

from twistedrelay.observe.tracking.directory import FileName, listed_files, opened
from twistedrelay.observe.tracking.find import Page, Tracked, events, find
from twistedrelay.observe.tracking.query import TrackingQuery

#: Messages of one story.
MOST_MESSAGES = 50

#: Events of one story, with their recipients.
MOST_SHOWN = 100_000

_THOSE = "IN (SELECT value FROM json_each(?1))"
_EVENTS = (
    f"SELECT id FROM (SELECT id FROM event INDEXED BY event_message WHERE message {_THOSE} "
    f"UNION SELECT id FROM event INDEXED BY event_related WHERE related {_THOSE} AND related <> 0) ORDER BY id LIMIT {MOST_SHOWN}"
)


def story(directory: str, wanted: str) -> Page:
    """The events of a message in the order of their times, by its InternalId or its Message-ID (then of all that have it)."""
    numbers: set[int] = set()
    found: dict[tuple[int, FileName], Tracked] = {}
    problems: list[str] = []
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 20:
        numbers.add(int(wanted))
    elif wanted.strip():
        cursor = "first"
        while cursor and len(numbers) < MOST_MESSAGES:
            page = find(directory, TrackingQuery(message_id=wanted), 1000, "" if cursor == "first" else cursor, newest_first=False)
            numbers.update(event.number for event in page.events)
            cursor = page.cursor
            problems += page.problems
    looked: set[int] = set()
    room = MOST_SHOWN
    while numbers - looked and len(looked) < MOST_MESSAGES:
        fresh = sorted(numbers - looked)[:MOST_MESSAGES]
        looked.update(fresh)
        listed = json.dumps(fresh)
        names, more = listed_files(directory)
        problems += more
        for name in names:
            try:
                with opened(directory, name) as database:
                    for event in events(database, _EVENTS, (listed,)):
                        if found.setdefault((event.at, name), event) is event:
                            room -= 1 + len(event.recipients)
                        numbers.update((event.number, event.related) if event.related else (event.number,))
                        if room <= 0:
                            return _page(found, [*problems, f"there are more events: the first {len(found)} are shown"])
            except sqlite3.Error as error:
                problems.append(f"{os.path.join(directory, str(name))} cannot be read: {error}")
    return _page(found, problems)


def _page(found: dict[tuple[int, FileName], Tracked], problems: list[str]) -> Page:
    return Page([found[place] for place in sorted(found)], "", list(dict.fromkeys(problems)))
