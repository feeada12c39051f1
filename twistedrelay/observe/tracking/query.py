"""What is looked for among tracked events, as conditions of SQL.

It decides what each filter compares: addresses by the whole address or the domain, without regard to case; connectors by name, of the
receiving and of the sending side; replies and subjects by a part of them, subjects as people read them.  Values become parameters, never
text of a statement.

Sources: Exchange Server, Get-MessageTrackingLog; RFC 2047 (encoded words).
"""

from __future__ import annotations

import contextlib
import email.errors
import email.header
import functools
import json
import math
from collections.abc import Iterator

import attrs

from twistedrelay.observe.tracking.schema import (
    BY_MESSAGE_ID,
    BY_ORIGIN,
    BY_RECIPIENT,
    BY_SENDER,
    BY_WAY,
    address_key,
    message_id_hash,
)
from twistedrelay.values.letters import searched
from twistedrelay.values.netrange import IPRange, parse_ip

_SUBJECT = 255  #: characters of a subject that are shown

#: A condition, its parameters, and the terms by which the messages it is true for are found: a statement's text for their kinds and values.
Condition = tuple[str, tuple[object, ...]]


@attrs.frozen(slots=True, kw_only=True)
class TrackingQuery:
    """What is looked for; what is empty does not count.

    @ivar start: seconds since the epoch; events of this time or later.
    @ivar end: events before this time.
    @ivar sender: an address, or a domain (C{"example.org"}, C{"@example.org"}); C{recipient} likewise; C{"<>"}: the null sender.
    @ivar subject: a part of it.
    @ivar message_id: the Message-ID, with its brackets or without.
    @ivar number: the message's InternalId.
    @ivar connector: a receive or send connector's name.
    @ivar client: addresses of clients.
    @ivar user: a login.
    @ivar session: the number of the session that a message came by.
    @ivar kinds: the numbers of events (C{schema.KINDS}).
    @ivar reply: a part of what the next hop, or the relay itself, answered.
    """

    start: float = 0.0
    end: float = math.inf
    sender: str = ""
    recipient: str = ""
    subject: str = ""
    message_id: str = ""
    number: int = 0
    connector: str = ""
    client: IPRange | None = None
    user: str = ""
    session: str = ""
    kinds: frozenset[int] = frozenset()
    reply: str = ""

    @property
    def begins(self) -> int:
        """The first time that counts, in microseconds."""
        return int(min(max(self.start, 0.0), 2.0**33) * 1e6)

    @property
    def ends(self) -> int:
        """The last one."""
        return int(min(max(self.end, 0.0), 2.0**33) * 1e6) - 1

    def is_origin(self, connector: str, client: str, user: str) -> bool:
        """Whether messages that came so are meant, as far as C{client} and C{user} say."""
        if self.user and user.casefold() != self.user.casefold():
            return False
        if self.client is None:
            return True
        try:
            return self.client.contains(parse_ip(client))
        except ValueError:  # it came by no address
            return False


def decoded(subject: str) -> str:
    """A subject as people read it."""
    if "=?" in subject:
        with contextlib.suppress(ValueError, LookupError, email.errors.MessageError):
            read = str(email.header.make_header(email.header.decode_header(subject)))
            subject = read.encode("utf-8", "replace").decode()  # charsets such as UTF-7 make lone surrogates, and JSON is UTF-8
    return " ".join(subject.split())[:_SUBJECT]


@functools.lru_cache(maxsize=64)
def _folded(text: str) -> str:
    return " ".join(searched(text).split())


def subject_holds(subject: str, part: str) -> bool:
    """Whether a subject has a part, case ignored.  For SQLite."""
    return _folded(part) in searched(decoded(subject))


def bracketed(message_id: str) -> str:
    """A Message-ID as messages have it."""
    text = message_id.strip()
    return text if text.startswith("<") else f"<{text}>"


def of_address(text: str) -> Condition:
    """The numbers of an address, or of those of a domain."""
    wanted = "" if text == "<>" else text.strip().strip("<>").removeprefix("*")
    local, _, domain = wanted.rpartition("@")
    if wanted and not local:
        low = f"{domain}@".lower()
        return "SELECT id FROM address WHERE key >= ? AND key < ?", (low, low[:-1] + chr(ord("@") + 1))
    return "SELECT id FROM address WHERE key = ?", (address_key(wanted),)


def listed(numbers: list[int]) -> Condition:
    """These numbers."""
    return "SELECT value FROM json_each(?)", (json.dumps(numbers),)


def conditions(query: TrackingQuery, origins: list[int] | None, connectors: tuple[list[int], list[int]] | None) -> Iterator[Condition]:
    """What is true of each event that is meant, but for its time.

    @param origins: those that C{client} and C{user} mean; None where they mean all.
    @param connectors: the origins and the ways that C{connector} means.
    """
    if query.number:
        yield "event.message = ?", (query.number,)
    if query.kinds:
        numbers, values = listed(sorted(query.kinds))
        yield f"event.kind IN ({numbers})", values
    if query.recipient:
        numbers, values = of_address(query.recipient)
        party = f"SELECT 1 FROM party WHERE party.event = event.id AND (party.address IN ({numbers}) OR party.told IN ({numbers}))"
        several = f"(event.recipient = 0 AND EXISTS ({party}))"
        yield f"(event.recipient IN ({numbers}) OR event.told IN ({numbers}) OR {several})", values * 4
    of_message: list[Condition] = []
    if query.message_id:
        wanted = bracketed(query.message_id)
        of_message.append(("message.hash = ? AND message.message_id = ?", (message_id_hash(wanted), wanted)))
    if query.sender:
        numbers, values = of_address(query.sender)
        of_message.append((f"message.sender IN ({numbers})", values))
    if origins is not None:
        numbers, values = listed(origins)
        of_message.append((f"message.origin IN ({numbers})", values))
    if query.subject:
        of_message.append(("subject_holds(message.subject, ?)", (query.subject,)))
    if query.session:
        of_message.append(("message.session = ?", (query.session.upper(),)))
    if of_message:
        texts = " AND ".join(text for text, _ in of_message)
        yield f"EXISTS (SELECT 1 FROM message WHERE message.id = event.message AND {texts})", sum((found for _, found in of_message), ())
    if connectors is not None:
        (numbers, values), (ways, way_values) = map(listed, connectors)
        message = f"SELECT 1 FROM message WHERE message.id = event.message AND message.origin IN ({numbers})"
        yield f"(event.way IN ({ways}) OR EXISTS ({message}))", (*way_values, *values)
    if query.reply:
        yield "instr(lower(event.reply), lower(?)) > 0", (query.reply,)


def terms(query: TrackingQuery, origins: list[int] | None, connectors: tuple[list[int], list[int]] | None) -> Iterator[Condition]:
    """Ways to find the messages that may be meant by the index: conditions of C{term}, each true of all of them."""
    if query.message_id:
        yield f"kind = {BY_MESSAGE_ID} AND value = ?", (message_id_hash(bracketed(query.message_id)),)
    if query.recipient:
        numbers, values = of_address(query.recipient)
        yield f"kind = {BY_RECIPIENT} AND value IN ({numbers})", values
    if query.sender:
        numbers, values = of_address(query.sender)
        yield f"kind = {BY_SENDER} AND value IN ({numbers})", values
    if origins is not None:
        numbers, values = listed(origins)
        yield f"kind = {BY_ORIGIN} AND value IN ({numbers})", values
    if connectors is not None:
        (numbers, values), (ways, way_values) = map(listed, connectors)
        yield f"(kind = {BY_ORIGIN} AND value IN ({numbers}) OR kind = {BY_WAY} AND value IN ({ways}))", (*values, *way_values)
