"""The tables of the ledger's file.

C{usage}: a row for each kind of use.  C{address} is the client's, as its family and 16 octets, so that ranges of them can be found; NULL
where a row stands for many.  C{domains} is a JSON array.  C{mark}: one row, since when there is a ledger and what did not fit into it.
"""

from __future__ import annotations

import ipaddress

from twistedrelay.values.netrange import IPRange, parse_ip

FILE = "ledger.sqlite"  #: in the state directory

VERSION = 1

SCHEMA = """
CREATE TABLE mark (began REAL NOT NULL, folded INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE usage (
    id INTEGER PRIMARY KEY,
    connector TEXT NOT NULL, client TEXT NOT NULL, helo TEXT NOT NULL, user TEXT NOT NULL, sender_domain TEXT NOT NULL,
    tls TEXT NOT NULL, cipher TEXT NOT NULL,
    address BLOB, local TEXT NOT NULL, first_seen REAL NOT NULL, last_seen REAL NOT NULL,
    sessions INTEGER NOT NULL, messages INTEGER NOT NULL, recipients INTEGER NOT NULL, size INTEGER NOT NULL, refusals INTEGER NOT NULL,
    domains TEXT NOT NULL
);
CREATE UNIQUE INDEX usage_key ON usage (connector, client, helo, user, sender_domain, tls, cipher);
CREATE INDEX usage_address ON usage (address);
CREATE INDEX usage_last_seen ON usage (last_seen);
"""


def _packed(version: int, number: int) -> bytes:
    return bytes((version,)) + number.to_bytes(16, "big")


def address_of(client: str) -> bytes | None:
    """A client's address, or the first one of a network, as it is kept."""
    try:
        address = parse_ip(client) if "/" not in client else ipaddress.ip_network(client).network_address
    except ValueError:
        return None
    return _packed(address.version, int(address))


def ends_of(wanted: IPRange) -> tuple[bytes, bytes]:
    """The first and the last address of a range, likewise."""
    return _packed(wanted.version, wanted.first), _packed(wanted.version, wanted.last)
