"""The record of logins on disk: for each account when, how often, from where and how it was used.

Decides what is kept and for how long.  The record is bounded by the number of accounts: a name that is no account's adds to one counter,
and an account that nobody used for L{RETENTION} is forgotten.  It holds no message, no password and no session.  Everything here blocks;
writing is for one thread at a time, and any number of processes may read meanwhile.

Source: SQLite, "Write-Ahead Logging" (readers beside a writer; read-only databases).
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable

import attrs

from twistedrelay.observe.database import OwnFile, reading, transaction

FILE = "logins.sqlite"  #: in the state directory

#: Seconds after its last use or failure that an account is forgotten.
RETENTION = 3 * 365 * 86400.0

MOST_ACCOUNTS = 100_000
MOST_SOURCES = 20  #: addresses, and other values, that are kept of an account: the last ones

_VERSION = 1
_FORGET_INTERVAL = 3600.0

_SCHEMA = """
CREATE TABLE record (version INTEGER NOT NULL, began REAL NOT NULL, unknown_failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE account (
    name TEXT PRIMARY KEY, address TEXT NOT NULL, external INTEGER NOT NULL, first REAL, last REAL, logins INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0, last_failure REAL, last_failure_source TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE used (
    name TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, last REAL NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (name, kind, value)
) WITHOUT ROWID;
"""

_HAS_RECORD = "SELECT 1 FROM sqlite_master WHERE name = 'record'"
_LOGIN = """
INSERT INTO account (name, address, external, first, last, logins) VALUES (:name, :address, :external, :first, :last, :logins)
ON CONFLICT (name) DO UPDATE SET address = excluded.address, external = excluded.external, logins = logins + excluded.logins,
    first = coalesce(first, excluded.first), last = max(coalesce(last, 0), excluded.last), failures = 0
"""
_FAILURE = """
INSERT INTO account (name, address, external, failures, last_failure, last_failure_source)
VALUES (:name, :address, :external, :failures, :last, :source)
ON CONFLICT (name) DO UPDATE SET failures = failures + excluded.failures, last_failure = excluded.last_failure,
    last_failure_source = excluded.last_failure_source
"""
_ACCOUNTS = """
SELECT name, address, external, first, last, logins, failures, last_failure, last_failure_source FROM account ORDER BY name
"""
_USED = """
INSERT INTO used (name, kind, value, last, count) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name, kind, value) DO UPDATE SET last = max(last, excluded.last), count = count + excluded.count
"""
_FORGET_USED = """
DELETE FROM used WHERE name = ? AND kind = ? AND value NOT IN
    (SELECT value FROM used WHERE name = ? AND kind = ? ORDER BY last DESC LIMIT ?)
"""


@attrs.define(slots=True)
class Uses:
    """What happened with one login name since it was last written.

    @ivar address: the account's name as the login has it, or as the client wrote it where no login succeeded.
    @ivar used: C{(kind, value)}: the last time and how often; kinds are C{"source"}, C{"connector"} and C{"mechanism"}.
    @ivar failures: those after the last login.
    """

    address: str
    first: float = 0.0
    last: float = 0.0
    logins: int = 0
    used: dict[tuple[str, str], tuple[float, int]] = attrs.Factory(dict)
    failures: int = 0
    last_failure: float = 0.0
    last_failure_source: str = ""


@attrs.frozen(slots=True)
class Account:
    """What is known of an account; times are seconds since the epoch.

    @ivar external: whether it was not in the users file when it last logged in.
    @ivar failures: failed logins since the last good one.
    @ivar sources: addresses it logged in from, the latest first; C{connectors} and C{mechanisms} likewise.
    """

    name: str
    address: str
    external: bool
    first: float | None
    last: float | None
    logins: int
    failures: int
    last_failure: float | None
    last_failure_source: str
    sources: tuple[str, ...]
    connectors: tuple[str, ...]
    mechanisms: tuple[str, ...]


@attrs.frozen(slots=True)
class Record:
    """The whole record.

    @ivar began: since when logins are recorded.
    @ivar unknown_failures: failed logins with names of no account.
    """

    began: float
    unknown_failures: int
    accounts: dict[str, Account]


class LoginStore:
    """The file, for writing.  It is made at the first write, and stays open, so that readers know that somebody writes."""

    def __init__(self, path: str, settled: Callable[[], float] | None = None) -> None:
        """
        @param settled: the time by which accounts are forgotten; 0.0 where none is.
        """
        self.path = path
        self._settled = settled
        self._file = OwnFile(path)
        self._forget_at = 0.0

    def write(self, uses: Iterable[tuple[str, Uses, bool | None]], unknown_failures: int, now: float) -> None:
        """Add what happened, in one transaction.

        @param uses: each with its key, and whether the account is an external one; None where no account has that name: its failures count
            only if it logged in before.
        @raise sqlite3.Error: nothing of it was written.
        """
        database = self._file.opened(functools.partial(_prepare, now=now))
        with transaction(database):
            for name, one, external in uses:
                if one.logins:
                    _write_login(database, name, one, bool(external))
                if one.failures and not _write_failures(database, name, one, external):
                    unknown_failures += one.failures
            if unknown_failures:
                database.execute("UPDATE record SET unknown_failures = unknown_failures + ?", (unknown_failures,))
            if not self._forget_at - _FORGET_INTERVAL <= now < self._forget_at:
                _forget(database, now if self._settled is None else self._settled())
                self._forget_at = now + _FORGET_INTERVAL

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _prepare(database: sqlite3.Connection, now: float) -> None:
    with transaction(database):
        if not database.execute(_HAS_RECORD).fetchone():
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT INTO record (version, began) VALUES (?, ?)", (_VERSION, now))


def _write_failures(database: sqlite3.Connection, name: str, one: Uses, external: bool | None) -> bool:
    if external is None and not database.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone():
        return False
    values = {"name": name, "address": one.address, "external": bool(external), "failures": one.failures}
    database.execute(_FAILURE, {**values, "last": one.last_failure, "source": one.last_failure_source})
    return True


def _write_login(database: sqlite3.Connection, name: str, one: Uses, external: bool) -> None:
    values = {"name": name, "address": one.address, "external": external, "first": one.first, "last": one.last, "logins": one.logins}
    database.execute(_LOGIN, values)
    for (kind, value), (last, count) in one.used.items():
        database.execute(_USED, (name, kind, value, last, count))
    for kind in {kind for kind, _ in one.used}:
        database.execute(_FORGET_USED, (name, kind, name, kind, MOST_SOURCES))


def _forget(database: sqlite3.Connection, now: float) -> None:
    """Keep the record bounded.

    @param now: 0.0 where nothing is to be forgotten for its age.
    """
    if now:
        for table, column in (
            ("account", "last"),
            ("account", "last_failure"),
            ("used", "last"),
        ):  # in the future, by a clock that was wrong
            database.execute(f"UPDATE {table} SET {column} = ?1 WHERE {column} > ?1 + 86400.0", (now,))
    old = "DELETE FROM account WHERE max(coalesce(last, 0), coalesce(last_failure, 0)) < ?"
    forgotten = database.execute(old, (now - RETENTION,)).rowcount
    [(count,)] = database.execute("SELECT count(*) FROM account")
    if count > MOST_ACCOUNTS:
        oldest = "SELECT name FROM account ORDER BY max(coalesce(last, 0), coalesce(last_failure, 0)) LIMIT ?"
        forgotten += database.execute(f"DELETE FROM account WHERE name IN ({oldest})", (count - MOST_ACCOUNTS,)).rowcount
    if forgotten:
        database.execute("DELETE FROM used WHERE name NOT IN (SELECT name FROM account)")


def read_record(path: str) -> Record | None:
    """The record in a file, also while a daemon writes it; None where there is none yet.

    @raise sqlite3.Error: it cannot be read.
    """
    with reading(path) as database:
        if database is None or not database.execute(_HAS_RECORD).fetchone():
            return None
        [(version, began, unknown)] = database.execute("SELECT version, began, unknown_failures FROM record")
        if version != _VERSION:
            raise sqlite3.DatabaseError(f"{path} was written by another version of twistedrelay")
        used: dict[tuple[str, str], list[str]] = {}
        for name, kind, value in database.execute("SELECT name, kind, value FROM used ORDER BY last DESC"):
            used.setdefault((name, kind), []).append(value)
        accounts = {}
        for row in database.execute(_ACCOUNTS):
            name = row[0]
            lists = [tuple(used.get((name, kind), ())) for kind in ("source", "connector", "mechanism")]
            accounts[name] = Account(name, row[1], bool(row[2]), *row[3:], *lists)
        return Record(began, unknown, accounts)
