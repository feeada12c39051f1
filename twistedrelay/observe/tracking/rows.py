"""From what was gathered on the reactor to the rows of a tracking file.

It decides what makes one event: recipients of one transaction who got the same answer do, as in Exchange.  And it gives events their
times, each of its own, and names their numbers.  It knows nothing of files, and blocks nobody but its thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twistedrelay.observe.tracking.schema import (
    DELIVER,
    DSN,
    EVENT,
    MESSAGE,
    ORIGIN,
    RECEIVE,
    REDIRECT,
    RESUBMIT,
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
Entry = tuple[float, int, int, int, Facts | None, Way | None, str | tuple[str, ...], str, str, Reply | None, str, int | None]

#: Longest text of one value.
MAX_TEXT = 2000

#: Names that are remembered; one that was forgotten gets another number.
MOST_NAMES = 50_000

#: Events that a message begins with: their facts are the truth, others' only better than nothing.
BEGINNINGS = frozenset({RECEIVE, DSN, RESUBMIT})

SENT = frozenset({SEND, DELIVER})

Row = tuple[Any, ...]


def _insert(table: str, columns: str, verb: str = "INSERT") -> ManyRows:
    return ManyRows(f"{verb} INTO {table} ({columns}) VALUES {{}}", columns.count(",") + 1)


#: In this order, so that what is named is there.
INSERTS = {
    "address": _insert("address", "id, key, name"),
    "origin": _insert("origin", f"id, {ORIGIN}"),
    "way": _insert("way", f"id, {WAY}"),
    "message": _insert("message", MESSAGE, "INSERT OR REPLACE"),
    "carried": _insert("message", MESSAGE, "INSERT OR IGNORE"),
    "event": _insert("event", EVENT),
    "party": _insert("party", "event, place, address, told"),
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
        address, last = self._addresses.number, self.last
        messages: list[Row] = []
        carried: list[Row] = []
        events: list[Row] = []
        parties: list[Row] = []
        for entry, together in _merged(entries):
            at, kind, source, number, facts, way, recipients, told, return_path, reply, context, related = entry
            if (told or together is not None) and kind in SENT and (told or any(new for _, new in together or ())):
                # Exchange's event for a recipient who becomes another one; it says no more than what follows.
                last = max(int(at * 1e6), last + 1)
                events.append((last, number, REDIRECT, ROUTING, self._ways.number(way), None, None, None, None, None, None))
                changed = together or [(str(recipients), told)]
                parties += [(last, place, address(name), address(new)) for place, (name, new) in enumerate(changed) if new]
            last = max(int(at * 1e6), last + 1)
            if facts is not None:
                (messages if kind in BEGINNINGS else carried).append(self._message(number, facts))
            one: int | None = None
            other: int | None = None
            if together is not None:
                parties += [(last, place, address(name), address(new) if new else None) for place, (name, new) in enumerate(together)]
            elif type(recipients) is str:
                one = address(recipients)
                other = address(told) if told else None
            else:
                parties += [(last, place, address(name), None) for place, name in enumerate(recipients)]
            way_number = None if way is None else self._ways.number(way)
            path = address(return_path) if return_path else None
            said = None if reply is None else _text(reply)
            events.append((last, number, kind, source, way_number, one, other, path, said, context[:MAX_TEXT] or None, related))
        self.last = last
        return {
            "address": [(number, address_key(name), name) for number, name in self._addresses.take()],
            "origin": [(number, *origin) for number, origin in self._origins.take()],
            "way": [(number, *way) for number, way in self._ways.take()],
            "message": messages,
            "carried": carried,
            "event": events,
            "party": parties,
        }

    def _message(self, number: int, facts: Facts) -> Row:
        received_at, message_id, sender, size, origin, local, subject = facts
        where = self._origins.number((origin.source, origin.connector, origin.client, origin.helo, origin.user))
        hashed, from_ = message_id_hash(message_id), self._addresses.number(sender)
        return (number, int(received_at * 1e6), message_id, hashed, from_, size, where, origin.session, local, subject)


def _merged(entries: Iterable[Entry]) -> Iterable[tuple[Entry, list[tuple[str, str]] | None]]:
    """The entries, each with its recipients and what was told for them where it stands for several that came one after the other."""
    before: Entry | None = None
    together: list[tuple[str, str]] | None = None
    for entry in entries:
        if before is not None:
            # The same number, kind, way and reply, and a transaction.
            if entry[3] == before[3] and entry[1] == before[1] and entry[5] == before[5] is not None and entry[9] == before[9]:
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
