"""The ledger on disk, for writing.

It decides what is kept and what has to go: so many rows of one client (what is more adds to its row of others, rows without a message
first), so many rows at all (those without a message go first, then those of connectors for everybody, the oldest first), and none older
than C{max_age}.  A damaged file is set aside, and a new one begun.  Everything here blocks and is for one thread at a time; any number of
processes may read meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable

from twistedrelay.observe.database import OwnFile, is_damaged, transaction
from twistedrelay.observe.ledger.row import MOST_DOMAINS, MOST_TEXT, OTHERS, Key, Row, joined, others
from twistedrelay.observe.ledger.schema import SCHEMA, VERSION, address_of
from twistedrelay.values.events import ServiceEvent

MOST_OF_CLIENT = 100  #: rows of one client on one connector
MOST_ROWS = 200_000
_ROOM = 0.95  #: of them, that are left when there were too many

#: Seconds that the ledger learns who is there before it tells of new clients.
LEARNING = 86400.0
_MOST_TOLD = 10  #: new clients, in one batch

_CLEAN_INTERVAL = 3600.0
_TELL_INTERVAL = 86400.0

_WHERE = "connector = ? AND client = ? AND helo = ? AND user = ? AND sender_domain = ? AND tls = ? AND cipher = ?"
_FIND = f"SELECT id, domains FROM usage WHERE {_WHERE}"
_COUNT = "SELECT count(*) FROM usage WHERE connector = ? AND client = ?"
_KNOWN = "SELECT 1 FROM usage WHERE connector = ? AND client = ? AND messages > 0 LIMIT 1"
_INSERT = f"""
INSERT INTO usage (connector, client, helo, user, sender_domain, tls, cipher, address, local, first_seen, last_seen,
    sessions, messages, recipients, size, refusals, domains) VALUES ({", ".join("?" * 17)})
"""
_UPDATE = """
UPDATE usage SET local = coalesce(nullif(?, ''), local), first_seen = min(first_seen, ?), last_seen = max(last_seen, ?),
    sessions = sessions + ?, messages = messages + ?, recipients = recipients + ?, size = size + ?, refusals = refusals + ?, domains = ?
WHERE id = ?
"""
_SILENT = f"""
SELECT id, connector, client, helo, user, sender_domain, tls, cipher, local, first_seen, last_seen, sessions, refusals FROM usage
WHERE connector = ? AND client = ? AND messages = 0 AND helo <> '{OTHERS}' ORDER BY last_seen LIMIT 1
"""


class _Unusable(Exception):
    """The file is damaged, or of another version."""


class LedgerStore:
    """See the module.

    @ivar max_age: seconds that a row is kept after it was last seen.
    """

    def __init__(
        self,
        path: str,
        max_age: float,
        tell: Callable[[ServiceEvent], None],
        noticed: Callable[[str], bool] = lambda connector: False,
        now: Callable[[], float] = time.time,
        settled: Callable[[], float] | None = None,
        *,
        most_rows: int = MOST_ROWS,
        most_of_client: int = MOST_OF_CLIENT,
    ) -> None:
        """
        @param tell: told, in the thread that writes, what has to go and who is new.
        @param settled: the time by which rows are too old; 0.0 where none is.
        @param noticed: whether a connector is for some clients only: new ones are told of, and strangers do not drive them out.
        """
        self.path = path
        self.max_age = max_age
        self._tell = tell
        self._noticed = noticed
        self._now = now
        self._settled = settled or now
        self._most_rows = most_rows
        self._most_of_client = most_of_client
        self._file = OwnFile(path)
        self._count = 0
        self._began = 0.0
        self._folded = 0
        self._clean_at = 0.0
        self._told_at = float("-inf")
        self._new: list[Row] = []

    def write(self, rows: list[Row]) -> None:
        """Add what happened, in one transaction.

        @raise sqlite3.Error: nothing of it was written.
        """
        added: dict[Key, Row] = {}
        for row in rows:
            key = _bounded(row.key)
            if key not in added:  # the rows stay as they are: they may have to be written once more
                added[key] = Row(key, row.local, row.first)
            added[key].add(row)
        try:
            self._write(added)
        except (sqlite3.DatabaseError, _Unusable) as error:
            self.close()
            if isinstance(error, sqlite3.DatabaseError) and not is_damaged(error):
                raise
            self._set_aside(error)
            self._write(added)
        for row in self._new[:_MOST_TOLD]:
            connector, client, helo, user, domain, *_ = row.key
            who = f"{client} ({helo})" if helo else client
            who += f" as {user}" if user else ""
            sent = f" with mail from {domain}" if domain else ""
            self._tell(ServiceEvent("info", f"{who} uses {connector} for the first time{sent}", "new_client"))
        if len(self._new) > _MOST_TOLD:
            text = f"and {len(self._new) - _MOST_TOLD} more clients used their connectors for the first time"
            self._tell(ServiceEvent("info", text, "new_client"))

    def _write(self, added: dict[Key, Row]) -> None:
        database = self._file.opened(self._prepare)
        self._new = []
        count = self._count
        self._folded = sum(row.folded for row in added.values())
        try:
            with transaction(database):
                for row in added.values():
                    if self._is_new(database, row):
                        self._new.append(row)
                    self._put(database, row)
                if self._folded:
                    database.execute("UPDATE mark SET folded = folded + ?", (self._folded,))
                if self._count > self._most_rows or not self._clean_at - _CLEAN_INTERVAL <= self._now() < self._clean_at:
                    self._clean(database)
        except BaseException:
            self._count = count
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # -- rows ------------------------------------------------------------------------------------------------------------

    def _put(self, database: sqlite3.Connection, row: Row) -> None:
        found = database.execute(_FIND, row.key).fetchone()
        if found is not None:
            number, domains = found
            if row.domains:
                known = dict.fromkeys(json.loads(domains))
                if not known.keys() >= row.domains.keys() and len(known) < MOST_DOMAINS:
                    domains = _text(joined(known, row.domains))
            counts = (row.sessions, row.messages, row.recipients, row.size, row.refusals)
            database.execute(_UPDATE, (row.local, row.first, row.last, *counts, domains, number))
            return
        connector, client, *_ = key = row.key
        [(count,)] = database.execute(_COUNT, (connector, client))
        if count >= self._most_of_client and key != others(key) and not self._give_way(database, row):
            self._folded += 1
            row.key = others(key)
            self._put(database, row)
            return
        counts = (row.sessions, row.messages, row.recipients, row.size, row.refusals)
        database.execute(_INSERT, (*key, address_of(client), row.local, row.first, row.last, *counts, _text(row.domains)))
        self._count += 1

    def _is_new(self, database: sqlite3.Connection, row: Row) -> bool:
        """Whether it brings the first message of a client that is told of."""
        connector, client, *_ = row.key
        if not row.messages or client == OTHERS or self._now() - self._began < LEARNING or not self._noticed(connector):
            return False
        return database.execute(_KNOWN, (connector, client)).fetchone() is None

    def _give_way(self, database: sqlite3.Connection, row: Row) -> bool:
        """A row of the same client that never brought a message goes to its others, for one that did."""
        if not row.messages:
            return False
        found = database.execute(_SILENT, row.key[:2]).fetchone()
        if found is None:
            return False
        number, *key, local, first, last, sessions, refusals = found
        database.execute("DELETE FROM usage WHERE id = ?", (number,))
        self._count -= 1
        silent = Row(others((key[0], key[1], key[2], key[3], key[4], key[5], key[6])), local, first)
        silent.last, silent.sessions, silent.refusals = last, sessions, refusals
        self._folded += 1
        self._put(database, silent)
        return True

    def _clean(self, database: sqlite3.Connection) -> None:
        """Keep the file bounded."""
        now = self._now()
        self._clean_at = now + _CLEAN_INTERVAL
        if settled := self._settled():
            self._count -= database.execute("DELETE FROM usage WHERE last_seen < ?", (settled - self.max_age,)).rowcount
            # Seen in the future, by a clock that was wrong: it would be there for so long, and never unused.
            database.execute("UPDATE usage SET last_seen = ?1 WHERE last_seen > ?1 + 86400.0", (settled,))
        if self._count <= self._most_rows:
            return
        surplus = self._count - int(self._most_rows * _ROOM)
        connectors = [name for (name,) in database.execute("SELECT DISTINCT connector FROM usage") if self._noticed(name)]
        least = "SELECT id FROM usage ORDER BY messages > 0, connector IN (SELECT value FROM json_each(?)), last_seen LIMIT ?"
        dropped = database.execute(f"DELETE FROM usage WHERE id IN ({least})", (json.dumps(connectors), surplus)).rowcount
        self._count -= dropped
        database.execute("UPDATE mark SET dropped = dropped + ?", (dropped,))
        if not self._told_at <= now < self._told_at + _TELL_INTERVAL:
            self._told_at = now
            text = f"the ledger is full: {dropped} of its rows had to go, first those of clients that never brought a message"
            self._tell(ServiceEvent("warn", text, "logs_lost"))

    # -- the file --------------------------------------------------------------------------------------------------------

    def _prepare(self, database: sqlite3.Connection) -> None:
        """@raise _Unusable: it is of another version."""
        [(version,)] = database.execute("PRAGMA user_version")
        if version not in (0, VERSION):
            raise _Unusable(f"it is of version {version}")
        if not version:
            with transaction(database):
                for statement in SCHEMA.split(";"):
                    database.execute(statement)
                database.execute("INSERT INTO mark (began) VALUES (?)", (self._now(),))
                database.execute(f"PRAGMA user_version = {VERSION}")
        [(self._began,)] = database.execute("SELECT began FROM mark")
        [(self._count,)] = database.execute("SELECT count(*) FROM usage")

    def _set_aside(self, error: Exception) -> None:
        """Keep what cannot be used, the last one, for who can read it."""
        for end in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.path + end, f"{self.path}.damaged{end}")
        os.replace(self.path, f"{self.path}.damaged")
        text = f"the ledger begins anew: {self.path} cannot be used ({error}) and is now {self.path}.damaged"
        self._tell(ServiceEvent("error", text, "logs_lost"))


def _bounded(key: Key) -> Key:
    """A key whose texts can be kept."""
    first, *rest = [text if len(text) <= MOST_TEXT and text.isascii() else _fitted(text) for text in key]
    client, helo, user, domain, tls, cipher = rest
    return (first, client, helo, user, domain, tls, cipher)


def _fitted(text: str) -> str:
    return text[:MOST_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")


def _text(domains: dict[str, None]) -> str:
    return json.dumps(list(domains))
