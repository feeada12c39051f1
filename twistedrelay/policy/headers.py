"""The header section of a message: what it tells, whether it can be taken, and which of its fields go no further.

It decides which fields a session may not bring: trust headers of Exchange and of this relay, trace headers where the session has no right
to them, and authentication results that claim to be ours.  It never changes a field that stays, never adds one, and leaves Bcc and
Return-Path alone: a relay does not look for Return-Path (RFC 5321 section 4.4), and who delivers for good replaces it.

Each message is looked at once.  Where nothing is to be taken out, which a search for a few words shows, nothing is copied.

Sources: Exchange Server, "Header firewall", "Priority queuing" (X-Priority), Set-ReceiveConnector (MaxHeaderSize, MaxHopCount,
MaxLocalHopCount); RFC 5322 section 2.2, RFC 5321 section 6.3 (loops), RFC 8601 sections 2.2 (authserv-id) and 5 (removing fields),
RFC 8616 (its A-labels), RFC 6710 (priorities).
"""

from __future__ import annotations

import re

import attrs

from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.config.units import domain_name
from twistedrelay.policy.rights import Rights
from twistedrelay.values import reply as replies
from twistedrelay.values.headerfields import field_name, split_fields, unfolded
from twistedrelay.values.reply import Reply

_MAX_SUBJECT = 1000  #: as written: as encoded words it may take four times its length
_MAX_MESSAGE_ID = 995  #: what a line of RFC 5322 holds besides its end and a fold

#: RFC 5322 section 2.2: a field name is printable ASCII but no colon; blanks before the colon are obsolete, and real.
_FIELD_NAME = re.compile(rb"[!-9;-~]+[ \t]*:").match
_SPACED_RECEIVED = re.compile(rb"\r\nreceived[ \t]+:").findall
_MESSAGE_ID = re.compile(rb"\s*(<[!-;=?-~]+>)").match
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

#: Which names a session may only bring with a right; all that begin so are meant.
_BY_RIGHT = (
    (Rights.ACCEPT_HEADERS_ORGANIZATION, (b"x-ms-exchange-organization-", b"x-twistedrelay-")),
    (Rights.ACCEPT_HEADERS_FOREST, (b"x-ms-exchange-forest-",)),
    (Rights.ACCEPT_HEADERS_ROUTING, (b"received", b"resent-")),
)
_HIGH, _LOW = 4, -4  #: RFC 6710 appendix A, of RFC 2156: urgent and non-urgent
_PRIORITIES = (
    (b"x-priority", {b"1": _HIGH, b"2": _HIGH, b"4": _LOW, b"5": _LOW}),
    (b"importance", {b"high": _HIGH, b"low": _LOW}),
)
_FIRST_WORD = re.compile(rb"\s*([0-9A-Za-z]+)").match
_RESULTS = b"authentication-results"
_BY = re.compile(rb"(?:^|\s)by\s+([^\s;()]+)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BEHIND_ID = re.compile(r"[;0-9]?").fullmatch  #: the results, or a version
_TOKEN = re.compile(r'[^\s;()"\\/=,<>@:?\[\]]+')


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
    @ivar size: octets of the header section that were seen, without the empty line behind it.
    """

    complete: bool
    has_header: bool
    message_id: str = ""
    received_count: int = 0
    subject: str = ""
    size: int = 0

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
            received_count=lowered.count(b"\r\nreceived:") + len(_SPACED_RECEIVED(lowered)),
            subject=_subject_text(subject) if subject else "",
            size=len(head) - 2,
        )


def _is_text(content: bytes, size: int) -> bool:
    """Whether a header section is of lines, for everybody who reads it.  Only BODY=BINARYMIME brings another one."""
    lines = content.count(b"\r\n", 0, size)
    # A last CR may be half of a line end: not all of the section was seen.
    return lines == content.count(b"\n", 0, size) == content.count(b"\r", 0, max(size - 1, 0)) and content.find(b"\0", 0, size) < 0


_EMPTY_HEADER = HeaderFacts(complete=True, has_header=True)


def _subject_text(value: bytes) -> str:
    """A Subject for a log line: unfolded, no control characters, bounded."""
    text = value[: 2 * _MAX_SUBJECT].replace(b"\r\n", b"").strip().decode("utf-8", "replace")
    return _UNPRINTABLE.sub(" ", text)[:_MAX_SUBJECT]


@attrs.frozen(slots=True)
class HeaderRules:
    """What a session's messages may have in front.

    @ivar max_size: octets of a header section.
    @ivar max_hops: Received fields of anybody.
    @ivar max_local_hops: Received fields that one of our own names wrote; 0 for no limit.
    @ivar doomed: names in lower case: a field whose name is one of them, or begins with one that ends in a hyphen, goes no further.
    @ivar own_names: the names of this relay, lower case and A-labels.
    @ivar own_results: whether the session may bring authentication results in our name.
    @ivar x_priority: whether fields of the message may set its priority (X-Priority, Importance).
    """

    max_size: int
    max_hops: int
    max_local_hops: int
    doomed: tuple[bytes, ...]
    own_names: frozenset[str]
    own_results: bool
    x_priority: bool = False

    @classmethod
    def of(cls, connector: ReceiveConnector, rights: Rights, own_names: frozenset[str]) -> HeaderRules:
        """The rules for the sessions of a connector that have these rights."""
        doomed = tuple(name for right, names in _BY_RIGHT if right not in rights for name in names)
        return cls(
            connector.max_header_size,
            connector.max_hop_count,
            connector.max_local_hop_count,
            doomed,
            own_names,
            Rights.ACCEPT_HEADERS_ORGANIZATION in rights,
            connector.x_priority_enabled,
        )

    @staticmethod
    def priority(facts: HeaderFacts, content: bytes) -> int | None:
        """The priority that the fields of a message ask for; None where they ask for none.

        Exchange's High and Low are the C{urgent} and C{non-urgent} of RFC 6710.  X-Priority goes before Importance.
        """
        head = b"\r\n" + content[: facts.size]
        lowered = head.lower()
        for name, meaning in _PRIORITIES:
            value = _field(head, lowered, name)
            word = _FIRST_WORD(value) if value is not None else None
            if word is not None:
                return meaning.get(word[1].lower())
        return None

    def refusal(self, facts: HeaderFacts, content: bytes) -> Reply | None:
        """Why a message with this header section, with which its content begins, cannot be taken; None where it can."""
        if facts.size > self.max_size:
            return replies.HEADER_TOO_LARGE
        if not _is_text(content, facts.size):
            return replies.BARE_LINE_ENDING
        hops = facts.received_count
        if hops > self.max_hops:
            return replies.HOP_COUNT_EXCEEDED
        if hops > self.max_local_hops > 0 and self._local_hops(content[: facts.size]) > self.max_local_hops:
            return replies.LOCAL_HOP_COUNT_EXCEEDED
        return None

    def _local_hops(self, head: bytes) -> int:
        return sum(self._is_local(field) for field in split_fields(head) if field_name(field) == b"received")

    def _is_local(self, received: bytes) -> bool:
        by = _BY.search(unfolded(received).lower())
        return by is not None and _name(by[1].decode("ascii", "replace")) in self.own_names

    def strip(self, facts: HeaderFacts, content: bytes) -> bytes:
        """The content without the fields that go no further; the content itself where there are none.

        @param content: it begins with the header section that C{facts} were read from.
        """
        size = facts.size
        lowered = content[:size].lower().translate(None, b"\0")
        if not any(name in lowered for name in self.doomed) and (self.own_results or _RESULTS not in lowered):
            return content
        fields = split_fields(content[:size])
        initials = {b"a", b"\0", *(name[:1] for name in self.doomed)}  # there may be a quarter of a million fields
        kept = [field for field in fields if field[:1].lower() not in initials or not self._is_doomed(field)]
        if len(kept) == len(fields):
            return content
        return b"".join((*kept, content[size:]))

    def _is_doomed(self, field: bytes) -> bool:
        name = field_name(field)
        if name == _RESULTS:
            return not self.own_results and _claims_to_be_from(self.own_names, unfolded(field).decode("utf-8", "replace"))
        return any(name.startswith(doomed) if doomed.endswith(b"-") else name == doomed for doomed in self.doomed)


def own_names(config: Config) -> frozenset[str]:
    """The names under which this relay writes trace fields and results."""
    return frozenset(_name(text) for text in (config.server.fqdn, *(one.fqdn for one in config.receive_connectors.values())) if text)


def _name(text: str) -> str:
    try:
        return domain_name(text)
    except ValueError:
        return text.lower()


def _claims_to_be_from(names: frozenset[str], value: str) -> bool:
    """Whether authentication results say that one of C{names} found them, or may be read so by somebody who is more tolerant than we."""
    identifier = authserv_id(value)
    return identifier is None or _name(identifier) in names


def authserv_id(value: str) -> str | None:
    """Who found the results of an Authentication-Results field: its unfolded value's first word; None where it is not well formed."""
    at = _behind_comments(value, 0)
    if at is None:
        return None
    quoted = _QUOTED.match(value, at)
    found = quoted or _TOKEN.match(value, at)
    if found is None:
        return None
    following = _behind_comments(value, found.end())
    if following is None or _BEHIND_ID(value[following : following + 1]) is None:
        return None
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted is not None else found[0]


def _behind_comments(value: str, at: int) -> int | None:
    """Where blanks and comments, which may hold comments, have ended; None where one never ends."""
    depth = 0
    while at < len(value):
        character = value[at]
        if character == "(":
            depth += 1
        elif depth and character == ")":
            depth -= 1
        elif depth and character == "\\":
            at += 1
        elif not depth and character not in " \t":
            return at
        at += 1
    return None if depth else len(value)
