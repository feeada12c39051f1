"""The trace header in front of each message.

Only Received is ever prepended (and an empty line, by the caller, where a message has no header section of its own): no Date, no
Message-ID, no Return-Path.  It says how the message came: both ends, TLS, the login, the connector and the id in the queue; the last
ones as comments, which every reader of trace headers passes over.  C{for} is given only where there is one recipient, so that nobody
learns of another.  It is ASCII whatever the message is: UTF-8 in it would keep a message from next hops without SMTPUTF8.

Sources: Exchange Server (the line's form), RFC 5321 sections 4.4 and 4.1.3 (address literals), RFC 3848 and RFC 6531 section 4.3 (C{with}
keywords), RFC 6710 section 7 (PRIORITY), RFC 5322 section 3.2.2 (comments).
"""

from __future__ import annotations

import email.utils
import functools
import re
import uuid
from typing import TYPE_CHECKING

from twistedrelay.values.address import Address
from twistedrelay.values.netrange import IPAddress

if TYPE_CHECKING:
    from twistedrelay.policy.realm import RelaySession, SessionFacts

_MAX_HELO = 255  #: octets of a domain name, RFC 5321 section 4.5.3.1.2
#: A name or address literal; anything else in a HELO is a mistake or an attempt to write into our header.
_PLAIN_HELO = re.compile(r"[A-Za-z0-9._:\[\]-]+").fullmatch
_UNSAFE_IN_HELO = re.compile(r"[^A-Za-z0-9._:\[\]-]")

#: What may stand in a comment as it is: printable ASCII but parentheses and the backslash.
_UNSAFE_IN_COMMENT = re.compile(r"[^ -'*-\[\]-~]")
_MAX_COMMENT = 255


@functools.lru_cache(maxsize=8)
def _date_of_second(second: int) -> str:
    return email.utils.formatdate(second, localtime=True)


def rfc5322_date(now: float) -> str:
    """A time (seconds since the epoch) as C{"Sun, 22 Nov 2026 06:30:15 +0000"}, local time.  Each second is worked out once."""
    return _date_of_second(int(now))


def generated_message_id(fqdn: str) -> str:
    """A Message-ID for a message that has none; only the reply and tracking show it."""
    return f"<{uuid.uuid4()}@{fqdn}>"


def helo_text(helo: str, peer: IPAddress) -> str:
    """What a client said in HELO, safe for a header: other characters become C{?}; without one, its address as a literal."""
    if not helo:
        return literal(str(peer))
    if len(helo) <= _MAX_HELO and _PLAIN_HELO(helo):
        return helo
    return _UNSAFE_IN_HELO.sub("?", helo[:_MAX_HELO])


def literal(address: str) -> str:
    """An IP address as RFC 5321 section 4.1.3 writes it: C{[192.0.2.1]}, C{[IPv6:2001:db8::1]}."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


@functools.lru_cache(maxsize=1024)
def _comment(text: str) -> str:
    """A name as it may stand in a comment."""
    return _UNSAFE_IN_COMMENT.sub("?", text[:_MAX_COMMENT])


def with_keyword(facts: SessionFacts, avatar: RelaySession, *, smtp_utf8: bool = False) -> str:
    """The protocol, as RFC 3848 and RFC 6531 name it."""
    if facts.connector.protocol == "LMTP":
        protocol = "LMTP"
    elif facts.esmtp:
        protocol = "SMTP" if smtp_utf8 else "ESMTP"
    else:
        return "SMTP"
    return f"{'UTF8' if smtp_utf8 else ''}{protocol}{'S' if facts.tls_version else ''}{'' if avatar.is_anonymous else 'A'}"


def received_header(
    facts: SessionFacts,
    avatar: RelaySession,
    internal_id: int,
    fqdn: str,
    now: float,
    recipient_count: int,
    *,
    recipient: Address | None = None,
    smtp_utf8: bool = False,
    priority: int | None = None,
) -> bytes:
    """The Received header of one message, folded, with its line end.

    @param recipient_count: how many recipients the transaction has.
    @param recipient: the first of them; shown where it is the only one.
    @param smtp_utf8: the message came with SMTPUTF8.
    @param priority: it came with MT-PRIORITY.
    """
    tls = f" (version={facts.tls_version}, cipher={facts.tls_cipher})" if facts.tls_version else ""
    login = f"\r\n (Authenticated sender: {_comment(avatar.login)})" if avatar.login else ""
    shown = f"\r\n for <{recipient.text}>" if recipient_count == 1 and recipient is not None and recipient.text.isascii() else ""
    clause = "" if priority is None else f"\r\n PRIORITY {priority}"
    return (
        f"Received: from {helo_text(facts.helo, facts.peer)} ({literal(facts.peer_text)})\r\n by {fqdn} ({literal(facts.local_text)})\r\n"
        f" with {with_keyword(facts, avatar, smtp_utf8=smtp_utf8)}{tls}{login}\r\n"
        f" id {internal_id} (connector {_comment(facts.connector_name)}){shown}{clause};\r\n {rfc5322_date(now)}\r\n"
    ).encode("ascii", "replace")
