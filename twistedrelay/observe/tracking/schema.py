"""The tables of a tracking file, and what its numbers mean.

A file holds a day, or a part of one.  Its events stand in the order of their time, which is their key: microseconds since the epoch, each
once.  What many events have in common (addresses, where messages came from, ways out) is named by numbers; one thing may have several.

C{term} is the index by which messages are found; it is brought up to date from time to time, in one sorted step, which costs a third of
what an index costs that is written with every row.  C{mark} says how far it got: events behind it are looked at one by one.

Source: Exchange Server, "Message tracking" (event-id, source).
"""

from __future__ import annotations

import re
import zlib

VERSION = 1

#: Exchange's event-ids by our numbers, which are stored.
KINDS = {
    1: "RECEIVE",
    2: "SEND",
    3: "DELIVER",
    4: "DEFER",
    5: "FAIL",
    6: "DSN",
    7: "REDIRECT",
    8: "POISONMESSAGE",
    9: "RESUBMIT",
    10: "DROP",
    11: "AGENTINFO",
}
RECEIVE, SEND, DELIVER, DEFER, FAIL, DSN, REDIRECT, POISONMESSAGE, RESUBMIT, DROP, AGENTINFO = KINDS

#: Exchange's sources by our numbers.
SOURCES = {
    1: "SMTP",
    2: "PICKUP",
    3: "DSN",
    4: "SAFETYNET",
    5: "STOREDRIVER",
    6: "QUEUE",
    7: "ROUTING",
    8: "ADMIN",
    9: "POISONMESSAGE",
}
SMTP, PICKUP, BY_DSN, SAFETYNET, STOREDRIVER, QUEUE, ROUTING, ADMIN, POISON = SOURCES
SOURCE_NUMBERS = {name: number for number, name in SOURCES.items()}

#: What a term is about.
BY_MESSAGE_ID, BY_SENDER, BY_RECIPIENT, BY_ORIGIN, BY_WAY = range(1, 6)

ORIGIN = "source, connector, client, helo, user"
WAY = "connector, next_hop, remote, tls"
MESSAGE = "id, at, message_id, hash, sender, size, origin, session, local, subject"
EVENT = "id, message, kind, source, way, recipient, told, return_path, reply, context, related"

#: C{message.at}: microseconds since the epoch; C{local}: our end of the session; C{event.recipient}: 0 where there are several, which then
#: stand in C{party}; C{told}: the address that the next hop was told; C{related}: another message's number.  What there is none of is 0 or
#: empty and never NULL: the sqlite3 module needs longer for each None than for all else in a row.
SCHEMA = """
CREATE TABLE mark (folded INTEGER NOT NULL);
INSERT INTO mark (folded) VALUES (0);
CREATE TABLE address (id INTEGER PRIMARY KEY, key TEXT NOT NULL, name TEXT NOT NULL);
CREATE INDEX address_key ON address (key);
CREATE TABLE origin (id INTEGER PRIMARY KEY, source TEXT NOT NULL, connector TEXT NOT NULL, client TEXT NOT NULL, helo TEXT NOT NULL,
    user TEXT NOT NULL);
CREATE TABLE way (id INTEGER PRIMARY KEY, connector TEXT NOT NULL, next_hop TEXT NOT NULL, remote TEXT NOT NULL, tls TEXT NOT NULL);
CREATE TABLE message (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, message_id TEXT NOT NULL, hash INTEGER NOT NULL, sender INTEGER NOT NULL,
    size INTEGER NOT NULL, origin INTEGER NOT NULL, session TEXT NOT NULL, local TEXT NOT NULL, subject TEXT NOT NULL);
CREATE TABLE event (id INTEGER PRIMARY KEY, message INTEGER NOT NULL, kind INTEGER NOT NULL, source INTEGER NOT NULL, way INTEGER NOT NULL,
    recipient INTEGER NOT NULL, told INTEGER NOT NULL, return_path INTEGER NOT NULL, reply TEXT NOT NULL, context TEXT NOT NULL,
    related INTEGER NOT NULL);
CREATE INDEX event_message ON event (message);
CREATE INDEX event_related ON event (related) WHERE related <> 0;
CREATE TABLE party (event INTEGER NOT NULL, place INTEGER NOT NULL, address INTEGER NOT NULL, told INTEGER NOT NULL,
    PRIMARY KEY (event, place))
    WITHOUT ROWID;
CREATE TABLE term (kind INTEGER NOT NULL, value INTEGER NOT NULL, message INTEGER NOT NULL, PRIMARY KEY (kind, value, message))
    WITHOUT ROWID;
"""

#: Events that a message begins with.
BEGINNINGS = frozenset({RECEIVE, DSN, RESUBMIT})

_BEGAN = f"event.id > ?1 AND event.kind IN ({', '.join(map(str, sorted(BEGINNINGS)))})"


def _fold(kind: int, value: str, source: str) -> str:
    order = f"ORDER BY {value}, event.message"
    return f"INSERT OR IGNORE INTO term (kind, value, message) SELECT {kind}, {value}, event.message FROM {source} {order}"


_OF_MESSAGE = f"event NOT INDEXED CROSS JOIN message ON message.id = event.message WHERE {_BEGAN}"

#: Bring C{term} up to date with the events behind a mark.  What is not told here is written with its event: other addresses that
#: recipients became, and all about messages that did not begin in this file.
FOLD = (
    _fold(BY_MESSAGE_ID, "message.hash", _OF_MESSAGE),
    _fold(BY_SENDER, "message.sender", _OF_MESSAGE),
    _fold(BY_ORIGIN, "message.origin", _OF_MESSAGE),
    _fold(BY_RECIPIENT, "event.recipient", f"event NOT INDEXED WHERE {_BEGAN} AND event.recipient <> 0"),
    _fold(
        BY_RECIPIENT,
        "party.address",
        f"event NOT INDEXED CROSS JOIN party ON party.event = event.id WHERE {_BEGAN} AND event.recipient = 0",
    ),
    _fold(BY_WAY, "event.way", "event NOT INDEXED WHERE event.id > ?1 AND event.way <> 0"),
)


_TOOK = re.compile(r"\btook (\d+\.\d+) s$")


def took(seconds: float) -> str:
    """How the context of an event tells how long an attempt took."""
    return f"took {seconds:.3f} s"


def seconds_of(context: str) -> float | None:
    """How long an attempt took, where the context of its event tells it."""
    found = _TOOK.search(context)
    return float(found[1]) if found else None


def address_key(text: str) -> str:
    """How an address is sorted and found: domain first, case ignored."""
    local, _, domain = text.rpartition("@")
    return f"{domain}@{local}".lower()


def message_id_hash(message_id: str) -> int:
    """What a Message-ID is found by; two may have the same."""
    return zlib.crc32(message_id.encode("utf-8", "backslashreplace"))
