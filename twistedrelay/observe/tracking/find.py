"""Finding tracked events in the files, while somebody writes them or nobody does.

It decides which files are read, in which order, and for each whether messages are found by the index or events looked at one by one:
where the index names few messages it is the index.  It never writes, and what cannot be read is told and left out.  Everything here blocks.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator

import attrs

from twistedrelay.observe.tracking.directory import FileName, listed_files, opened
from twistedrelay.observe.tracking.query import Condition, TrackingQuery, conditions, subject_holds, terms

#: So many messages of a file are found by the index at most; where there are more, events are looked at one by one.
FEW = 20_000

#: Recipients of an event that are shown, and of a page, which ends with the event that exceeds it.
MOST_RECIPIENTS = 1000
MOST_SHOWN = 20_000

_TOGETHER = 100  #: events that are read with one statement

#: Seconds of work for one page, after which it ends where it is.
BUDGET = 5.0

#: Where events are looked at one by one: microseconds of the first span, and seconds that one is to take at most.
FIRST_SPAN = 60_000_000
_MOMENT = 0.25

_DAY = 86400.0
_SLACK = 60.0  #: seconds that a file's events may lie outside of its day

_MESSAGE = (
    "coalesce(message.at, 0), coalesce(message.message_id, ''), coalesce(sender.name, ''), coalesce(message.size, 0), "
    "coalesce(origin.source, ''), coalesce(origin.connector, ''), coalesce(origin.client, ''), coalesce(origin.helo, ''), "
    "coalesce(origin.user, ''), coalesce(message.session, ''), coalesce(message.local, ''), coalesce(message.subject, '')"
)
_WAY = "coalesce(way.connector, ''), coalesce(way.next_hop, ''), coalesce(way.remote, ''), coalesce(way.tls, ''), coalesce(path.name, '')"
_SAID = "coalesce(event.reply, ''), coalesce(event.context, ''), coalesce(event.related, 0), coalesce(about.message_id, '')"
_COLUMNS = f"event.id, event.kind, event.source, event.message, {_MESSAGE}, {_WAY}, {_SAID}, one.name, other.name"
_JOINS = (
    "LEFT JOIN message ON message.id = event.message LEFT JOIN address AS sender ON sender.id = message.sender "
    "LEFT JOIN origin ON origin.id = message.origin LEFT JOIN way ON way.id = event.way "
    "LEFT JOIN address AS path ON path.id = event.return_path LEFT JOIN message AS about ON about.id = event.related "
    "LEFT JOIN address AS one ON one.id = event.recipient LEFT JOIN address AS other ON other.id = event.told"
)
_PARTIES = (
    "SELECT party.event, address.name, coalesce(told.name, '') FROM party JOIN address ON address.id = party.address "
    "LEFT JOIN address AS told ON told.id = party.told "
    f"WHERE party.event IN (SELECT value FROM json_each(?)) AND place < {MOST_RECIPIENTS} ORDER BY party.event, party.place"
)
_COUNTS = "SELECT event, count(*) FROM party WHERE event IN (SELECT value FROM json_each(?)) GROUP BY event"


@attrs.frozen(slots=True)
class Tracked:
    """One event, as the files have it.

    @ivar at: microseconds since the epoch, different for each event of a file.
    @ivar number: the message's InternalId.
    @ivar received_at: likewise in microseconds; 0 where nothing is known of the message, as all that follows is empty then.
    @ivar local: our end of the session it came by.
    @ivar send_connector: C{""} for the next hop of an accepted domain.
    @ivar return_path: what the next hop was told instead of the sender.
    @ivar related: another message's number: whom a report is about, what was sent again.
    @ivar reference: its Message-ID, where the file has it.
    @ivar recipients: each with what the next hop was told instead, at most L{MOST_RECIPIENTS}.
    @ivar recipient_count: how many there are.
    """

    at: int
    kind: int
    source: int
    number: int
    received_at: int
    message_id: str
    sender: str
    size: int
    origin: str
    connector: str
    client: str
    helo: str
    user: str
    session: str
    local: str
    subject: str
    send_connector: str
    next_hop: str
    remote: str
    tls: str
    return_path: str
    reply: str
    context: str
    related: int
    reference: str
    recipients: tuple[tuple[str, str], ...]
    recipient_count: int


@attrs.frozen(slots=True)
class Page:
    """Some of the events that were looked for.

    @ivar cursor: where to go on, C{""} at the end.
    @ivar problems: files that could not be read, and why.
    """

    events: list[Tracked]
    cursor: str
    problems: list[str]


def find(
    directory: str,
    query: TrackingQuery,
    limit: int,
    cursor: str = "",
    *,
    newest_first: bool = True,
    monotonic: Callable[[], float] = time.monotonic,
) -> Page:
    """A page of the events that are looked for; it may be short, or empty, and not the last.

    @raise ValueError: the cursor is none of ours.
    """
    stop = monotonic() + BUDGET
    after = _position(cursor) if cursor else None
    names, problems = listed_files(directory)
    found: list[Tracked] = []
    for name in reversed(names) if newest_first else names:
        if name.begins - _SLACK >= query.end or name.begins + _DAY + _SLACK < query.start:
            continue
        if after is not None and (name > after[0] if newest_first else name < after[0]):
            continue
        low, high = query.begins, query.ends
        if after is not None and name == after[0]:
            low, high = (low, min(high, after[1] - 1)) if newest_first else (max(low, after[1] + 1), high)
        if low > high:  # it was looked at for the page before
            continue
        wanted = limit - len(found)
        reached = None
        try:
            with opened(directory, name) as database:
                here, reached = _search(database, query, low, high, wanted, newest_first, stop, monotonic)
                found += here
        except sqlite3.Error as error:
            problems.append(f"{os.path.join(directory, str(name))} cannot be read: {error}")
        if reached is None and monotonic() > stop:
            reached = low if newest_first else high
        if reached is not None:
            return Page(found, f"{name.day}-{name.number}:{reached}", problems)
    return Page(found, "", problems)


def _position(cursor: str) -> tuple[FileName, int]:
    name, _, at = cursor.partition(":")
    day, _, number = name.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 18 for part in (day, number, at)) or len(day) != 8:
        raise ValueError("the cursor is not understood")
    return FileName(day, int(number)), int(at)


def _search(
    database: sqlite3.Connection,
    query: TrackingQuery,
    low: int,
    high: int,
    limit: int,
    newest_first: bool,
    stop: float,
    monotonic: Callable[[], float],
) -> tuple[list[Tracked], int | None]:
    """Events of a file, and up to which one it was looked through; None: all of it.

    Where events are looked at one by one it is span after span, each as long as what can be done in a moment.
    """
    database.create_function("subject_holds", 2, subject_holds, deterministic=True)
    [(first, last)] = database.execute("SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM event")
    low, high = max(low, first), min(high, last)
    plan = Plan.of(database, query)
    found: list[Tracked] = []
    room = MOST_SHOWN
    span = FIRST_SPAN if plan.is_scan else high - low + 1
    while low <= high:
        part = (max(low, high - span + 1), high) if newest_first else (low, min(high, low + span - 1))
        began = monotonic()
        for event in events(database, *plan.statement(*part, limit - len(found), newest_first)):
            found.append(event)
            room -= len(event.recipients)
            if len(found) == limit or room <= 0:
                return found, event.at
        low, high = (low, part[0] - 1) if newest_first else (part[1] + 1, high)
        now = monotonic()
        if now > stop and low <= high:
            return found, part[0] if newest_first else part[1]
        span = span * 4 if now - began < _MOMENT else max(span // 2, 1)
    return found, None


@attrs.frozen(slots=True)
class Plan:
    """How events are found in one file.

    @ivar wanted: what is true of each that is meant.
    @ivar few: by which term of the index; None: by none.
    @ivar of_one: those of one message.
    @ivar mark: up to which event there is an index.
    """

    wanted: Condition
    few: Condition | None
    of_one: bool
    mark: int

    @classmethod
    def of(cls, database: sqlite3.Connection, query: TrackingQuery) -> Plan:
        """The best one."""
        origins, connectors = _origins(database, query), _connectors(database, query)
        wanted = list(conditions(query, origins, connectors))
        values: tuple[object, ...] = sum((each for _, each in wanted), ())
        few = None if query.number else _few(database, list(terms(query, origins, connectors)))
        [(mark,)] = database.execute("SELECT folded FROM mark")
        return cls(("".join(f" AND {text}" for text, _ in wanted), values), few, bool(query.number), mark)

    @property
    def is_scan(self) -> bool:
        """Whether all events of a time are looked at."""
        return self.few is None and not self.of_one

    def statement(self, low: int, high: int, limit: int, newest_first: bool) -> Condition:
        """The numbers of the events that are looked for, as a statement with its parameters."""
        texts, values = self.wanted
        between = f"event.id BETWEEN ? AND ?{texts}"
        ends = f"ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT ?"
        if self.few is None:
            how = "INDEXED BY event_message" if self.of_one else "NOT INDEXED"
            return f"SELECT id FROM event {how} WHERE {between} {ends}", (low, high, *values, limit)
        # The index knows of messages that began up to a mark; the events of the others are all behind it.
        text, given = self.few
        named = f"SELECT id FROM event INDEXED BY event_message WHERE message IN (SELECT message FROM term WHERE {text}) AND {between}"
        behind = f"SELECT id FROM event NOT INDEXED WHERE {between}"
        found = (*given, low, high, *values, limit, max(low, self.mark + 1), high, *values, limit, limit)
        return f"SELECT id FROM (SELECT id FROM ({named} {ends}) UNION SELECT id FROM ({behind} {ends})) {ends}", found


def _few(database: sqlite3.Connection, choices: list[Condition]) -> Condition | None:
    """Which of these names the fewest messages; None where all name many."""
    best, least = None, FEW
    for text, values in choices:
        [(count,)] = database.execute(f"SELECT count(*) FROM (SELECT 1 FROM term WHERE {text} LIMIT {least})", values)
        if count < least:
            best, least = (text, values), max(count, 1)
    return best


def _origins(database: sqlite3.Connection, query: TrackingQuery) -> list[int] | None:
    if query.client is None and not query.user:
        return None
    every = database.execute("SELECT id, connector, client, user FROM origin")
    return [number for number, connector, client, user in every if query.is_origin(connector, client, user)]


def _connectors(database: sqlite3.Connection, query: TrackingQuery) -> tuple[list[int], list[int]] | None:
    if not query.connector:
        return None
    name = query.connector.rpartition("\\")[2].casefold()
    origins = [number for number, connector in database.execute("SELECT id, connector FROM origin") if connector.casefold() == name]
    ways = [number for number, connector in database.execute("SELECT id, connector FROM way") if connector.casefold() == name]
    return origins, ways


def events(database: sqlite3.Connection, text: str, values: tuple[object, ...]) -> Iterator[Tracked]:
    """The events whose numbers a statement gives, in its order."""
    numbers = [number for (number,) in database.execute(text, values)]
    for start in range(0, len(numbers), _TOGETHER):
        yield from _events(database, numbers[start : start + _TOGETHER])


def _events(database: sqlite3.Connection, numbers: list[int]) -> Iterator[Tracked]:
    listed = json.dumps(numbers)
    rows = {
        row[0]: row
        for row in database.execute(
            f"SELECT {_COLUMNS} FROM (SELECT value AS id FROM json_each(?)) AS hit CROSS JOIN event ON event.id = hit.id {_JOINS}",
            (listed,),
        )
    }
    several = json.dumps([number for number, row in rows.items() if row[-2] is None])
    parties: dict[int, list[tuple[str, str]]] = {}
    for number, name, told in database.execute(_PARTIES, (several,)):
        parties.setdefault(number, []).append((name, told))
    counts: dict[int, int] = dict(database.execute(_COUNTS, (several,)).fetchall())
    for number in numbers:
        *columns, one, other = rows[number]
        if one is not None:
            yield Tracked(*(*columns, ((one, other or ""),), 1))
        else:
            yield Tracked(*(*columns, tuple(parties.get(number, ())), counts.get(number, 0)))
