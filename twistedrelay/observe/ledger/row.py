"""A row of the ledger while it adds up, and the bounds of what a row holds.

It decides what is one row (L{Key}), how two times of the same row become one, and what the rows are called that stand for many others.
"""

from __future__ import annotations

import ipaddress

from twistedrelay.values.netrange import parse_ip

#: What stands for HELO names, sender domains or clients that there are too many of.
OTHERS = "(others)"

#: Recipients' domains that a row names.
MOST_DOMAINS = 50

#: Characters of a HELO name, a sender's domain or a login.
MOST_TEXT = 255

#: Connector, client, HELO, user, sender's domain, version of TLS, cipher.
Key = tuple[str, str, str, str, str, str, str]


class Row:
    """What happened of one kind since it was last written; the fields are those of L{twistedrelay.values.usage.Usage}.

    @ivar folded: how often something was added to it for want of a row of its own.
    """

    __slots__ = ("domains", "first", "folded", "key", "last", "local", "messages", "recipients", "refusals", "sessions", "size")

    def __init__(self, key: Key, local: str, now: float) -> None:
        self.key = key
        self.local = local
        self.first = self.last = now
        self.sessions = self.messages = self.recipients = self.size = self.refusals = self.folded = 0
        self.domains: dict[str, None] = {}

    def add(self, other: Row) -> None:
        """More of the same kind."""
        self.first = min(self.first, other.first)
        if other.last >= self.last:
            self.last = other.last
            self.local = other.local or self.local
        self.sessions += other.sessions
        self.messages += other.messages
        self.recipients += other.recipients
        self.size += other.size
        self.refusals += other.refusals
        self.folded += other.folded
        self.domains = joined(self.domains, other.domains)


def joined(first: dict[str, None], then: dict[str, None]) -> dict[str, None]:
    """Two lists of domains as one, within its bound."""
    return dict.fromkeys(list({**first, **then})[:MOST_DOMAINS])


def others(key: Key) -> Key:
    """The row of the same client for all that it has no room for; logins and versions of TLS stay apart, for they are few."""
    connector, client, _, user, _, tls, _ = key
    return (connector, client, OTHERS, user, OTHERS, tls, "")


def crowd(key: Key) -> Key:
    """The row of the connector for clients that there is no room for."""
    return (key[0], OTHERS, OTHERS, "", OTHERS, key[5], "")


def network(client: str) -> str:
    """The network of a client that no connector takes: there may be very many of them."""
    try:
        address = parse_ip(client)
    except ValueError:
        return OTHERS
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def client_of(peer: str) -> str:
    """The address of C{"address:port"}."""
    return peer.rpartition(":")[0].strip("[]")
