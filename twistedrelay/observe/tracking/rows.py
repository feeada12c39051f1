"""From what was gathered on the reactor to the rows of a tracking file.

It decides what makes one event: recipients of one transaction who got the same answer do, as in Exchange.  And it gives events their
times, each of its own, and names their numbers.  It knows nothing of files, and blocks nobody but its thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twistedrelay.observe.tracking.schema import (
    BEGINNINGS,
    BY_MESSAGE_ID,
    BY_ORIGIN,
    BY_RECIPIENT,
    BY_SENDER,
    DELIVER,
    EVENT,
    MESSAGE,
    ORIGIN,
    REDIRECT,
    ROUTING,
    SEND,
    WAY,
    address_key,
    message_id_hash,
)
from twistedrelay.values.envelope import Origin
from twistedrelay.values.manyrows import ManyRows
from twistedrelay.values.reply import Reply

#: What is known of a message: received at, Message-ID, sender, size, origin, our end of the session, subject.
Facts = tuple[float, str, str, int, Origin, str, str]

#: A way out: send connector, next hop, remote host, TLS.
Way = tuple[str, str, str, str]

#: An event: when, kind, source, the message's number, its facts where this file may not have them, the way, recipients, what the next hop
#: was told for the one recipient, the return path that it was told, the reply, the context, the number of another message.
Entry = tuple[float, int, int, int, Facts | None, Way | None, str | tuple[str, ...], str, str, Reply | None, str, int]

#: Longest text of one value.
MAX_TEXT = 2000

#: Rows of a large statement: between two statements the thread has to wait for the reactor.
LARGE = 500

#: Seconds that the answers for the recipients of one transaction may lie apart.
TOGETHER = 1.0

DAY = 86400.0

#: Names that are remembered; one that was forgotten gets another number.
MOST_NAMES = 50_000

SENT = frozenset({SEND, DELIVER})

Row = tuple[Any, ...]


def _insert(table: str, columns: str, verb: str = "INSERT") -> ManyRows:
    return ManyRows(f"{verb} INTO {table} ({columns}) VALUES {{}}", columns.count(",") + 1, LARGE)


#: In this order, so that what is named is there.
INSERTS = {
    "address": _insert("address", "id, key, name"),
    "origin": _insert("origin", f"id, {ORIGIN}"),
    "way": _insert("way", f"id, {WAY}"),
    "message": _insert("message", MESSAGE, "INSERT OR REPLACE"),
    "carried": _insert("message", MESSAGE, "INSERT OR IGNORE"),
    "event": _insert("event", EVENT),
    "party": _insert("party", "event, place, address, told"),
    "term": _insert("term", "kind, value, message", "INSERT OR IGNORE"),
}


class Names:
    """The numbers of things of one kind."""

    def __init__(self, next_number: int) -> None:
        self._next = next_number
        self._known: dict[Any, int] = {}
        self._fresh: list[tuple[int, Any]] = []

    def number(self, name: Any) -> int:
        """Its number, a new one where it is not known."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            found = self._known[name] = self._next
            self._next += 1
            self._fresh.append((found, name))
        return found

    def take(self) -> list[tuple[int, Any]]:
        """Those that are new since the last time."""
        fresh, self._fresh = self._fresh, []
        return fresh


class RowMaker:
    """Makes the rows of one file.

    @ivar last: the time of the last event, in microseconds.
    """

    def __init__(self, last: int, addresses: int, origins: int, ways: int) -> None:
        """The numbers that are the next ones."""
        self.last = last
        self._addresses = Names(addresses)
        self._origins = Names(origins)
        self._ways = Names(ways)

    def rows(self, entries: Iterable[Entry]) -> dict[str, list[Row]]:
        """The rows of each of L{INSERTS}."""
        address = self._addresses.number
        rows: dict[str, list[Row]] = {name: [] for name in INSERTS}
        events, messages = rows["event"], rows["message"]
        for entry, together in _merged(entries):
            at, kind, source, number, facts, way, recipients, told, return_path, reply, context, related = entry
            begins = kind in BEGINNINGS
            if together is None and type(recipients) is not str:
                together = [(name, "") for name in recipients]
            if facts is not None and begins:  # its facts are the truth, others' only better than nothing
                messages.append(self._message(number, facts))
            if told or (facts is not None and not begins) or (together is not None and not begins):
                self._uncommon(rows, entry, together)
            self.last = last = max(int(at * 1e6), self.last + 1)
            one = other = 0
            if together is None:
                one = address(recipients)
                other = address(told) if told else 0
            else:
                rows["party"] += [(last, place, address(name), address(new) if new else 0) for place, (name, new) in enumerate(together)]
            way_number = 0 if way is None else self._ways.number(way)
            path = address(return_path) if return_path else 0
            said = "" if reply is None else _text(reply)
            events.append((last, number, kind, source, way_number, one, other, path, said, context[:MAX_TEXT], related))
        rows["address"] = [(number, address_key(name), name) for number, name in self._addresses.take()]
        rows["origin"] = [(number, *origin) for number, origin in self._origins.take()]
        rows["way"] = [(number, *way) for number, way in self._ways.take()]
        return rows

    def _uncommon(self, rows: dict[str, list[Row]], entry: Entry, together: list[tuple[str, str]] | None) -> None:
        """What goes before an event whose recipients become others, or whose message did not begin in this file."""
        address, number, facts = self._addresses.number, entry[3], entry[4]
        if together is None:
            together = [(str(entry[6]), entry[7])]
        terms = rows["term"]
        if facts is not None:
            row = self._message(number, facts)
            rows["carried"].append(row)
            terms += ((BY_MESSAGE_ID, row[3], number), (BY_SENDER, row[4], number), (BY_ORIGIN, row[6], number))
            terms += [(BY_RECIPIENT, address(name), number) for name, _ in together]
        changed = [(address(name), address(new)) for name, new in together if new]
        terms += [(BY_RECIPIENT, new, number) for _, new in changed]
        if changed and entry[1] in SENT and entry[5] is not None:  # Exchange's event for it; it says no more than what follows
            self.last = last = max(int(entry[0] * 1e6), self.last + 1)
            rows["event"].append((last, number, REDIRECT, ROUTING, self._ways.number(entry[5]), 0, 0, 0, "", "", 0))
            rows["party"] += [(last, place, name, new) for place, (name, new) in enumerate(changed)]

    def _message(self, number: int, facts: Facts) -> Row:
        received_at, message_id, sender, size, origin, local, subject = facts
        where = self._origins.number((origin.source, origin.connector, origin.client, origin.helo, origin.user))
        hashed, from_ = message_id_hash(message_id), self._addresses.number(sender)
        return (number, int(received_at * 1e6), message_id, hashed, from_, size, where, origin.session, local, subject)


def of_one_day(entries: Sequence[Entry]) -> int:
    """How many at the beginning are of the same day."""
    day = entries[0][0] // DAY
    same = entries[-1][0] // DAY == day
    return len(entries) if same else next(place for place, entry in enumerate(entries) if entry[0] // DAY != day)


def _merged(entries: Iterable[Entry]) -> Iterable[tuple[Entry, list[tuple[str, str]] | None]]:
    """The entries, each with its recipients and what was told for them where it stands for several that came one after the other."""
    before: Entry | None = None
    together: list[tuple[str, str]] | None = None
    for entry in entries:
        if before is not None:
            # The same number, kind, way and reply, and one transaction: the next attempt, which may have waited with it, is another one.
            same = entry[3] == before[3] and entry[1] == before[1] and entry[5] == before[5] is not None and entry[9] == before[9]
            if same and entry[0] - before[0] < TOGETHER:
                if together is None:
                    together = [(str(before[6]), before[7])]
                together.append((str(entry[6]), entry[7]))
                continue
            yield before, together
        before, together = entry, None
    if before is not None:
        yield before, together


def _text(reply: Reply) -> str:
    """A reply on one line."""
    text = f"{reply.code} {reply.enhanced} {reply.text}" if reply.enhanced else f"{reply.code} {reply.text}"
    return text[:MAX_TEXT].replace("\n", " ")
