"""The tables of a SQLite spool, and how older ones become today's.

A migration is never changed once it was released: a new one is added at the end, and C{user_version} counts them.

C{message.next_attempt} is the least C{next_attempt} of its waiting recipients, or NULL where the message does not take part: its content
is damaged, or its C{status} is not normal.  A message that waits for a C{lane} has the time until when it does; C{rank} (urgent ones are
negative) and C{flow} (who submitted it) decide the order there.

C{sequence.clean} is 0 from a start until the end of that run, if that is in good order.  The octets of small messages have a table of their
own, so that neither a change of a message's row nor a walk over the queue touches them.
"""

from __future__ import annotations

import sqlite3

from twistedrelay.interfaces import SpoolError
from twistedrelay.spool import kept
from twistedrelay.values import reply

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY,
            next_attempt REAL,
            received_at REAL NOT NULL,
            size INTEGER NOT NULL,
            sender TEXT NOT NULL,
            sender_domain TEXT,
            message_id TEXT NOT NULL,
            parameters TEXT,
            source TEXT NOT NULL,
            connector TEXT NOT NULL,
            client TEXT NOT NULL,
            helo TEXT NOT NULL,
            user TEXT NOT NULL,
            session TEXT NOT NULL,
            file TEXT
        )""",
        "CREATE INDEX message_due ON message (next_attempt)",
        "CREATE INDEX message_file ON message (file) WHERE file IS NOT NULL",
        "CREATE TABLE content (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        """CREATE TABLE recipient (
            message INTEGER NOT NULL,
            place INTEGER NOT NULL,
            address TEXT NOT NULL,
            domain TEXT,
            parameters TEXT,
            state INTEGER NOT NULL DEFAULT 0,
            attempts INTEGER NOT NULL DEFAULT 0,
            next_attempt REAL NOT NULL,
            reply_code INTEGER,
            reply_enhanced TEXT,
            reply_text TEXT,
            remote TEXT NOT NULL DEFAULT '',
            delay_notified INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (message, place)
        ) WITHOUT ROWID""",
        """CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
            DELETE FROM content WHERE id = OLD.id;
            DELETE FROM recipient WHERE message = OLD.id;
        END""",
        "CREATE TABLE sequence (next INTEGER NOT NULL)",
        "INSERT INTO sequence VALUES (1)",
    ),
    ("ALTER TABLE sequence ADD COLUMN clean INTEGER NOT NULL DEFAULT 1",),
    (),  # message.parameters may be an object now, which older versions cannot read
    (
        "ALTER TABLE message ADD COLUMN status INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE message ADD COLUMN failures INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE message ADD COLUMN lane TEXT",
        "ALTER TABLE message ADD COLUMN rank INTEGER",
        "ALTER TABLE message ADD COLUMN flow TEXT",
        "CREATE INDEX message_lane ON message (lane, rank, flow) WHERE lane IS NOT NULL",
        "CREATE INDEX message_status ON message (status) WHERE status <> 0",
        "CREATE TABLE memory (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        *kept.TABLES,
    ),
    ("ALTER TABLE message ADD COLUMN redirect TEXT",),
)

_SETTINGS = (
    "PRAGMA page_size = 4096",  # before the first table; a commit of few small messages writes few octets
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # each commit is fsynced: the 250 depends on it
    "PRAGMA wal_autocheckpoint = 8000",  # 32 MB
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -32768",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = OFF",  # some builds zero deleted pages, which doubles the writes of a queue
)


def prepare(connection: sqlite3.Connection) -> None:
    """Set up a connection for the writer, and bring the tables up to date.

    @raise SpoolError: the spool was written by a newer version.
    """
    for setting in _SETTINGS:
        connection.execute(setting)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise SpoolError(f"the spool has format {version}, this version knows up to {len(MIGRATIONS)}", reply.LOCAL_ERROR)
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
