"""The trace header in front of each message, and what its own header section tells.

Only Received is ever prepended (and an empty line, by the caller, where L{HeaderFacts.has_header} is false).  Nothing is added, changed or
taken out behind it: no Date, no Message-ID.  C{for} is given only where there is one recipient, so that nobody learns of another; the login
is never given.

Sources: Exchange Server (the line's form), RFC 5321 section 4.4, RFC 3848 (C{with} keywords), RFC 5322 section 2.2 (header fields).
"""

from __future__ import annotations

import email.utils
import functools
import re
import uuid
from typing import TYPE_CHECKING

import attrs

from twistedrelay.values.address import Address
from twistedrelay.values.netrange import IPAddress

if TYPE_CHECKING:
    from twistedrelay.policy.realm import RelaySession, SessionFacts

_MAX_HELO = 255  #: octets of a domain name, RFC 5321 section 4.5.3.1.2
_MAX_SUBJECT = 255
_MAX_MESSAGE_ID = 995  #: what a line of RFC 5322 holds besides its end and a fold

#: A name or address literal; anything else in a HELO is a mistake or an attempt to write into our header.
_PLAIN_HELO = re.compile(r"[A-Za-z0-9._:\[\]-]+").fullmatch
_UNSAFE_IN_HELO = re.compile(r"[^A-Za-z0-9._:\[\]-]")

#: RFC 5322 section 2.2: a field name is printable ASCII but no colon; blanks before the colon are obsolete, and real.
_FIELD_NAME = re.compile(rb"[!-9;-~]+[ \t]*:").match
_MESSAGE_ID = re.compile(rb"\s*(<[!-;=?-~]+>)").match
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


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
        return f"[IPv6:{peer}]" if peer.version == 6 else f"[{peer}]"
    if len(helo) <= _MAX_HELO and _PLAIN_HELO(helo):
        return helo
    return _UNSAFE_IN_HELO.sub("?", helo[:_MAX_HELO])


def with_keyword(facts: SessionFacts, avatar: RelaySession) -> str:
    """The protocol, as RFC 3848 names it."""
    if not facts.esmtp:
        return "SMTP"
    return f"ESMTP{'S' if facts.tls_version else ''}{'' if avatar.is_anonymous else 'A'}"


def received_header(
    facts: SessionFacts,
    avatar: RelaySession,
    internal_id: int,
    fqdn: str,
    now: float,
    recipient_count: int,
    *,
    recipient: Address | None = None,
) -> bytes:
    """The Received header of one message, folded, with its line end.

    @param recipient_count: how many recipients the transaction has.
    @param recipient: the first of them; shown where it is the only one.
    """
    tls = f" (version={facts.tls_version}, cipher={facts.tls_cipher})" if facts.tls_version else ""
    shown = f"\r\n for <{recipient.text}>" if recipient_count == 1 and recipient is not None and recipient.text.isascii() else ""
    return (
        f"Received: from {helo_text(facts.helo, facts.peer)} ({facts.peer_text})\r\n by {fqdn} ({facts.local_text})\r\n"
        f" with {with_keyword(facts, avatar)}{tls} id {internal_id}{shown};\r\n {rfc5322_date(now)}\r\n"
    ).encode("ascii", "replace")


def _field(head: bytes, lowered: bytes, name: bytes) -> bytes | None:
    """The first value of a field, folds kept, from a header section that begins with a line end; None where there is none."""
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    while end >= 0 and head[end + 2 : end + 3] in (b" ", b"\t"):
        end = head.find(b"\r\n", end + 2)
    return head[start:] if end < 0 else head[start:end]


@attrs.frozen(slots=True)
class HeaderFacts:
    """What the beginning of a message's content tells.

    @ivar complete: whether all of the header section was seen (or there is none), so that reading more changes nothing.
    @ivar has_header: whether there is a header section, be it empty: else an empty line must follow the trace header, or the body's
        first lines would join it.
    @ivar message_id: the Message-ID with its brackets, C{""} where there is none or it cannot be one.
    @ivar received_count: how many Received fields there are (hops so far).
    @ivar subject: the Subject as written, unfolded and cut.
    """

    complete: bool
    has_header: bool
    message_id: str = ""
    received_count: int = 0
    subject: str = ""

    @classmethod
    def read(cls, prefix: bytes) -> HeaderFacts:
        """Look at the first octets of a content with CRLF line ends."""
        if prefix.startswith(b"\r\n"):
            return _EMPTY_HEADER
        if _FIELD_NAME(prefix) is None:
            # A first line that may yet become a field, if there is more of it.
            return cls(complete=b"\r\n" in prefix, has_header=False)
        end = prefix.find(b"\r\n\r\n")
        head = b"\r\n" + (prefix if end < 0 else prefix[: end + 2])
        lowered = head.lower()
        identifier = _field(head, lowered, b"message-id")
        found = None if identifier is None else _MESSAGE_ID(identifier)
        subject = _field(head, lowered, b"subject")
        return cls(
            complete=end >= 0,
            has_header=True,
            message_id=found[1].decode("ascii") if found is not None and len(found[1]) <= _MAX_MESSAGE_ID else "",
            received_count=lowered.count(b"\r\nreceived:"),
            subject=_subject_text(subject) if subject else "",
        )


_EMPTY_HEADER = HeaderFacts(complete=True, has_header=True)


def _subject_text(value: bytes) -> str:
    """A Subject for a log line: unfolded, no control characters, bounded."""
    text = value[: 4 * _MAX_SUBJECT].replace(b"\r\n", b"").strip().decode("utf-8", "replace")
    return _UNPRINTABLE.sub(" ", text)[:_MAX_SUBJECT]
